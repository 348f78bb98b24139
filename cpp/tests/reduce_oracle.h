// What the reduction kernels must give, written the slow way: halves and 8-bit floats through a
// table of all their values and a search in it, float32 through double (whose sums, products and
// quotients of floats round to the right float), integers in 64 bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/types.h"

namespace distos_coll::oracle {

// The values of a float format with a sign bit before kExponent and kMantissa explicit bits;
// value(code) for all codes, code(value) to nearest. kInfinities: as IEEE 754 has it; else the last
// code is the only NaN and what is too large becomes the largest value.
template <int kExponent, int kMantissa, bool kInfinities = true>
class FloatFormat {
 public:
  FloatFormat() {
    constexpr int kBias = (1 << (kExponent - 1)) - 1;
    for (int code = 0; code < kSign; ++code) {
      const int exponent = code >> kMantissa;
      const int fraction = code & ((1 << kMantissa) - 1);
      double value = 0;
      if (code >= kSpecial) {
        value = kInfinities && fraction == 0 ? std::numeric_limits<double>::infinity()
                                             : std::numeric_limits<double>::quiet_NaN();
      } else if (exponent == 0) {
        value = std::ldexp(fraction, 1 - kBias - kMantissa);
      } else {
        value = std::ldexp(fraction + (1 << kMantissa), exponent - kBias - kMantissa);
      }
      values_.push_back(value);
    }
  }

  double value(int code) const {
    const double magnitude = values_[static_cast<size_t>(code & (kSign - 1))];
    return (code & kSign) != 0 ? -magnitude : magnitude;
  }

  int code(double value) const {
    const int sign = std::signbit(value) ? kSign : 0;
    if (std::isnan(value)) return sign | (kSign - 1);
    const double magnitude = std::fabs(value);
    const auto special = values_.begin() + kSpecial;
    if (!kInfinities && magnitude > *(special - 1)) return sign | (kSpecial - 1);
    auto above = std::lower_bound(values_.begin(), special, magnitude);  // not smaller
    if (above != special && *above == magnitude)
      return sign | static_cast<int>(above - values_.begin());
    const auto below = above - 1;
    // Past the largest finite value the next step, 2^(e+1), stands for infinity.
    const double next = above == special ? 2 * *below - *(below - 1) : *above;
    const double to_below = magnitude - *below;
    const double to_above = next - magnitude;
    const auto code = static_cast<int>(below - values_.begin());
    const bool up = to_above < to_below || (to_above == to_below && (code & 1) != 0);
    return sign | (up ? code + 1 : code);
  }

