#include "core/shared_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

namespace distos_coll {
namespace {

class EitherWay : public ::testing::TestWithParam<bool> {};

// Enough copies that the other way is tried in between.
TEST_P(EitherWay, CopiesEveryByteAndNoOther) {
  constexpr size_t kRoom = 70'000;
  SharedWriter writer(GetParam());
  std::vector<std::byte> from(kRoom), to(kRoom), expected(kRoom);
  for (size_t i = 0; i < kRoom; ++i) from[i] = static_cast<std::byte>(i * 7 + i / 256);
  for (int time = 0; time < 200; ++time) {
    for (const size_t bytes : {0, 1, 63, 8191, 8192, 8193, 16'384, 65'541}) {
      const size_t offset = static_cast<size_t>(time) % 130;
      const auto blank = static_cast<std::byte>(time);
      std::fill(to.begin(), to.end(), blank);
      std::fill(expected.begin(), expected.end(), blank);
      std::memcpy(expected.data() + offset, from.data() + 3, bytes);
      writer.copy(to.data() + offset, from.data() + 3, bytes);
      ASSERT_EQ(std::memcmp(to.data(), expected.data(), kRoom), 0) << bytes << " at " << offset;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(SharedWriter, EitherWay, ::testing::Values(false, true));

}  // namespace
}  // namespace distos_coll
