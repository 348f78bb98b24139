#include "reduce/reduce.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "tests/reduce_oracle.h"

namespace distos_coll::reduce {
namespace {

constexpr ReduceOp kOps[] = {ReduceOp::kSum,  ReduceOp::kProduct, ReduceOp::kMin,
                             ReduceOp::kMax,  ReduceOp::kBand,    ReduceOp::kBor,
                             ReduceOp::kBxor, ReduceOp::kAverage};

std::vector<DType> all_dtypes() {
  std::vector<DType> dtypes;
  for (int d = 0; d < kDTypeCount; ++d) dtypes.push_back(static_cast<DType>(d));
  return dtypes;
}

// Exactly as long as asked for and aligned to nothing in particular, so that AddressSanitizer sees
// every byte too far.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes), data_(new char[bytes]) {}
  char* tail(size_t bytes) { return data_.get() + bytes_ - bytes; }
  char* data() { return data_.get(); }
  const char* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  std::unique_ptr<char[]> data_;
};

double special_float(DType dtype, std::mt19937_64& random) {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  // The last ones: float16's largest value, its overflow threshold, its smallest normal and
  // subnormal; likewise for bfloat16 and float32.
  const double values[] = {0.0,        -0.0,      inf,      -inf,       nan,      1.0,
                           -1.0,       65504,     65520,    -4096,      0x1p-14,  0x1p-24,
                           -0x1p-25,   0x1p-126,  0x1p-133, 0x1.fep127, 0x1p-149, 1.5,
                           1.00390625, -0x1p-127, 3.0,      2049.0,     257.0};
  const double value = values[random() % std::size(values)];
  return dtype == DType::kFloat64 ? value : static_cast<double>(static_cast<float>(value));
}

// A third each: special values, moderate numbers (sums that round), any bits.
void fill(DType dtype, std::mt19937_64& random, Buffer* buffer) {
  const size_t size = dtype_bytes(dtype);
  for (size_t at = 0; at < buffer->bytes(); at += size) {
    char* element = buffer->data() + at;
    const uint64_t bits = random();
    const uint64_t kind = random() % 3;
    if (kind == 0 && is_floating(dtype)) {
      oracle::write_float(dtype, element, special_float(dtype, random));
    } else if (kind == 1 && is_floating(dtype)) {
      oracle::write_float(dtype, element,
                          static_cast<double>(static_cast<int64_t>(bits)) * 0x1p-60);
    } else if (kind == 0) {
      const int64_t values[] = {0,         1,   -1,   2,     3,         INT64_MIN,
                                INT64_MAX, 127, -128, 32767, INT32_MIN, INT32_MAX};
      oracle::write_integer(dtype, element, values[bits % std::size(values)]);
    } else if (kind == 1) {
      oracle::write_integer(dtype, element, static_cast<int64_t>(bits % 256) - 128);
    } else {
      std::memcpy(element, &bits, size);
    }
  }
}

std::string bytes_text(const char* data, size_t size) {
  std::string text;
  for (size_t i = size; i-- > 0;) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(data[i]));
    text += digits;
  }
  return text;
}

::testing::AssertionResult equal(DType dtype, const char* got, const char* expected, size_t count) {
  const size_t size = dtype_bytes(dtype);
  for (size_t i = 0; i < count; ++i) {
    if (!oracle::same(dtype, got + i * size, expected + i * size)) {
      return ::testing::AssertionFailure()
             << "element " << i << " of " << count << ": got 0x" << bytes_text(got + i * size, size)
             << ", expected 0x" << bytes_text(expected + i * size, size);
    }
  }
  return ::testing::AssertionSuccess();
}

// Sources of `count` elements and what their reduction is.
struct Case {
  Case(DType dtype, ReduceOp op, size_t n_srcs, size_t count, int64_t divisor, uint64_t seed)
      : dtype(dtype), op(op), divisor(divisor), expected(count * dtype_bytes(dtype)) {
    const size_t size = dtype_bytes(dtype);
    std::mt19937_64 random(seed);
    for (size_t s = 0; s < n_srcs; ++s) {
      srcs.emplace_back(count * size);
      fill(dtype, random, &srcs.back());
    }
    std::vector<const char*> at(n_srcs);
    for (size_t i = 0; i < count; ++i) {
      for (size_t s = 0; s < n_srcs; ++s) at[s] = srcs[s].data() + i * size;
      oracle::reduce_element(dtype, op, at, divisor, expected.data() + i * size);
    }
  }

