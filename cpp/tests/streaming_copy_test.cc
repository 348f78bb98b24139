#include "core/streaming_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace distos_coll {
namespace {

// Every alignment of both ends; and nothing beside what was asked for.
TEST(StreamingCopy, IsMemcpy) {
  std::vector<unsigned char> from(1024), to(1024);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<unsigned char>(7 * i + 1);
  for (size_t begin = 0; begin < 65; ++begin) {
    for (const size_t bytes : {0, 1, 63, 64, 65, 127, 128, 200, 513}) {
      const size_t source = 3 * begin % 67;
      std::fill(to.begin(), to.end(), 0);
      streaming_copy(to.data() + begin, from.data() + source, bytes);
      std::vector<unsigned char> expected(to.size(), 0);
      std::memcpy(expected.data() + begin, from.data() + source, bytes);
      ASSERT_EQ(to, expected) << begin << " " << bytes;
    }
  }
}

}  // namespace
}  // namespace distos_coll
