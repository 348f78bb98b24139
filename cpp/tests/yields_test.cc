#include "comm/yields.h"

#include <gtest/gtest.h>

namespace distos_coll {
namespace {

constexpr int64_t kMs = 1'000'000;

TEST(Yields, StrangersWhoTakeTheCpuAreSleptFor) {
  Yields yields;
  yields.note(0, 3 * kMs, 0);  // nobody looked who it was
  EXPECT_TRUE(yields.in_doubt());
  EXPECT_TRUE(yields.pays(3 * kMs));
  yields.note(3 * kMs, 6 * kMs, 0);
  EXPECT_FALSE(yields.pays(7 * kMs));
  EXPECT_TRUE(yields.pays(8 * kMs));
}

TEST(Yields, PeersWhoTakeItAreYieldedTo) {
  Yields yields;
  int64_t now = 0;
  for (int i = 0; i < 100; ++i, now += 3 * kMs) {
    yields.note(now, now + 3 * kMs, 2 * kMs);
    EXPECT_TRUE(yields.pays(now + 3 * kMs)) << i;
  }
}

// Where somebody computes all the time it costs ever less to look whether he still does.
TEST(Yields, PausesGrowAndShrinkAgain) {
  Yields yields;
  const auto pause_after = [&](int64_t now) {
    yields.note(now, now + 3 * kMs, 0);
    int64_t end = now + 3 * kMs;
    while (!yields.pays(end)) end += kMs;
    return end;
  };
  int64_t now = 3 * kMs;
  yields.note(0, now, 0);
  int64_t longest = 0;
  for (int i = 0; i < 20; ++i) {
    const int64_t end = pause_after(now);
    longest = end - now;
    now = end;
  }
  EXPECT_GE(longest, 256 * kMs);
  EXPECT_LE(longest, 260 * kMs);
  // He has gone.
  for (int i = 0; i < 20; ++i, now += 300 * kMs) yields.note(now, now + 1000, 0);
  yields.note(now, now + 3 * kMs, 0);
  yields.note(now + 3 * kMs, now + 6 * kMs, 0);
  EXPECT_TRUE(yields.pays(now + 11 * kMs));
}

TEST(Yields, DoubtsEndWithShortYields) {
  Yields yields;
  yields.note(0, 3 * kMs, 0);
  int64_t now = 3 * kMs;
  int measured = 0;
  for (; yields.in_doubt() && measured < 1000; ++measured, now += 2000) {
    yields.note(now, now + 1000, 0);
  }
  EXPECT_LT(measured, 100);
}

}  // namespace
}  // namespace distos_coll