  // Reduces the last `count` elements, which end at the very end of their buffers.
  ::testing::AssertionResult check(const Kernels& kernels, size_t count) {
    const size_t size = dtype_bytes(dtype);
    constexpr size_t kGuard = 17;
    Buffer out(kGuard + count * size);
    std::memset(out.data(), 0x5a, out.bytes());
    std::vector<const void*> pointers;
    for (Buffer& src : srcs) pointers.push_back(src.tail(count * size));
    function(kernels)(out.tail(count * size), pointers.data(), pointers.size(), count, divisor);
    for (size_t i = 0; i < kGuard; ++i) {
      if (out.data()[i] != 0x5a) return ::testing::AssertionFailure() << "wrote in front of dst";
    }
    return equal(dtype, out.tail(count * size), expected.tail(count * size), count)
           << describe(kernels);
  }

  // The result replaces source `target`.
  ::testing::AssertionResult check_in_place(const Kernels& kernels, size_t target) {
    const size_t count = expected.bytes() / dtype_bytes(dtype);
    Buffer out(expected.bytes());
    std::memcpy(out.data(), srcs[target].data(), out.bytes());
    std::vector<const void*> pointers;
    for (Buffer& src : srcs) pointers.push_back(src.data());
    pointers[target] = out.data();
    function(kernels)(out.data(), pointers.data(), pointers.size(), count, divisor);
    return equal(dtype, out.data(), expected.data(), count)
           << describe(kernels) << " in place of " << target;
  }

  ReduceFn function(const Kernels& kernels) const {
    return kernels.reduce[static_cast<int>(dtype)][static_cast<int>(op)];
  }

  std::string describe(const Kernels& kernels) const {
    return std::string(" (") + kernels.isa + " " + name_of(dtype) + " " + name_of(op) + ", " +
           std::to_string(srcs.size()) + " sources, divisor " + std::to_string(divisor) + ")";
  }

  DType dtype;
  ReduceOp op;
  int64_t divisor;
  std::vector<Buffer> srcs;
  Buffer expected;
};

class ReduceTest : public ::testing::TestWithParam<DType> {
 protected:
  std::vector<ReduceOp> ops() const {
    std::vector<ReduceOp> ops;
    for (const ReduceOp op : kOps) {
      if (supported(GetParam(), op)) ops.push_back(op);
    }
    return ops;
  }
};

int64_t divisor_for(ReduceOp op, size_t n_srcs) {
  return op == ReduceOp::kAverage ? static_cast<int64_t>(n_srcs) : 1;
}

TEST_P(ReduceTest, EveryCountAndNumberOfSources) {
  constexpr size_t kCounts = 200;
  for (const ReduceOp op : ops()) {
    for (size_t n = 1; n <= 9; ++n) {
      Case reduction(GetParam(), op, n, kCounts, divisor_for(op, n), 100 + n);
      for (const Kernels* kernels : available_kernels()) {
        for (size_t count = 0; count <= kCounts; ++count)
          ASSERT_TRUE(reduction.check(*kernels, count));
      }
    }
  }
}

TEST_P(ReduceTest, ThousandsAtOddAddresses) {
  for (const ReduceOp op : ops()) {
    for (const size_t n : {1, 2, 3, 4, 5, 8, 17}) {
      Case reduction(GetParam(), op, n, 9001, divisor_for(op, n), 200 + n);
      for (const Kernels* kernels : available_kernels()) {
        for (const size_t count : {4096, 5003, 8999, 9001})
          ASSERT_TRUE(reduction.check(*kernels, count));
      }
    }
  }
}

