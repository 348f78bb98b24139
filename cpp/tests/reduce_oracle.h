// What the reduction kernels must give, written the slow way: halves through a table of all their
// values and a search in it, float32 through double (whose sums, products and quotients of floats
// round to the right float), integers in 64 bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/types.h"

namespace distos_coll::oracle {

// The values of a 16-bit float format with `kMantissa` explicit bits; value(code) for all codes,
// code(value) to nearest.
template <int kExponent, int kMantissa>
class HalfFormat {
 public:
  HalfFormat() {
    constexpr int kBias = (1 << (kExponent - 1)) - 1;
    for (int code = 0; code < 0x8000; ++code) {
      const int exponent = code >> kMantissa;
      const int fraction = code & ((1 << kMantissa) - 1);
      double value = 0;
      if (exponent == (1 << kExponent) - 1) {
        value = fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                              : std::numeric_limits<double>::infinity();
      } else if (exponent == 0) {
        value = std::ldexp(fraction, 1 - kBias - kMantissa);
      } else {
        value = std::ldexp(fraction + (1 << kMantissa), exponent - kBias - kMantissa);
      }
      values_.push_back(value);
    }
  }

  double value(uint16_t code) const {
    const double magnitude = values_[code & 0x7fff];
    return (code & 0x8000) != 0 ? -magnitude : magnitude;
  }

  uint16_t code(double value) const {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return sign | 0x7fff;
    const double magnitude = std::fabs(value);
    const auto infinity = values_.begin() + kInfinity;
    auto above =
        std::lower_bound(values_.begin(), infinity, magnitude);  // first one that is not smaller
    if (above != infinity && *above == magnitude)
      return sign | static_cast<uint16_t>(above - values_.begin());
    const auto below = above - 1;
    // Past the largest finite value the next step, 2^(e+1), stands for infinity.
    const double next = above == infinity ? 2 * *below - *(below - 1) : *above;
    const double to_below = magnitude - *below;
    const double to_above = next - magnitude;
    const auto code = static_cast<uint16_t>(below - values_.begin());
    const bool up = to_above < to_below || (to_above == to_below && (code & 1) != 0);
    return sign | static_cast<uint16_t>(up ? code + 1 : code);
  }

 private:
  static constexpr int kInfinity = ((1 << kExponent) - 1) << kMantissa;
  std::vector<double> values_;
};

inline const HalfFormat<5, 10>& float16() {
  static const HalfFormat<5, 10> format;
  return format;
}

inline const HalfFormat<8, 7>& bfloat16() {
  static const HalfFormat<8, 7> format;
  return format;
}

inline double half_value(DType dtype, uint16_t code) {
  return dtype == DType::kFloat16 ? float16().value(code) : bfloat16().value(code);
}

inline uint16_t half_code(DType dtype, double value) {
  return dtype == DType::kFloat16 ? float16().code(value) : bfloat16().code(value);
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
  if (is_half(dtype)) return half_value(dtype, read<uint16_t>(at));
  if (dtype == DType::kFloat32) return read<float>(at);
  return read<double>(at);
}

inline void write_float(DType dtype, char* at, double value) {
  if (is_half(dtype)) {
    const uint16_t code = half_code(dtype, value);
    std::memcpy(at, &code, 2);
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

// The bytes of one reduced element.
inline void reduce_element(DType dtype, ReduceOp op, const std::vector<const char*>& srcs,
                           int64_t divisor, char* out) {
  if (is_floating(dtype)) {
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