 private:
  static constexpr int kSign = 1 << (kExponent + kMantissa);
  static constexpr int kSpecial = kInfinities ? kSign - (1 << kMantissa) : kSign - 1;
  std::vector<double> values_;
};

// Calls back with one of the formats that are shorter than float32.
template <class Function>
auto with_format(DType dtype, const Function& function) {
  static const FloatFormat<5, 10> float16;
  static const FloatFormat<8, 7> bfloat16;
  static const FloatFormat<4, 3, false> float8_e4m3;
  static const FloatFormat<5, 2> float8_e5m2;
  if (dtype == DType::kFloat8E4m3) return function(float8_e4m3);
  if (dtype == DType::kFloat8E5m2) return function(float8_e5m2);
  return dtype == DType::kFloat16 ? function(float16) : function(bfloat16);
}

inline double short_value(DType dtype, int code) {
  return with_format(dtype, [=](const auto& format) { return format.value(code); });
}

inline int short_code(DType dtype, double value) {
  return with_format(dtype, [=](const auto& format) { return format.code(value); });
}

inline double half_value(DType dtype, uint16_t code) { return short_value(dtype, code); }

inline uint16_t half_code(DType dtype, double value) {
  return static_cast<uint16_t>(short_code(dtype, value));
}

template <class T>
T read(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

inline int64_t read_integer(DType dtype, const char* at) {
  switch (dtype) {
    case DType::kInt8:
      return read<int8_t>(at);
    case DType::kUint8:
      return read<uint8_t>(at);
    case DType::kInt16:
      return read<int16_t>(at);
    case DType::kInt32:
      return read<int32_t>(at);
    case DType::kBool:
      return read<uint8_t>(at) != 0 ? 1 : 0;
    default:
      return read<int64_t>(at);
  }
}

// Keeps the low bytes, i.e. wraps; little endian.
inline void write_integer(DType dtype, char* at, int64_t value) {
  std::memcpy(at, &value, dtype_bytes(dtype));
}

inline int64_t wrapped(DType dtype, uint64_t value) {
  char bytes[8] = {};
  write_integer(dtype, bytes, static_cast<int64_t>(value));
  return read_integer(dtype, bytes);
}

inline double read_float(DType dtype, const char* at) {
  if (is_half(dtype)) return short_value(dtype, read<uint16_t>(at));
  if (is_float8(dtype)) return short_value(dtype, read<uint8_t>(at));
  if (dtype == DType::kFloat32) return read<float>(at);
  return read<double>(at);
}

inline void write_float(DType dtype, char* at, double value) {
  if (is_half(dtype)) {
    const uint16_t code = half_code(dtype, value);
    std::memcpy(at, &code, 2);
  } else if (is_float8(dtype)) {
    *at = static_cast<char>(short_code(dtype, value));
  } else if (dtype == DType::kFloat32) {
    const auto single = static_cast<float>(value);
    std::memcpy(at, &single, 4);
  } else {
    std::memcpy(at, &value, 8);
  }
}

// One rounding step of the accumulator.
inline double accumulated(DType dtype, double value) {
  return dtype == DType::kFloat64 ? value : static_cast<double>(static_cast<float>(value));
}

inline double combine_floats(DType dtype, ReduceOp op, double a, double b) {
  switch (op) {
    case ReduceOp::kProduct:
      return accumulated(dtype, a * b);
    case ReduceOp::kMin:
    case ReduceOp::kMax: {
      if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
      const bool a_first = a < b || (a == b && std::signbit(a));
      return a_first == (op == ReduceOp::kMin) ? a : b;
    }
    default:
      return accumulated(dtype, a + b);
  }
}

inline int64_t combine_integers(DType dtype, ReduceOp op, int64_t a, int64_t b) {
  const bool logical = dtype == DType::kBool;
  const auto ua = static_cast<uint64_t>(a);
  const auto ub = static_cast<uint64_t>(b);
  switch (op) {
    case ReduceOp::kProduct:
      return wrapped(dtype, ua * ub);
    case ReduceOp::kMin:
      return std::min(a, b);
    case ReduceOp::kMax:
      return std::max(a, b);
    case ReduceOp::kBand:
      return a & b;
    case ReduceOp::kBor:
      return a | b;
    case ReduceOp::kBxor:
      return a ^ b;
    default:
      return logical ? static_cast<int64_t>(a + b > 0) : wrapped(dtype, ua + ub);
  }
}

inline DType part_of(DType dtype) {
  if (dtype == DType::kComplex64) return DType::kFloat32;
  return dtype == DType::kComplex128 ? DType::kFloat64 : dtype;
}

struct Complex {
  double real, imaginary;
};

inline Complex read_complex(DType part, const char* at) {
  return {read_float(part, at), read_float(part, at + dtype_bytes(part))};
}

inline void write_complex(DType part, char* at, Complex value) {
  write_float(part, at, value.real);
  write_float(part, at + dtype_bytes(part), value.imaginary);
}

inline Complex combine_complex(DType part, ReduceOp op, Complex a, Complex b) {
  if (op != ReduceOp::kProduct) {
    return {accumulated(part, a.real + b.real), accumulated(part, a.imaginary + b.imaginary)};
  }
  const double ac = accumulated(part, a.real * b.real);
  const double bd = accumulated(part, a.imaginary * b.imaginary);
  const double ad = accumulated(part, a.real * b.imaginary);
  const double bc = accumulated(part, a.imaginary * b.real);
  return {accumulated(part, ac - bd), accumulated(part, ad + bc)};
}

inline void reduce_complex(DType part, ReduceOp op, const std::vector<const char*>& srcs,
                           int64_t divisor, char* out) {
  Complex acc = read_complex(part, srcs[0]);
  for (size_t s = 1; s < srcs.size(); ++s)
    acc = combine_complex(part, op, acc, read_complex(part, srcs[s]));
  if (divisor > 1) {
    const auto by = static_cast<double>(divisor);
    acc = {accumulated(part, acc.real / by), accumulated(part, acc.imaginary / by)};
  }
  write_complex(part, out, acc);
}

// The bytes of one reduced element.
inline void reduce_element(DType dtype, ReduceOp op, const std::vector<const char*>& srcs,
                           int64_t divisor, char* out) {
  if (is_complex(dtype)) {
    reduce_complex(part_of(dtype), op, srcs, divisor, out);
  } else if (is_floating(dtype)) {
    double acc = read_float(dtype, srcs[0]);
    for (size_t s = 1; s < srcs.size(); ++s)
      acc = combine_floats(dtype, op, acc, read_float(dtype, srcs[s]));
    if (divisor > 1) acc = accumulated(dtype, acc / static_cast<double>(divisor));
    write_float(dtype, out, acc);
  } else {
    int64_t acc = read_integer(dtype, srcs[0]);
    for (size_t s = 1; s < srcs.size(); ++s)
      acc = combine_integers(dtype, op, acc, read_integer(dtype, srcs[s]));
    if (divisor > 1 && dtype != DType::kBool) acc /= divisor;
    write_integer(dtype, out, acc);
  }
}

}  // namespace distos_coll::oracle
