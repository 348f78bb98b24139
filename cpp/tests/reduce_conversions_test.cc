// The conversions around a reduction: halves and 8-bit floats to float32 and back, and the division
// of integers.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "reduce/reduce.h"
#include "tests/reduce_fixtures.h"
#include "tests/reduce_oracle.h"

namespace distos_coll::reduce {
namespace {

using oracle::Buffer;
using oracle::equal;

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
  std::vector<float> values(200000);
  for (float& value : values) value = std::bit_cast<float>(static_cast<uint32_t>(random()));
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
      Buffer wide(count * 4);
      auto* floats = reinterpret_cast<float*>(wide.data());
      kernels->widen[static_cast<int>(GetParam())](floats, in.data(), count);
      Buffer back(count * 2);
      kernels->narrow[static_cast<int>(GetParam())](back.data(), floats, count);
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
  srcs.reserve(codes.size());
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

class Float8Test : public ::testing::TestWithParam<DType> {
 protected:
  static uint8_t code(double value) {
    return static_cast<uint8_t>(oracle::short_code(GetParam(), value));
  }
  static double value(uint8_t code) { return oracle::short_value(GetParam(), code); }

  static ::testing::AssertionResult equal_codes(const std::vector<uint8_t>& got,
                                                const std::vector<uint8_t>& expected) {
    return equal(GetParam(), reinterpret_cast<const char*>(got.data()),
                 reinterpret_cast<const char*>(expected.data()), got.size());
  }

  // There is no kernel that only narrows: 1 times the value does.
  static void expect_narrow(float value) {
    const std::vector<uint8_t> ones(21, code(1.0));
    const std::vector<uint8_t> expected(ones.size(), code(static_cast<double>(value)));
    for (const Kernels* kernels : available_kernels()) {
      std::vector<uint8_t> got(ones.size());
      kernels->scale[static_cast<int>(GetParam())](got.data(), ones.data(), ones.size(),
                                                   static_cast<double>(value));
      ASSERT_TRUE(equal_codes(got, expected)) << kernels->isa << " " << value;
    }
  }

  static double sum(const std::vector<double>& values, int64_t divisor, const Kernels& kernels) {
    std::vector<uint8_t> codes;
    std::vector<const void*> srcs;
    for (const double value : values) codes.push_back(code(value));
    for (const uint8_t& code : codes) srcs.push_back(&code);
    uint8_t got = 0;
    kernels.reduce[static_cast<int>(GetParam())][static_cast<int>(ReduceOp::kSum)](
        &got, srcs.data(), srcs.size(), 1, divisor);
    return value(got);
  }
};

TEST_P(Float8Test, EveryPair) {
  std::vector<uint8_t> a(65536);
  std::vector<uint8_t> b(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<uint8_t>(i >> 8);
    b[i] = static_cast<uint8_t>(i);
  }
  for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kProduct, ReduceOp::kMin, ReduceOp::kMax}) {
    std::vector<uint8_t> expected(a.size());
    for (size_t i = 0; i < a.size(); ++i) {
      oracle::reduce_element(
          GetParam(), op,
          {reinterpret_cast<const char*>(&a[i]), reinterpret_cast<const char*>(&b[i])}, 1,
          reinterpret_cast<char*>(&expected[i]));
    }
    for (const Kernels* kernels : available_kernels()) {
      std::vector<uint8_t> got(a.size());
      const void* srcs[] = {a.data(), b.data()};
      kernels->reduce[static_cast<int>(GetParam())][static_cast<int>(op)](got.data(), srcs, 2,
                                                                          got.size(), 1);
      ASSERT_TRUE(equal_codes(got, expected)) << kernels->isa << " " << name_of(op);
    }
  }
}

// A tie between two codes is a float32 whose lower half is zero; 1 and 0xffff are its neighbours.
TEST_P(Float8Test, NarrowsEveryUpperHalf) {
  for (uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const uint32_t lower : {0U, 1U, 0xffffU}) {
      expect_narrow(std::bit_cast<float>(upper << 16 | lower));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Float8Test, NarrowsAnyFloat) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 100000; ++i) {
    expect_narrow(std::bit_cast<float>(static_cast<uint32_t>(random())));
    if (HasFatalFailure()) return;
  }
}

TEST_P(Float8Test, NanIsOneCode) {
  const std::vector<uint8_t> ones(70, code(1.0));
  for (const Kernels* kernels : available_kernels()) {
    std::vector<uint8_t> got(ones.size());
    kernels->scale[static_cast<int>(GetParam())](got.data(), ones.data(), ones.size(),
                                                 std::numeric_limits<double>::quiet_NaN());
    for (const uint8_t code : got) EXPECT_EQ(code & 0x7f, 0x7f) << kernels->isa;
  }
}

TEST_P(Float8Test, SumsRoundOnce) {
  std::vector<double> values(65, 1.0);
  values[0] = 16;  // and 16 + 1 rounds to 16
  for (const Kernels* kernels : available_kernels())
    EXPECT_EQ(sum(values, 1, *kernels), 80) << kernels->isa;
}

TEST_P(Float8Test, AverageDividesBeforeItRounds) {
  const double largest = value(GetParam() == DType::kFloat8E4m3 ? 0x7e : 0x7b);
  const std::vector<double> values(8, largest);
  for (const Kernels* kernels : available_kernels())
    EXPECT_EQ(sum(values, 8, *kernels), largest) << kernels->isa;
}

// In codes, so that nothing here rests on the oracle: what torch 2.13 gives for the same floats.
TEST(Float8RangeTest, EndsAsInTorch) {
  const float inf = std::numeric_limits<float>::infinity();
  struct Expected {
    float value;
    uint8_t e4m3, e5m2;
  };
  const Expected table[] = {
      {448.0F, 0x7e, 0x5f},       {464.0F, 0x7e, 0x5f},   {465.0F, 0x7e, 0x5f},
      {480.0F, 0x7e, 0x60},       {-470.0F, 0xfe, 0xdf},  {57344.0F, 0x7e, 0x7b},
      {61439.0F, 0x7e, 0x7b},     {61440.0F, 0x7e, 0x7c}, {65536.0F, 0x7e, 0x7c},
      {inf, 0x7e, 0x7c},          {-inf, 0xfe, 0xfc},     {0x1p-10F, 0x00, 0x14},
      {0x1.001p-10F, 0x01, 0x14}, {0x1p-17F, 0x00, 0x00}, {-1e-30F, 0x80, 0x80}};
  for (const Kernels* kernels : available_kernels()) {
    for (const Expected& row : table) {
      const uint8_t one_e4m3 = 0x38;
      const uint8_t one_e5m2 = 0x3c;
      uint8_t got = 0;
      kernels->scale[static_cast<int>(DType::kFloat8E4m3)](&got, &one_e4m3, 1, row.value);
      EXPECT_EQ(got, row.e4m3) << kernels->isa << " " << row.value;
      kernels->scale[static_cast<int>(DType::kFloat8E5m2)](&got, &one_e5m2, 1, row.value);
      EXPECT_EQ(got, row.e5m2) << kernels->isa << " " << row.value;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Float8Test,
                         ::testing::Values(DType::kFloat8E4m3, DType::kFloat8E5m2),
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

}  // namespace
}  // namespace distos_coll::reduce
