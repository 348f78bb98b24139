// Ranks leave, and those that are left make a smaller group. Ranks are threads here, so they leave
// rather than die; tests/faults kills processes.
#include "comm/shrink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "tests/local_group.h"

namespace distos_coll::testing {
namespace {

using Step = std::function<void(const char*)>;

std::shared_ptr<Communicator> try_once(const std::shared_ptr<Communicator>& old, Shrink& shrink,
                                       const Step& step) {
  const auto& ranks = shrink.ranks();
  const int size = static_cast<int>(ranks.size());
  const auto rank =
      static_cast<int>(std::find(ranks.begin(), ranks.end(), old->rank()) - ranks.begin());
  auto mine = Communicator::connect(old->shared_engine(), shrink, {rank, size, 60'000, "smaller"});
  step("connected");
  const std::string plan = read_plan(size, 0, "");
  mine->install_plan(plan.data(), plan.size());
  mine->ready(shrink);
  step("ready");
  return mine;
}

// As the doors do it.
std::shared_ptr<Communicator> shrunk(const std::shared_ptr<Communicator>& old, const Step& step,
                                     const std::vector<int>& excluded = {}) {
  Shrink shrink(old, excluded, 60'000);
  shrink.agree();
  step("agreed");
  for (;;) {
    try {
      return try_once(old, shrink, step);
    } catch (const Error& error) {
      if (!shrink.overtaken()) throw;
    }
    shrink.agree();
  }
}

// Shrinks until a sum over the ranks comes out; returns the group's size.
int sum_with_those_left(std::shared_ptr<Communicator> group, const Step& step) {
  std::vector<std::shared_ptr<Communicator>> before;
  for (;;) {
    std::vector<float> one(1, 1);
    const Ref<Work> work = group->enqueue(all_reduce_of(one, true));
    if (work->code() == Code::kOk) {
      EXPECT_EQ(one[0], static_cast<float>(group->size()));
      // All must be through before one of them leaves.
      std::vector<float> again(1, 1);
      const Ref<Work> last = group->enqueue(all_reduce_of(again, true));
      if (last->code() == Code::kOk) return group->size();
    }
    before.push_back(group);
    group = shrunk(group, step);
  }
}

TEST(Shrink, LeavesOutThoseThatWereExcluded) {
  LocalWorld world(4);
  auto group = world.make_group("");
  on_all_ranks(4, [&](int rank) {
    if (rank == 1) return;
    const auto smaller = shrunk(group[static_cast<size_t>(rank)], [](const char*) {}, {1});
    std::vector<float> data(1, static_cast<float>(rank));
    smaller->enqueue(all_reduce_of(data, true));
    EXPECT_EQ(data[0], 5);
    EXPECT_EQ(smaller->size(), 3);
    smaller->close();
  });
  // The one that was left out learns so, and the group that all are in still works.
  Shrink late(group[1], {}, 60'000);
  try {
    late.agree();
    FAIL() << "rank 1 was excluded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kAborted);
    EXPECT_NE(std::string(error.what()).find("rank 1 was left out"), std::string::npos);
  }
  close_all(group);
}

TEST(Shrink, NamesWhoNeverCalls) {
  LocalWorld world(3);
  auto group = world.make_group("");
  const auto said_within = [&](int64_t limit_ms) -> std::string {
    Shrink shrink(group[0], {}, limit_ms);
    try {
      shrink.agree();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kTimeout);
      return error.what();
    }
    return "all of them called";
  };
  std::atomic<bool> named{false};
  on_all_ranks(3, [&](int rank) {
    if (rank == 0) {
      std::string said = "rank 1";
      // Rank 1 calls, too, but perhaps too late for the first of these limits.
      for (int64_t limit_ms = 100; limit_ms < 60'000 && said.find("rank 1") != std::string::npos;
           limit_ms *= 2)
        said = said_within(limit_ms);
      EXPECT_EQ(said.find("rank 1"), std::string::npos) << said;
      EXPECT_NE(said.find("rank 2 (process"), std::string::npos) << said;
      named = true;
    }
    while (rank == 2 && !named.load()) std::this_thread::yield();
    // And a later call of all finds them, however often each has called before.
    shrunk(group[static_cast<size_t>(rank)], [](const char*) {})->close();
  });
  close_all(group);
}

TEST(Shrink, RefusesRanksThatCannotBeExcluded) {
  LocalWorld world(2);
  auto group = world.make_group("");
  for (const int rank : {-1, 2, 0}) EXPECT_THROW(Shrink(group[0], {rank}, 100), Error);
  close_all(group);
}

// Whatever the place at which ranks leave, those that are left end up in one group.
TEST(Shrink, HoldsWhenRanksLeaveInTheMidstOfIt) {
  struct Left {};
  constexpr int kSize = 4;
  const std::vector<std::string> places = {"before", "agreed", "connected", "ready"};
  std::mt19937 draw(7);
  for (int round = 0; round < 24; ++round) {
    LocalWorld world(kSize);
    auto group = world.make_group("");
    // One or two ranks leave, each at a place of its own.
    std::vector<std::string> leaves(kSize);
    const int first = static_cast<int>(draw() % kSize);
    leaves[static_cast<size_t>(first)] = "before";
    if (round % 2 == 1)
      leaves[static_cast<size_t>(first + 1 + static_cast<int>(draw() % 3)) % kSize] =
          places[draw() % places.size()];
    const int left = round % 2 == 1 ? kSize - 2 : kSize - 1;
    on_all_ranks(kSize, [&](int rank) {
      const auto& place = leaves[static_cast<size_t>(rank)];
      auto& mine = group[static_cast<size_t>(rank)];
      const Step step = [&](const char* at) {
        if (place == at) throw Left();
      };
      try {
        step("before");
        EXPECT_EQ(sum_with_those_left(mine, step), left) << "round " << round;
      } catch (const Left&) {
        world.runtime(rank).shutdown();
      }
    });
    close_all(group);
  }
}

}  // namespace
}  // namespace distos_coll::testing
