#include "reduce/reduce.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>

#include "tests/reduce_fixtures.h"
#include "tests/reduce_oracle.h"

namespace distos_coll::reduce {
namespace {

using oracle::Buffer;
using oracle::equal;

constexpr ReduceOp kOps[] = {ReduceOp::kSum,  ReduceOp::kProduct, ReduceOp::kMin,
                             ReduceOp::kMax,  ReduceOp::kBand,    ReduceOp::kBor,
                             ReduceOp::kBxor, ReduceOp::kAverage};

std::vector<DType> all_dtypes() {
  std::vector<DType> dtypes;
  dtypes.reserve(kDTypeCount);
  for (int d = 0; d < kDTypeCount; ++d) dtypes.push_back(static_cast<DType>(d));
  return dtypes;
}

double special_float(DType dtype, std::mt19937_64& random) {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  // From 65504: float16's largest value, its overflow threshold, its smallest normal and
  // subnormal; likewise for bfloat16 and float32. From 448: the same for the 8-bit floats.
  const double values[] = {
      0.0,        -0.0,      inf,     -inf,     nan,      1.0,      -1.0,       65504,    65520,
      -4096,      0x1p-14,   0x1p-24, -0x1p-25, 0x1p-126, 0x1p-133, 0x1.fep127, 0x1p-149, 1.5,
      1.00390625, -0x1p-127, 3.0,     2049.0,   257.0,    448,      464,        -480,     57344,
      61440,      -61439,    0x1p-6,  0x1p-9,   -0x1p-10, 0x1p-16,  -0x1p-17,   17.0};
  const double value = values[random() % std::size(values)];
  return dtype == DType::kFloat64 ? value : static_cast<double>(static_cast<float>(value));
}

// A third each: special values, moderate numbers (sums that round), any bits.
void fill(DType of, std::mt19937_64& random, Buffer* buffer) {
  const DType dtype = oracle::part_of(of);
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
// Sources of `count` elements and what their reduction is.
struct Case {
  Case(DType dtype, ReduceOp op, size_t n_srcs, size_t count, int64_t divisor, uint64_t seed)
      : dtype(dtype),
        op(op),
        divisor(divisor),
        expected(count * dtype_bytes(dtype)),
        out(kGuard + count * dtype_bytes(dtype) + kGuard) {
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
    char* dst = out.data() + kGuard;
    std::memset(out.data(), kGuardByte, out.bytes());
    std::vector<const void*> pointers;
    pointers.reserve(srcs.size());
    for (Buffer& src : srcs) pointers.push_back(src.tail(count * size));
    function(kernels)(dst, pointers.data(), pointers.size(), count, divisor);
    for (size_t i = 0; i < kGuard; ++i) {
      if (out.data()[i] != kGuardByte || dst[count * size + i] != kGuardByte) {
        return ::testing::AssertionFailure() << "wrote beyond dst" << describe(kernels);
      }
    }
    return equal(dtype, dst, expected.tail(count * size), count) << describe(kernels);
  }

  // The result replaces source `target`.
  ::testing::AssertionResult check_in_place(const Kernels& kernels, size_t target) {
    const size_t count = expected.bytes() / dtype_bytes(dtype);
    char* dst = out.data() + kGuard;
    std::memcpy(dst, srcs[target].data(), expected.bytes());
    std::vector<const void*> pointers;
    pointers.reserve(srcs.size());
    for (Buffer& src : srcs) pointers.push_back(src.data());
    pointers[target] = dst;
    function(kernels)(dst, pointers.data(), pointers.size(), count, divisor);
    return equal(dtype, dst, expected.data(), count)
           << describe(kernels) << " in place of " << target;
  }

  // The result replaces source `first` and, with two of them, the next one.
  ::testing::AssertionResult check_in_two_places(const Kernels& kernels, size_t first) {
    const size_t count = expected.bytes() / dtype_bytes(dtype);
    std::vector<Buffer> own;
    std::vector<const void*> pointers;
    for (Buffer& src : srcs) {
      std::memcpy(own.emplace_back(src.bytes()).data(), src.data(), src.bytes());
      pointers.push_back(own.back().data());
    }
    char* const dst = own[first].data();
    char* const also = srcs.size() > 1 ? own[(first + 1) % own.size()].data() : out.data() + kGuard;
    kernels.reduce_to_two[static_cast<int>(dtype)][static_cast<int>(op)](
        dst, also, pointers.data(), pointers.size(), count, divisor);
    auto result = equal(dtype, dst, expected.data(), count);
    if (result) result = equal(dtype, also, expected.data(), count);
    return result << describe(kernels) << " in place of " << first << " and the next";
  }

  ReduceFn function(const Kernels& kernels) const {
    return kernels.reduce[static_cast<int>(dtype)][static_cast<int>(op)];
  }

  std::string describe(const Kernels& kernels) const {
    return std::string(" (") + kernels.isa + " " + name_of(dtype) + " " + name_of(op) + ", " +
           std::to_string(srcs.size()) + " sources, divisor " + std::to_string(divisor) + ")";
  }

  static constexpr size_t kGuard = 67;  // odd, so that dst is aligned to nothing
  static constexpr char kGuardByte = 0x5a;
  DType dtype;
  ReduceOp op;
  int64_t divisor;
  std::vector<Buffer> srcs;
  Buffer expected;
  Buffer out;
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

TEST_P(ReduceTest, IntoTwoSources) {
  for (const ReduceOp op : ops()) {
    for (const size_t n : {1, 2, 3, 5}) {
      Case reduction(GetParam(), op, n, 1237, divisor_for(op, n), 350 + n);
      for (const Kernels* kernels : available_kernels()) {
        for (size_t first = 0; first < n; ++first)
          ASSERT_TRUE(reduction.check_in_two_places(*kernels, first));
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
  if (is_complex(dtype)) {
    const DType part = oracle::part_of(dtype);
    scale_element(part, in, factor, out);
    scale_element(part, in + dtype_bytes(part), factor, out + dtype_bytes(part));
    return;
  }
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
  for (const double factor :
       {1.0, 2.0, 0.5, -1.5, 3.7, 1e30, -1e30, 0.0, -0.0, 0x1p63, 1.0 / 3, nan}) {
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

std::vector<double> complex_product(const Kernels& kernels, const std::vector<double>& a,
                                    const std::vector<double>& b) {
  std::vector<double> got(2);
  const void* srcs[] = {a.data(), b.data()};
  kernels.reduce[static_cast<int>(DType::kComplex128)][static_cast<int>(ReduceOp::kProduct)](
      got.data(), srcs, 2, 1, 1);
  return got;
}

// In numbers, so that nothing here rests on the oracle.
TEST(ComplexTest, Product) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const Kernels* kernels : available_kernels()) {
    EXPECT_EQ(complex_product(*kernels, {1, 2}, {3, 5}), (std::vector<double>{-7, 11}))
        << kernels->isa;
    // A fused multiply-add would leave the rounding error of one of the two products.
    const double tenth = 0.1;
    EXPECT_EQ(complex_product(*kernels, {tenth, tenth}, {tenth, tenth})[0], 0.0) << kernels->isa;
    // As written out, not as C would have it: inf * 0 is NaN.
    const std::vector<double> endless = complex_product(*kernels, {inf, 0}, {0, 1});
    EXPECT_TRUE(std::isnan(endless[0])) << kernels->isa;
    EXPECT_EQ(endless[1], inf) << kernels->isa;
  }
}

TEST(KernelsTest, SupportedPairs) {
  for (const DType dtype : all_dtypes()) {
    for (const ReduceOp op : kOps) {
      const bool bitwise = op == ReduceOp::kBand || op == ReduceOp::kBor || op == ReduceOp::kBxor;
      const bool order = op == ReduceOp::kMin || op == ReduceOp::kMax;
      const bool expected = !(bitwise && (is_floating(dtype) || is_complex(dtype))) &&
                            !(order && is_complex(dtype)) &&
                            !(op == ReduceOp::kAverage && dtype == DType::kBool);
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