TEST_P(ReduceTest, DstMayBeAnySource) {
  for (const ReduceOp op : ops()) {
    for (const size_t n : {1, 2, 3, 4, 6}) {
      Case reduction(GetParam(), op, n, 1237, divisor_for(op, n), 300 + n);
      for (const Kernels* kernels : available_kernels()) {
        for (size_t target = 0; target < n; ++target)
          ASSERT_TRUE(reduction.check_in_place(*kernels, target));
      }
    }
  }
}

TEST_P(ReduceTest, SameSourceTwice) {
  const size_t count = 333;
  const size_t size = dtype_bytes(GetParam());
  for (const ReduceOp op : ops()) {
    std::mt19937_64 random(7);
    Buffer src(count * size);
    fill(GetParam(), random, &src);
    Buffer expected(count * size);
    for (size_t i = 0; i < count; ++i) {
      const char* at = src.data() + i * size;
      oracle::reduce_element(GetParam(), op, {at, at}, 1, expected.data() + i * size);
    }
    for (const Kernels* kernels : available_kernels()) {
      Buffer out(count * size);
      std::memcpy(out.data(), src.data(), src.bytes());
      const void* srcs[] = {out.data(), out.data()};
      kernels->reduce[static_cast<int>(GetParam())][static_cast<int>(op)](out.data(), srcs, 2,
                                                                          count, 1);
      ASSERT_TRUE(equal(GetParam(), out.data(), expected.data(), count))
          << kernels->isa << " " << name_of(op);
    }
  }
}

TEST_P(ReduceTest, DividesByAnyDivisor) {
  for (const int64_t divisor :
       {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{7}, int64_t{1000}, int64_t{1} << 40}) {
    for (const ReduceOp op : ops()) {
      if (op != ReduceOp::kAverage && op != ReduceOp::kSum) continue;
      for (const size_t n : {1, 2, 5}) {
        Case reduction(GetParam(), op, n, 777, divisor, 400 + n);
        for (const Kernels* kernels : available_kernels())
          ASSERT_TRUE(reduction.check(*kernels, 777));
      }
    }
  }
}

TEST_P(ReduceTest, DivideFinishesASum) {
  const auto d = static_cast<int>(GetParam());
  const size_t size = dtype_bytes(GetParam());
  if (GetParam() == DType::kBool) {
    for (const Kernels* kernels : available_kernels()) EXPECT_EQ(kernels->divide[d], nullptr);
    return;
  }
  for (const int64_t divisor : {1, 2, 3, 6, 255, 65536}) {
    Case one(GetParam(), ReduceOp::kSum, 1, 1000, divisor, 500);
    for (const Kernels* kernels : available_kernels()) {
      for (size_t count = 0; count <= 1000; count += count < 70 ? 1 : 93) {
        Buffer out(count * size);
        kernels->divide[d](out.data(), one.srcs[0].tail(count * size), count, divisor);
        ASSERT_TRUE(equal(GetParam(), out.data(), one.expected.tail(count * size), count))
            << one.describe(*kernels);
        std::memcpy(out.data(), one.srcs[0].tail(count * size), count * size);
        kernels->divide[d](out.data(), out.data(), count, divisor);
        ASSERT_TRUE(equal(GetParam(), out.data(), one.expected.tail(count * size), count))
            << one.describe(*kernels);
      }
    }
  }
}

// The factor as the accumulation type sees it, and the product.
void scale_element(DType dtype, const char* in, double factor, char* out) {
  if (is_floating(dtype)) {
    const double by = oracle::accumulated(dtype, factor);
    oracle::write_float(dtype, out, oracle::accumulated(dtype, oracle::read_float(dtype, in) * by));
    return;
  }
  const bool finite = !std::isnan(factor);
  int64_t by = 0;
  if (finite && std::fabs(factor) < 0x1p63) by = static_cast<int64_t>(std::trunc(factor));
  if (finite && factor >= 0x1p63) by = INT64_MAX;
  if (finite && factor <= -0x1p63) by = INT64_MIN;
  if (dtype == DType::kBool) by = factor != 0 ? 1 : 0;
  const auto product =
      static_cast<uint64_t>(oracle::read_integer(dtype, in)) * static_cast<uint64_t>(by);
  oracle::write_integer(dtype, out, oracle::wrapped(dtype, product));
}

