// Groups of ranks as threads: order between groups, many groups at once, failure of one rank. Run
// under ThreadSanitizer these are the tests of the core's locking.
#include "comm/communicator.h"

#include <atomic>
#include <complex>

#include "tests/local_group.h"

namespace distos_coll::testing {
namespace {

float expected_sum(int size, float base) {
  float sum = 0;
  for (int rank = 0; rank < size; ++rank) sum += base + static_cast<float>(rank);
  return sum;
}

// With a work, then without: what such a call prepares is used from its third time on.
void run_all_reduce(Communicator& group, size_t count, float base) {
  for (int time = 0; time < 5; ++time) {
    std::vector<float> data(count, base + static_cast<float>(group.rank()));
    std::string error;
    if (time == 0) {
      const Ref<Work> work = group.enqueue(all_reduce_of(data, true));
      ASSERT_EQ(work->code(), Code::kOk) << work->error();
    } else {
      ASSERT_EQ(group.call(all_reduce_of(data, true), &error), Code::kOk) << error;
    }
    const float expected = expected_sum(group.size(), base);
    for (const float value : data) ASSERT_EQ(value, expected);
    base += 1;
  }
}

struct Shape {
  int size, limit;
  const char* algo;
};

class EveryAlgorithm : public ::testing::TestWithParam<Shape> {};

TEST_P(EveryAlgorithm, ReducesRightAtSeveralSizes) {
  const Shape shape = GetParam();
  LocalWorld world(shape.size, shape.limit);
  auto group = world.make_group(shape.algo);
  on_all_ranks(shape.size, [&](int rank) {
    for (const size_t count : {1, 9, 100, 3000, 20000})
      run_all_reduce(*group[static_cast<size_t>(rank)], count, 2);
  });
  close_all(group);
}

// The largest and the smallest elements that there are.
TEST_P(EveryAlgorithm, ReducesComplexNumbersAndEightBitFloats) {
  const Shape shape = GetParam();
  LocalWorld world(shape.size, shape.limit);
  auto group = world.make_group(shape.algo);
  const auto all_reduce = [&](Communicator& member, auto& data, DType dtype, ReduceOp op) {
    CollectiveCall call;
    call.collective = Collective::kAllReduce;
    call.dtype = dtype;
    call.op = op;
    call.input = call.output = data.data();
    call.count = static_cast<int64_t>(data.size());
    call.options.blocking = true;
    const Ref<Work> work = member.enqueue(call);
    ASSERT_EQ(work->code(), Code::kOk) << work->error();
  };
  on_all_ranks(shape.size, [&](int rank) {
    Communicator& member = *group[static_cast<size_t>(rank)];
    for (const size_t count : {1, 9, 3001, 20001}) {
      std::vector<std::complex<double>> wide(count, {0, 1});
      all_reduce(member, wide, DType::kComplex128, ReduceOp::kProduct);
      std::complex<double> power = 1;
      for (int i = 0; i < shape.size; ++i) power *= std::complex<double>{0, 1};
      for (const auto& value : wide) ASSERT_EQ(value, power);
      std::vector<uint8_t> narrow(count, 0x38);  // 1 in float8_e4m3
      all_reduce(member, narrow, DType::kFloat8E4m3, ReduceOp::kAverage);
      for (const uint8_t value : narrow) ASSERT_EQ(value, 0x38);
    }
  });
  close_all(group);
}

INSTANTIATE_TEST_SUITE_P(Shapes, EveryAlgorithm,
                         ::testing::Values(Shape{2, 0, ""}, Shape{4, 0, "direct1"},
                                           Shape{4, 0, "direct2"}, Shape{3, 0, "ring"},
                                           Shape{4, 0, "tree"}, Shape{3, 0, "rhd"},
                                           Shape{5, 2, "hier"}, Shape{5, 2, "direct2"},
                                           Shape{4, 2, "ring"}, Shape{3, 2, "tree"}));

// A then B on one rank, B then A on the other: order holds within a group, never between groups.
TEST(Communicator, GroupsDoNotOrderEachOther) {
  for (const char* algo : {"direct1", "ring"}) {
    LocalWorld world(2);
    auto first = world.make_group(algo);
    auto second = world.make_group(algo);
    for (int round = 0; round < 20; ++round) {
      on_all_ranks(2, [&](int rank) {
        std::vector<float> a(700, 1), b(700, 2);
        Communicator* groups[2] = {first[static_cast<size_t>(rank)].get(),
                                   second[static_cast<size_t>(rank)].get()};
        std::vector<float>* data[2] = {&a, &b};
        const int order[2] = {rank, 1 - rank};
        Ref<Work> works[2];
        for (const int which : order)
          works[which] = groups[which]->enqueue(all_reduce_of(*data[which], false));
        for (const int which : order) groups[which]->wait(*works[which], 0);
        for (const int which : order) {
          ASSERT_EQ(works[which]->code(), Code::kOk) << works[which]->error();
        }
        EXPECT_EQ(a.front(), 2);
        EXPECT_EQ(b.back(), 4);
      });
    }
    close_all(first);
    close_all(second);
  }
}

// A blocking call of one group progresses the asynchronous operations of another.
TEST(Communicator, AWaiterProgressesOtherGroups) {
  LocalWorld world(2);
  auto first = world.make_group("ring");
  auto second = world.make_group("ring");
  on_all_ranks(2, [&](int rank) {
    std::vector<float> a(5000, 1), b(5000, 2);
    auto& mine = *first[static_cast<size_t>(rank)];
    auto& other = *second[static_cast<size_t>(rank)];
    if (rank == 0) {
      const Ref<Work> work = mine.enqueue(all_reduce_of(a, false));
      run_all_reduce(other, 5000, 3);
      mine.wait(*work, 0);
      EXPECT_EQ(work->code(), Code::kOk);
    } else {
      const Ref<Work> work = mine.enqueue(all_reduce_of(a, false));
      mine.wait(*work, 0);
      run_all_reduce(other, 5000, 3);
    }
    EXPECT_EQ(a.front(), 2);
  });
  close_all(first);
  close_all(second);
}

TEST(Communicator, TenGroupsFromTenThreadsAtOnce) {
  constexpr int kGroups = 10;
  LocalWorld world(3, 2);
  std::vector<LocalWorld::Group> groups;
  const char* algos[] = {"ring", "hier", "tree", "", "rhd"};
  for (int g = 0; g < kGroups; ++g) groups.push_back(world.make_group(algos[g % 5]));
  on_all_ranks(3 * kGroups, [&](int index) {
    const int rank = index / kGroups, g = index % kGroups;
    Communicator& mine = *groups[static_cast<size_t>(g)][static_cast<size_t>(rank)];
    for (int round = 0; round < 5; ++round) {
      run_all_reduce(mine, static_cast<size_t>(1 + 300 * round), static_cast<float>(g));
      std::vector<float> data(400, 1);
      const Ref<Work> work = mine.enqueue(all_reduce_of(data, false));
      mine.wait(*work, 0);
      ASSERT_EQ(work->code(), Code::kOk) << work->error();
      ASSERT_EQ(data.back(), 3);
    }
  });
  for (auto& group : groups) close_all(group);
}

TEST(Communicator, AsynchronousOperationsFinishWithoutAWaiter) {
  LocalWorld world(2);
  auto group = world.make_group("direct2");
  std::atomic<int> done{0};
  std::vector<float> data[2] = {std::vector<float>(3000, 1), std::vector<float>(3000, 5)};
  Ref<Work> works[2];
  for (int rank = 0; rank < 2; ++rank) {
    CollectiveCall call = all_reduce_of(data[rank], false);
    call.options.on_done = [](void* counter, int code) {
      EXPECT_EQ(code, 0);
      static_cast<std::atomic<int>*>(counter)->fetch_add(1);
    };
    call.options.on_done_ctx = &done;
    works[rank] = group[static_cast<size_t>(rank)]->enqueue(call);
  }
  while (done.load() < 2) std::this_thread::yield();
  EXPECT_EQ(data[0][7], 6);
  close_all(group);
}

TEST(Communicator, AnAbortEndsEveryRank) {
  LocalWorld world(3);
  auto group = world.make_group("ring");
  on_all_ranks(3, [&](int rank) {
    auto& mine = *group[static_cast<size_t>(rank)];
    if (rank == 2) {
      mine.abort("the test says so");
      return;
    }
    std::vector<float> data(100, 1);
    const Ref<Work> work = mine.enqueue(all_reduce_of(data, true));
    EXPECT_EQ(work->code(), Code::kAborted);
    EXPECT_NE(work->error().find("rank 2 aborted the group 'test': the test says so"),
              std::string::npos)
        << work->error();
  });
  close_all(group);
}

TEST(Communicator, AClosedMemberIsNamed) {
  LocalWorld world(2);
  auto group = world.make_group("direct1");
  group[1]->close();
  std::vector<float> data(100, 1);
  const Ref<Work> work = group[0]->enqueue(all_reduce_of(data, true));
  EXPECT_EQ(work->code(), Code::kPeerLeft);
  EXPECT_NE(work->error().find("rank 1"), std::string::npos) << work->error();
  close_all(group);
}

TEST(Communicator, APreparedCallFailsAsItsFirstDid) {
  LocalWorld world(2);
  auto group = world.make_group("direct1");
  on_all_ranks(2, [&](int rank) { run_all_reduce(*group[static_cast<size_t>(rank)], 10, 1); });
  std::vector<float> data(10, 1);
  std::string error;
  CollectiveCall missing = all_reduce_of(data, true);
  missing.output = nullptr;
  EXPECT_THROW((void)group[0]->call(missing, &error), Error);
  group[1]->close();
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(group[0]->call(all_reduce_of(data, true), &error), Code::kPeerLeft);
    EXPECT_NE(error.find("rank 1"), std::string::npos) << error;
  }
  close_all(group);
  EXPECT_THROW((void)group[0]->call(all_reduce_of(data, true), &error), Error);
}

// One waits in a prepared call while another thread's calls queue up behind it.
TEST(Communicator, ThreadsCallTheSameAtOnce) {
  constexpr int kThreads = 3, kCalls = 500;
  LocalWorld world(2);
  auto group = world.make_group("direct1");
  on_all_ranks(2 * kThreads, [&](int thread) {
    Communicator& own = *group[static_cast<size_t>(thread % 2)];
    for (int call = 0; call < kCalls; ++call) {
      std::vector<float> data(10, 1);
      std::string error;
      ASSERT_EQ(own.call(all_reduce_of(data, true), &error), Code::kOk) << error;
      // Who is told too early finds its own ones.
      for (const float value : data) ASSERT_EQ(value, 2) << call;
      if (call % 50 == thread) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
}

TEST(Communicator, OtherThreadsCallWhileAPreparedCallWaits) {
  LocalWorld world(2);
  auto group = world.make_group("direct1");
  on_all_ranks(2, [&](int rank) { run_all_reduce(*group[static_cast<size_t>(rank)], 10, 1); });
  std::vector<float> first(10, 1),
      later[2] = {std::vector<float>(10, 2), std::vector<float>(10, 2)};
  std::atomic<bool> called{false};
  const int64_t before = group[0]->sequence();
  std::thread waiting([&] {
    std::string error;
    EXPECT_EQ(group[0]->call(all_reduce_of(first, true), &error), Code::kOk) << error;
    called = true;
  });
  while (group[0]->sequence() == before) std::this_thread::yield();
  const Ref<Work> queued = group[0]->enqueue(all_reduce_of(later[0], false));
  EXPECT_FALSE(called);
  std::vector<float> theirs(10, 1);
  std::string error;
  EXPECT_EQ(group[1]->call(all_reduce_of(theirs, true), &error), Code::kOk) << error;
  EXPECT_EQ(group[1]->call(all_reduce_of(later[1], true), &error), Code::kOk) << error;
  waiting.join();
  group[0]->wait(*queued, 0);
  EXPECT_EQ(queued->code(), Code::kOk) << queued->error();
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(first[i], 2);
    EXPECT_EQ(later[0][i], 4);
  }
  close_all(group);
}

TEST(Communicator, AVanishedProcessIsNamedByAll) {
  LocalWorld world(4, 2);
  auto group = world.make_group("ring");
  // Its sockets close without a goodbye to the group.
  world.runtime(3).shutdown();
  on_all_ranks(3, [&](int rank) {
    std::vector<float> data(100, 1);
    const Ref<Work> work = group[static_cast<size_t>(rank)]->enqueue(all_reduce_of(data, true));
    EXPECT_TRUE(work->code() == Code::kPeerLeft || work->code() == Code::kPeerDied)
        << name_of(work->code());
    EXPECT_NE(work->error().find("rank 3"), std::string::npos) << work->error();
  });
  for (int rank = 0; rank < 3; ++rank) group[static_cast<size_t>(rank)]->close();
}

// Each call is either refused or comes to an end; close() forgets none.
TEST(Communicator, CallsThatRaceWithCloseEnd) {
  LocalWorld world(2);
  for (int round = 0; round < 40; ++round) {
    auto group = world.make_group("direct1");
    std::vector<float> data[2] = {std::vector<float>(10, 1), std::vector<float>(10, 1)};
    on_all_ranks(6, [&](int index) {
      const auto rank = static_cast<size_t>(index % 2);
      Communicator& mine = *group[rank];
      if (index < 2) {
        std::this_thread::sleep_for(std::chrono::microseconds(25 * round));
        mine.close();
        return;
      }
      std::vector<Ref<Work>> works;
      try {
        while (works.size() < 1000) works.push_back(mine.enqueue(all_reduce_of(data[rank], false)));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), Code::kInvalid) << error.what();
      }
      const int64_t deadline = now_ns() + 20'000'000'000;
      for (const Ref<Work>& work : works) {
        while (!work->done() && now_ns() < deadline) std::this_thread::yield();
        ASSERT_TRUE(work->done());
        ASSERT_TRUE(work->code() == Code::kOk || work->code() == Code::kPeerLeft) << work->error();
      }
    });
  }
}

// The engine's thread may hold the last reference to a communicator, and so to its own engine.
TEST(Communicator, TheLastReferenceMayGoOnTheEnginesThread) {
  MemoryStore store;
  const std::string plan = read_plan(2, 0, "ring");
  on_all_ranks(2, [&](int rank) {
    auto mine = Communicator::connect(std::make_shared<Engine>(Runtime::create(Settings())), store,
                                      {rank, 2, 60'000, "short"});
    mine->install_plan(plan.data(), plan.size());
    mine->ready(store);
    std::vector<float> data(100, 1);
    CollectiveCall call = all_reduce_of(data, false);
    call.options.on_done = [](void* last, int) {
      static_cast<std::shared_ptr<Communicator>*>(last)->reset();
    };
    call.options.on_done_ctx = &mine;
    const std::weak_ptr<Communicator> seen = mine;
    const Ref<Work> work = mine->enqueue(call);
    while (!work->done() || !seen.expired()) std::this_thread::yield();
    EXPECT_EQ(work->code(), Code::kOk) << work->error();
  });
}

TEST(Communicator, PlansThatDifferAreRefused) {
  LocalWorld world(2);
  MemoryStore store;
  std::atomic<int> refused{0};
  auto group = world.make_group("");  // so that links exist
  on_all_ranks(2, [&](int rank) {
    MemoryStore* shared = &store;
    auto mine = Communicator::connect(group[static_cast<size_t>(rank)]->shared_engine(), *shared,
                                      {rank, 2, 10'000, "differs"});
    const std::string plan = read_plan(2, 0, rank == 0 ? "ring" : "tree");
    mine->install_plan(plan.data(), plan.size());
    try {
      mine->ready(*shared);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kMismatch);
      refused.fetch_add(1);
    }
    mine->close();
  });
  EXPECT_EQ(refused.load(), 2);
  close_all(group);
}

TEST(Communicator, ARankThatNeverComesIsNamed) {
  LocalWorld world(2);
  auto group = world.make_group("");
  MemoryStore store;
  try {
    Communicator::connect(group[0]->shared_engine(), store, {0, 2, 200, "lonely"});
    FAIL() << "rank 1 never came";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kTimeout);
    EXPECT_NE(
        std::string(error.what()).find("rank 1 of group 'lonely' did not appear within 200 ms"),
        std::string::npos)
        << error.what();
  }
  close_all(group);
}

}  // namespace
}  // namespace distos_coll::testing
