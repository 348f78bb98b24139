// Ranks that call different things: every one of them is told, and by whom what was called. The
// groups' deadline is far away, so it is not the deadline that ends the operations.
#include <gtest/gtest.h>

#include <array>

#include "tests/local_group.h"

namespace distos_coll::testing {
namespace {

constexpr int kRanks = 4;
constexpr int64_t kFarAway = 600'000;

// What one rank calls, with memory for whatever it is.
struct Call {
  Collective collective = Collective::kAllReduce;
  DType dtype = DType::kFloat32;
  ReduceOp op = ReduceOp::kSum;
  int root = 0;
  int64_t count = 5;
};

class Memory {
 public:
  CollectiveCall make(const Call& call) {
    CollectiveCall out;
    out.collective = call.collective;
    out.dtype = call.dtype;
    out.op = call.op;
    out.root = call.root;
    out.count = call.count;
    out.input = input_.data();
    out.output = output_.data();
    counts_.fill(call.count);
    for (int rank = 0; rank < kRanks; ++rank)
      offsets_[static_cast<size_t>(rank)] = rank * call.count;
    out.send_counts = out.recv_counts = counts_.data();
    out.send_offsets = out.recv_offsets = offsets_.data();
    out.options.blocking = false;
    return out;
  }

 private:
  std::vector<double> input_ = std::vector<double>(4096, 1);
  std::vector<double> output_ = std::vector<double>(4096);
  std::array<int64_t, kRanks> counts_{}, offsets_{};
};

// Rank `odd` calls `other`, the rest `usual`; all at once, in as many groups as there are cases.
struct Case {
  Call usual, other;
  int odd;
};

void expect_all_named(LocalWorld& world, const std::string& algo, const std::vector<Case>& cases) {
  std::vector<LocalWorld::Group> groups;
  std::vector<std::array<Memory, kRanks>> memory(cases.size());
  for (size_t i = 0; i < cases.size(); ++i) groups.push_back(world.make_group(algo, kFarAway));
  on_all_ranks(kRanks, [&](int rank) {
    const auto r = static_cast<size_t>(rank);
    std::vector<Ref<Work>> works;
    for (size_t i = 0; i < cases.size(); ++i) {
      const Call& call = rank == cases[i].odd ? cases[i].other : cases[i].usual;
      works.push_back(groups[i][r]->enqueue(memory[i][r].make(call)));
    }
    for (size_t i = 0; i < cases.size(); ++i) {
      groups[i][r]->wait(*works[i], 0);
      // A rank that only gave, such as a broadcast's root, may be through; a later call tells it.
      const int64_t patience = now_ns() + 60'000'000'000;
      while (works[i]->code() == Code::kOk && now_ns() < patience) {
        Call next;
        next.collective = Collective::kBarrier;
        works[i] = groups[i][r]->enqueue(memory[i][r].make(next));
        groups[i][r]->wait(*works[i], 0);
        // As programs do, it computes between its calls.
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      const std::string said =
          strf("%s here, %s there, rank %d: ", name_of(cases[i].usual.collective),
               name_of(cases[i].other.collective), rank) +
          works[i]->error();
      EXPECT_EQ(works[i]->code(), Code::kMismatch) << said;
      EXPECT_NE(said.find("called different operations at #1"), std::string::npos) << said;
      EXPECT_NE(said.find(name_of(cases[i].usual.collective)), std::string::npos) << said;
      EXPECT_NE(said.find(name_of(cases[i].other.collective)), std::string::npos) << said;
      EXPECT_NE(said.find(strf("rank %d called", cases[i].odd)), std::string::npos) << said;
    }
  });
  for (auto& group : groups) close_all(group);
}

std::vector<Case> every_pair() {
  std::vector<Case> cases;
  for (int a = 0; a < kCollectiveCount; ++a) {
    for (int b = 0; b < kCollectiveCount; ++b) {
      if (a == b) continue;
      Call usual, other;
      usual.collective = static_cast<Collective>(a);
      other.collective = static_cast<Collective>(b);
      cases.push_back({usual, other, (a + b) % kRanks});
    }
  }
  return cases;
}

struct Setting {
  int domain_limit;
  const char* algo;
};

class Mismatch : public ::testing::TestWithParam<Setting> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Mismatch, ::testing::Values(Setting{0, ""}, Setting{2, "ring"}));

TEST_P(Mismatch, EveryPairOfCollectives) {
  LocalWorld world(kRanks, GetParam().domain_limit);
  expect_all_named(world, GetParam().algo, every_pair());
}

TEST_P(Mismatch, OpTypeSizeAndRoot) {
  LocalWorld world(kRanks, GetParam().domain_limit);
  std::vector<Case> cases;
  for (const Collective collective :
       {Collective::kAllReduce, Collective::kReduce, Collective::kReduceScatter}) {
    Call usual;
    usual.collective = collective;
    Call op = usual, dtype = usual, count = usual, none = usual;
    op.op = ReduceOp::kMax;
    dtype.dtype = DType::kInt32;
    count.count = 6;
    none.count = 0;
    for (const Call& other : {op, dtype, count, none}) cases.push_back({usual, other, 2});
  }
  for (const Collective collective :
       {Collective::kReduce, Collective::kBroadcast, Collective::kGather, Collective::kScatter}) {
    Call usual, root;
    usual.collective = root.collective = collective;
    root.root = 1;
    cases.push_back({usual, root, 3});
  }
  expect_all_named(world, GetParam().algo, cases);
}

// When it shows, so much has been called since that nobody remembers what it was.
TEST(MismatchOfLongAgo, IsReportedAllTheSame) {
  LocalWorld world(2);
  auto group = world.make_group("direct1", kFarAway);
  on_all_ranks(2, [&](int rank) {
    Memory memory;
    auto& mine = *group[static_cast<size_t>(rank)];
    Call call;
    call.count = 0;
    call.op = rank == 0 ? ReduceOp::kSum : ReduceOp::kMax;
    Ref<Work> work = mine.enqueue(memory.make(call));
    call.collective = Collective::kBarrier;
    const int64_t patience = now_ns() + 60'000'000'000;
    while (work->code() == Code::kOk && now_ns() < patience) {
      work = mine.enqueue(memory.make(call));
      mine.wait(*work, 0);
    }
    EXPECT_EQ(work->code(), Code::kMismatch);
    EXPECT_NE(work->error().find("called different operations"), std::string::npos)
        << work->error();
  });
  close_all(group);
}

TEST(Timeouts, SayWhereTheAbsentRanksAre) {
  LocalWorld world(3);
  auto group = world.make_group("ring", kFarAway);
  on_all_ranks(3, [&](int rank) {
    std::vector<float> data(7, 1);
    const Ref<Work> first = group[static_cast<size_t>(rank)]->enqueue(all_reduce_of(data, true));
    ASSERT_EQ(first->code(), Code::kOk) << first->error();
  });
  on_all_ranks(3, [&](int rank) {
    if (rank == 1) return;
    auto& mine = *group[static_cast<size_t>(rank)];
    std::vector<float> data(7, 1);
    CollectiveCall call = all_reduce_of(data, true);
    call.options.timeout_ms = 700;
    const Ref<Work> second = mine.enqueue(call);
    // Whose deadline passes first tells the other.
    EXPECT_EQ(second->code(), Code::kTimeout) << second->error();
    EXPECT_NE(second->error().find("has not called #2; its last is #1, all_reduce of 7 float32, op "
                                   "sum, which has finished"),
              std::string::npos)
        << second->error();
  });
  close_all(group);
}

}  // namespace
}  // namespace distos_coll::testing