TEST_P(ReduceTest, Scale) {
  const auto d = static_cast<int>(GetParam());
  const size_t size = dtype_bytes(GetParam());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::mt19937_64 random(600);
  Buffer src(500 * size);
  fill(GetParam(), random, &src);
  Buffer expected(src.bytes());
  for (const double factor : {1.0, 2.0, 0.5, -1.5, 3.7, 1e30, -1e30, 0.0, 0x1p63, 1.0 / 3, nan}) {
    for (size_t at = 0; at < src.bytes(); at += size) {
      scale_element(GetParam(), src.data() + at, factor, expected.data() + at);
    }
    for (const Kernels* kernels : available_kernels()) {
      for (size_t count = 0; count <= 500; count += count < 70 ? 1 : 43) {
        Buffer out(count * size);
        kernels->scale[d](out.data(), src.tail(count * size), count, factor);
        ASSERT_TRUE(equal(GetParam(), out.data(), expected.tail(count * size), count))
            << kernels->isa << " " << name_of(GetParam()) << " factor " << factor;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, ReduceTest, ::testing::ValuesIn(all_dtypes()),
                         [](const auto& info) { return std::string(name_of(info.param)); });

class HalfTest : public ::testing::TestWithParam<DType> {
 protected:
  static double value(uint16_t code) { return oracle::half_value(GetParam(), code); }

  // Exactly the oracle's floats; every count so that each length of the last partial vector is met.
  static void expect_narrow(const std::vector<float>& values) {
    std::vector<uint16_t> expected(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      expected[i] = oracle::half_code(GetParam(), static_cast<double>(values[i]));
    }
    for (const Kernels* kernels : available_kernels()) {
      std::vector<uint16_t> got(values.size());
      kernels->narrow[static_cast<int>(GetParam())](got.data(), values.data(), values.size());
      ASSERT_TRUE(equal(GetParam(), reinterpret_cast<const char*>(got.data()),
                        reinterpret_cast<const char*>(expected.data()), got.size()))
          << kernels->isa;
    }
  }
};

std::vector<uint16_t> all_codes() {
  std::vector<uint16_t> codes(65536);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint16_t>(i);
  return codes;
}

TEST_P(HalfTest, WidensEveryValue) {
  const std::vector<uint16_t> codes = all_codes();
  for (const Kernels* kernels : available_kernels()) {
    std::vector<float> wide(codes.size());
    kernels->widen[static_cast<int>(GetParam())](wide.data(), codes.data(), codes.size());
    for (const uint16_t code : codes) {
      const auto expected = static_cast<float>(value(code));
      ASSERT_TRUE(oracle::same(DType::kFloat32, reinterpret_cast<const char*>(&wide[code]),
                               reinterpret_cast<const char*>(&expected)))
          << kernels->isa << " code " << code << ": " << wide[code] << ", expected " << expected;
    }
  }
}

TEST_P(HalfTest, NarrowsEveryValueAndEveryTie) {
  std::vector<float> values;
  for (const uint16_t code : all_codes()) {
    const auto at = static_cast<float>(value(code));
    values.push_back(at);
    // Halfway to the next code away from zero, and one float to either side of that. Where the next
    // is infinity, the place it would have.
    if (std::isnan(at) || std::isinf(at)) continue;
    const double next = value(code + 1);
    const double step = std::isinf(next) ? value(code) - value(code - 1) : next - value(code);
    const auto tie = static_cast<float>(value(code) + step / 2);
    values.push_back(tie);
    values.push_back(std::nextafterf(tie, 0.0F));
    values.push_back(
        std::nextafterf(tie, std::copysign(std::numeric_limits<float>::infinity(), tie)));
  }
  expect_narrow(values);
}

TEST_P(HalfTest, NarrowsAnyFloat) {
  std::mt19937_64 random(8);
  std::vector<float> values;
  for (int i = 0; i < 200000; ++i)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  expect_narrow(values);
}

TEST_P(HalfTest, NanStaysQuietNan) {
  std::vector<float> nans;
  for (uint32_t bit = 0; bit < 23; ++bit) {
    nans.push_back(std::bit_cast<float>(0x7f800000U | (1U << bit)));
    nans.push_back(std::bit_cast<float>(0xff800000U | (1U << bit)));
  }
  const uint16_t quiet = GetParam() == DType::kFloat16 ? 0x7e00 : 0x7fc0;
  for (const Kernels* kernels : available_kernels()) {
    std::vector<uint16_t> got(nans.size());
    kernels->narrow[static_cast<int>(GetParam())](got.data(), nans.data(), nans.size());
    for (const uint16_t code : got) EXPECT_EQ(code & quiet, quiet) << kernels->isa;
  }
}

TEST_P(HalfTest, SmallCountsStayInBounds) {
  const std::vector<uint16_t> codes = all_codes();
  for (const Kernels* kernels : available_kernels()) {
    for (size_t count = 0; count <= 100; ++count) {
      Buffer in(count * 2);
      std::memcpy(in.data(), codes.data() + 0x3c00, count * 2);
      std::unique_ptr<float[]> wide(new float[count]);
      kernels->widen[static_cast<int>(GetParam())](wide.get(), in.data(), count);
      Buffer back(count * 2);
      kernels->narrow[static_cast<int>(GetParam())](back.data(), wide.get(), count);
      ASSERT_EQ(std::memcmp(in.data(), back.data(), count * 2), 0)
          << kernels->isa << " count " << count;
    }
  }
}

// -0 is the neutral element of a sum, so this sends every value through the reduction's own
// conversions.
TEST_P(HalfTest, SumWithMinusZeroKeepsEveryValue) {
  const std::vector<uint16_t> codes = all_codes();
  const std::vector<uint16_t> minus_zero(codes.size(), 0x8000);
  for (const Kernels* kernels : available_kernels()) {
    std::vector<uint16_t> got(codes.size());
    const void* srcs[] = {codes.data(), minus_zero.data()};
    kernels->reduce[static_cast<int>(GetParam())][static_cast<int>(ReduceOp::kSum)](
        got.data(), srcs, 2, got.size(), 1);
    ASSERT_TRUE(equal(GetParam(), reinterpret_cast<const char*>(got.data()),
                      reinterpret_cast<const char*>(codes.data()), got.size()))
        << kernels->isa;
  }
}

// Rounding at each of 64 additions would stay at 256 (bfloat16) or 2048 (float16).
TEST_P(HalfTest, SumsRoundOnce) {
  const double large = GetParam() == DType::kFloat16 ? 2048 : 256;
  std::vector<uint16_t> codes(65);
  for (size_t i = 0; i < codes.size(); ++i) {
    codes[i] = oracle::half_code(GetParam(), i == 0 ? large : 1.0);
  }
  std::vector<const void*> srcs;
  for (const uint16_t& code : codes) srcs.push_back(&code);
  for (const Kernels* kernels : available_kernels()) {
    uint16_t got = 0;
    kernels->reduce[static_cast<int>(GetParam())][static_cast<int>(ReduceOp::kSum)](
        &got, srcs.data(), srcs.size(), 1, 1);
    EXPECT_EQ(value(got), large + 64) << kernels->isa;
  }
}

INSTANTIATE_TEST_SUITE_P(Halves, HalfTest, ::testing::Values(DType::kFloat16, DType::kBfloat16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

template <class T>
void expect_quotients(DType dtype, const std::vector<T>& values,
                      const std::vector<int64_t>& divisors) {
  for (const int64_t divisor : divisors) {
    for (const Kernels* kernels : available_kernels()) {
      std::vector<T> got(values.size());
      kernels->divide[static_cast<int>(dtype)](got.data(), values.data(), values.size(), divisor);
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(got[i], static_cast<T>(int64_t{values[i]} / divisor))
            << kernels->isa << " " << int64_t{values[i]} << " / " << divisor;
      }
    }
  }
}

template <class T>
std::vector<T> every_value() {
  std::vector<T> values;
  for (int64_t v = std::numeric_limits<T>::min(); v <= std::numeric_limits<T>::max(); ++v) {
    values.push_back(static_cast<T>(v));
  }
  return values;
}

TEST(IntegerDivisionTest, IsExact) {
  const std::vector<int64_t> divisors = {
      2,   3,   5,     7,     9,     10,         127,          128,
      255, 256, 32767, 32768, 65535, 2147483647, 2147483648LL, 1LL << 62};
  expect_quotients(DType::kInt8, every_value<int8_t>(), divisors);
  expect_quotients(DType::kUint8, every_value<uint8_t>(), divisors);
  expect_quotients(DType::kInt16, every_value<int16_t>(), divisors);
  // Around the multiples, where a quotient in floating point would round up first.
  std::vector<int32_t> ints = {INT32_MIN, INT32_MIN + 1, INT32_MAX, INT32_MAX - 1, 0, 1, -1};
  for (const int64_t divisor : divisors) {
    for (int64_t k = -1; k <= 1; ++k) {
      for (int64_t off = -1; off <= 1; ++off) {
        ints.push_back(static_cast<int32_t>(INT32_MAX / divisor * divisor + k * divisor + off));
        ints.push_back(static_cast<int32_t>(k * divisor + off));
      }
    }
  }
  expect_quotients(DType::kInt32, ints, divisors);
  std::vector<int64_t> longs = {INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1, 0, 1, -1};
  longs.insert(longs.end(), ints.begin(), ints.end());
  expect_quotients(DType::kInt64, longs, divisors);
}

TEST(KernelsTest, SupportedPairs) {
  for (const DType dtype : all_dtypes()) {
    for (const ReduceOp op : kOps) {
      const bool bitwise = op == ReduceOp::kBand || op == ReduceOp::kBor || op == ReduceOp::kBxor;
      const bool expected =
          !(bitwise && is_floating(dtype)) && !(op == ReduceOp::kAverage && dtype == DType::kBool);
      EXPECT_EQ(supported(dtype, op), expected) << name_of(dtype) << " " << name_of(op);
      for (const Kernels* kernels : available_kernels()) {
        EXPECT_EQ(kernels->reduce[static_cast<int>(dtype)][static_cast<int>(op)] != nullptr,
                  expected)
            << kernels->isa;
      }
    }
    for (const Kernels* kernels : available_kernels()) {
      const auto d = static_cast<int>(dtype);
      EXPECT_NE(kernels->scale[d], nullptr);
      EXPECT_EQ(kernels->widen[d] != nullptr, is_half(dtype));
      EXPECT_EQ(kernels->narrow[d] != nullptr, is_half(dtype));
    }
  }
  EXPECT_FALSE(supported(static_cast<DType>(-1), ReduceOp::kSum));
  EXPECT_FALSE(supported(static_cast<DType>(kDTypeCount), ReduceOp::kSum));
  EXPECT_FALSE(supported(DType::kInt8, static_cast<ReduceOp>(kReduceOpCount)));
}

TEST(KernelsTest, GenericComesFirst) {
  ASSERT_FALSE(available_kernels().empty());
  EXPECT_STREQ(available_kernels().front()->isa, "generic");
}

// In a child each, because the choice is made once in a process.
[[noreturn]] void exit_with_choice(const char* forced, const char* expected,
                                   const char* complaint) {
  setenv("DISTOS_COLL_ISA", forced, 1);
  const bool right = std::string(kernels().isa) == expected;
  const char* error = isa_error();
  const bool told = complaint == nullptr ? error == nullptr
                                         : error != nullptr && std::string(error).find(complaint) !=
                                                                   std::string::npos;
  std::_Exit(right && told ? 0 : 1);
}

TEST(KernelsDeathTest, EnvironmentForcesAnIsa) {
  const char* best = available_kernels().back()->isa;
  for (const Kernels* kernels : available_kernels()) {
    EXPECT_EXIT(exit_with_choice(kernels->isa, kernels->isa, nullptr), ::testing::ExitedWithCode(0),
                "");
  }
  EXPECT_EXIT(exit_with_choice("", best, nullptr), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(exit_with_choice("sse9", best, "Available: generic"), ::testing::ExitedWithCode(0),
              "");
}

}  // namespace
}  // namespace distos_coll::reduce
