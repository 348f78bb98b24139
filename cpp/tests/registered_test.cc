// Registered memory: the table of regions between two runtimes, and operations on it, with ranks as
// threads.
#include <cstring>

#include "comm/bytes.h"
#include "comm/regions.h"
#include "tests/local_group.h"
#include "tests/runtimes.h"

namespace distos_coll::testing {
namespace {

constexpr size_t kBytes = 64 << 10;
const std::string kRegistered = "direct2/registered";

class TwoRuntimes : public ::testing::Test {
 protected:
  void SetUp() override {
    Settings settings = shm_only();
    settings.registered_cache = 2 * kBytes;
    runtimes_ = {Runtime::create(settings), Runtime::create(settings)};
    peers_ = connect_all(runtimes_);
  }
  void TearDown() override {
    for (const auto& runtime : runtimes_) runtime->shutdown();
  }

  Regions& regions(size_t rank) { return *runtimes_[rank]->regions(); }
  std::vector<PeerUid> other() const { return {runtimes_[1]->card().uid}; }
  const PeerUid& own() const { return runtimes_[0]->card().uid; }
  // Rank 0's, once rank 1 maps it.
  std::shared_ptr<std::byte> mapped(size_t bytes) {
    auto memory = regions(0).allocate(bytes);
    EXPECT_TRUE(run_until(*runtimes_[0], [&] { return place_of(memory, bytes).region != 0; }));
    return memory;
  }
  Regions::Place place_of(const std::shared_ptr<std::byte>& memory, size_t bytes) {
    return regions(0).find(memory.get(), bytes, other());
  }

  std::vector<std::shared_ptr<Runtime>> runtimes_;
  PeerMatrix peers_;
};

TEST_F(TwoRuntimes, WhatOneWritesTheOtherReads) {
  EXPECT_FALSE(regions(0).any_mapped(other()));
  const auto memory = mapped(kBytes);
  EXPECT_TRUE(regions(0).any_mapped(other()));
  std::memset(memory.get(), 7, kBytes);
  const auto place = regions(0).find(memory.get() + 100, 50, other());
  EXPECT_EQ(place.offset, 100u);
  const auto there = regions(1).of_peer(own(), place.region);
  ASSERT_NE(there, nullptr);
  EXPECT_EQ(there->size(), kBytes);
  EXPECT_EQ(there->data()[kBytes - 1], std::byte{7});
  there->data()[3] = std::byte{9};
  EXPECT_EQ(memory.get()[3], std::byte{9});
}

TEST_F(TwoRuntimes, LittleMemoryIsNotWorthIt) {
  EXPECT_EQ(regions(0).allocate(Regions::kSmallest - 1), nullptr);
  EXPECT_NE(regions(0).allocate(Regions::kSmallest), nullptr);
}

TEST_F(TwoRuntimes, OnlyWhatLiesWholeInARegionIsFound) {
  const auto memory = mapped(kBytes);
  EXPECT_EQ(regions(0).find(memory.get() + 1, kBytes, other()).region, 0u);
  EXPECT_EQ(regions(0).find(memory.get() - 1, 2, other()).region, 0u);
  EXPECT_EQ(regions(0).find(&kBytes, 1, other()).region, 0u);
  EXPECT_NE(regions(0).find(memory.get() + kBytes, 0, other()).region, 0u);
  // Somebody who does not map it must, too.
  EXPECT_EQ(regions(0).find(memory.get(), 1, {other()[0], PeerUid{1}}).region, 0u);
}

TEST_F(TwoRuntimes, WhatIsLetGoOfIsKeptUpToTheLimitAndThenUnmapped) {
  auto first = mapped(kBytes);
  const uint64_t id = place_of(first, kBytes).region;
  const std::byte* const address = first.get();
  first.reset();
  EXPECT_EQ(regions(0).bytes(), kBytes);
  // Reused without a word to anybody.
  first = regions(0).allocate(kBytes - 100);
  EXPECT_EQ(first.get(), address);
  EXPECT_EQ(place_of(first, kBytes).region, id);
  auto second = mapped(2 * kBytes);
  first.reset();
  second.reset();  // pushes the first one out
  EXPECT_EQ(regions(0).bytes(), 2 * kBytes);
  EXPECT_TRUE(run_until(*runtimes_[1], [&] { return regions(1).of_peer(own(), id) == nullptr; }));
}

TEST_F(TwoRuntimes, DistrustedMemoryIsNotUsedAgain) {
  auto memory = mapped(kBytes);
  const auto place = place_of(memory, kBytes);
  // As somebody whose operation goes on holds it.
  const auto there = regions(1).of_peer(own(), place.region);
  regions(0).distrust(place);
  memory.reset();
  EXPECT_EQ(regions(0).bytes(), 0u);
  EXPECT_TRUE(
      run_until(*runtimes_[1], [&] { return regions(1).of_peer(own(), place.region) == nullptr; }));
  std::memset(there->data(), 1, there->size());
}

TEST_F(TwoRuntimes, NorIsWhatIsDistrustedOnceItIsKept) {
  auto memory = mapped(kBytes);
  const auto place = place_of(memory, kBytes);
  memory.reset();
  regions(0).distrust(place);
  memory = regions(0).allocate(kBytes);
  EXPECT_NE(regions(0).find(memory.get(), kBytes, {}).region, place.region);
}

TEST_F(TwoRuntimes, ItSurvivesTheEndOfThePeerAndOfItsOwnRuntime) {
  auto memory = mapped(kBytes);
  const auto place = place_of(memory, kBytes);
  const auto there = regions(1).of_peer(own(), place.region);
  runtimes_[1]->shutdown();
  EXPECT_TRUE(run_until(*runtimes_[0], [&] { return !regions(0).any_mapped(other()); }));
  there->data()[0] = std::byte{5};
  EXPECT_EQ(memory.get()[0], std::byte{5});
  runtimes_[0]->shutdown();
  memory.get()[1] = std::byte{6};
  memory.reset();
  EXPECT_EQ(there->data()[1], std::byte{6});
  // Memory can still be had, by itself.
  EXPECT_NE(regions(0).allocate(kBytes), nullptr);
}

TEST_F(TwoRuntimes, WhoHasEndedIsNotTold) {
  const std::shared_ptr<Peer>& peer = peers_[0][1];
  runtimes_[1]->shutdown();
  EXPECT_TRUE(run_until(*runtimes_[0], [&] { return peer.use_count() == 1; }));
  // As when it ends between the look at the peers and the message to them.
  const auto late = std::make_shared<Regions>([&] { return std::vector{peer}; }, 0);
  const auto memory = late->allocate(kBytes);
  EXPECT_EQ(peer.use_count(), 1);
}

TEST_F(TwoRuntimes, OnePeersRegionsAreLimited) {
  const std::shared_ptr<Peer>& peer = peers_[0][1];
  runtimes_[1]->shutdown();
  EXPECT_TRUE(run_until(*runtimes_[0], [&] { return peer->state() != PeerState::kAlive; }));
  const auto own = std::make_shared<Regions>(nullptr, 0, 2);
  Fd fd;
  const Mapping memory = Mapping::create("test", kBytes, &fd);
  const auto offer = [&](uint64_t id) {
    ByteWriter out;
    out.number(id);
    out.number(uint64_t{kBytes});
    own->on_control(*peer, ControlKind::kRegion, out.take(), fd);
    return own->of_peer(peer->card().uid, id) != nullptr;
  };
  EXPECT_TRUE(offer(1) && offer(2));
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(offer(3));
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("cannot be mapped: it has more than 2 regions"), std::string::npos) << said;
}

// --- Operations

struct Buffers {
  std::shared_ptr<std::byte> memory;
  int64_t count = 0;

  float* data() const { return reinterpret_cast<float*>(memory.get()); }
  void fill(float value) const { std::fill_n(data(), count, value); }
  bool all(float value) const {
    return std::all_of(data(), data() + count, [&](float each) { return each == value; });
  }
};

Buffers registered(Communicator& group, int64_t count) {
  return {group.shared_engine()->runtime().regions()->allocate(static_cast<size_t>(count) * 4),
          count};
}

Ref<Work> start_all_reduce(Communicator& group, const Buffers& x, bool blocking) {
  CollectiveCall call;
  call.collective = Collective::kAllReduce;
  call.dtype = DType::kFloat32;
  call.input = call.output = x.data();
  call.count = x.count;
  call.options.blocking = blocking;
  return group.enqueue(call);
}

std::string all_reduce(Communicator& group, const Buffers& x, bool blocking = true) {
  const Ref<Work> work = start_all_reduce(group, x, blocking);
  group.wait(*work, 0);
  EXPECT_EQ(work->code(), Code::kOk) << work->error();
  return work->algorithm();
}

uint64_t region_of(Communicator& group, const Buffers& x, const std::vector<PeerUid>& by) {
  return group.shared_engine()->runtime().regions()->find(x.data(), 1, by).region;
}

// Until all map it; all ranks hear the same, so they come out together.
void settle(Communicator& group, const Buffers& x) {
  do {
    x.fill(0);
  } while (all_reduce(group, x) != kRegistered);
}

class RegisteredOver : public ::testing::TestWithParam<int> {};

TEST_P(RegisteredOver, AllRanksReduceIntoAllOfThem) {
  const int size = GetParam();
  LocalWorld world(size);
  auto group = world.make_group("");
  on_all_ranks(size, [&](int rank) {
    Communicator& mine = *group[static_cast<size_t>(rank)];
    const Buffers x = registered(mine, 100'003);
    settle(mine, x);
    for (const bool blocking : {true, false}) {
      for (int round = 1; round < 20; ++round) {
        x.fill(static_cast<float>(round * (rank + 1)));
        EXPECT_EQ(all_reduce(mine, x, blocking), kRegistered);
        EXPECT_TRUE(x.all(static_cast<float>(round * size * (size + 1) / 2))) << round;
      }
    }
  });
  close_all(group);
}

INSTANTIATE_TEST_SUITE_P(Ranks, RegisteredOver, ::testing::Values(2, 3, 4));

TEST(Registered, OneRanksPrivateMemoryIsAVetoOfAll) {
  LocalWorld world(3);
  auto group = world.make_group("");
  on_all_ranks(3, [&](int rank) {
    Communicator& mine = *group[static_cast<size_t>(rank)];
    const Buffers x = registered(mine, 100'000);
    settle(mine, x);
    std::vector<float> own(100'000);
    const Buffers y{{reinterpret_cast<std::byte*>(own.data()), [](std::byte*) {}}, 100'000};
    for (int odd = 0; odd < 3; ++odd) {
      const Buffers& used = rank == odd ? y : x;
      used.fill(1);
      EXPECT_NE(all_reduce(mine, used), kRegistered);
      EXPECT_TRUE(used.all(3));
    }
    x.fill(1);
    EXPECT_EQ(all_reduce(mine, x), kRegistered);
  });
  close_all(group);
}

// The rounds of two groups know nothing of each other, the regions are the process's.
TEST(Registered, EveryGroupOfTheRanksUsesIt) {
  LocalWorld world(2);
  auto first = world.make_group(""), second = world.make_group("direct2");
  on_all_ranks(2, [&](int rank) {
    const auto r = static_cast<size_t>(rank);
    const Buffers x = registered(*first[r], 100'000);
    settle(*first[r], x);
    settle(*second[r], x);
  });
  close_all(first);
  close_all(second);
}

// An operation that does not offer its output says nothing of where the last one's was, which may
// be gone.
TEST(Registered, AnOutputOfBeforeIsNotOffered) {
  Settings settings;
  settings.registered_cache = 0;
  LocalWorld world(2, 0, true, settings);
  auto group = world.make_group("", 20'000);
  Buffers first[2], second[2];
  uint64_t gone[2];
  on_all_ranks(2, [&](int rank) {
    Communicator& mine = *group[static_cast<size_t>(rank)];
    first[rank] = registered(mine, 100'000);
    settle(mine, first[rank]);
    second[rank] = registered(mine, 300'000);
    const std::vector<PeerUid> other = {world.runtime(1 - rank).card().uid};
    EXPECT_TRUE(
        run_until(world.runtime(rank), [&] { return region_of(mine, second[rank], other) != 0; }));
    gone[rank] = region_of(mine, first[rank], other);
    first[rank] = {};
  });
  on_all_ranks(2, [&](int rank) {
    Runtime& runtime = world.runtime(rank);
    const PeerUid& other = world.runtime(1 - rank).card().uid;
    EXPECT_TRUE(run_until(
        runtime, [&] { return runtime.regions()->of_peer(other, gone[1 - rank]) == nullptr; }));
    CollectiveCall call;
    call.collective = Collective::kAllGather;
    call.dtype = DType::kFloat32;
    call.input = second[rank].data();
    call.output = second[rank].data() + 100'000;
    call.count = 100'000;
    call.options.blocking = true;
    const Ref<Work> work = group[static_cast<size_t>(rank)]->enqueue(call);
    EXPECT_EQ(work->code(), Code::kOk) << work->error();
    EXPECT_STREQ(work->algorithm(), "direct1/registered");
  });
  close_all(group);
}

// What nobody could use is not even asked for.
TEST(Registered, GroupsOfSeveralDomainsHaveNoUseOfIt) {
  LocalWorld world(3, 2);
  auto group = world.make_group("");
  on_all_ranks(3, [&](int rank) {
    Communicator& mine = *group[static_cast<size_t>(rank)];
    const Buffers x = registered(mine, 100'000);
    for (int i = 0; i < 20; ++i) {
      x.fill(1);
      EXPECT_NE(all_reduce(mine, x), kRegistered);
      EXPECT_TRUE(x.all(3));
    }
  });
  close_all(group);
}

TEST(Registered, RanksThatCallDifferentThingsAreTold) {
  LocalWorld world(2);
  auto group = world.make_group("", 600'000);
  on_all_ranks(2, [&](int rank) {
    Communicator& mine = *group[static_cast<size_t>(rank)];
    const Buffers x = registered(mine, 100'000);
    settle(mine, x);
    CollectiveCall call;
    call.collective = rank == 0 ? Collective::kAllReduce : Collective::kReduceScatter;
    call.dtype = DType::kFloat32;
    call.input = x.data();
    call.output = x.data() + (rank == 0 ? 0 : 50'000);
    call.count = 50'000;
    call.options.blocking = true;
    const Ref<Work> work = mine.enqueue(call);
    EXPECT_EQ(work->code(), Code::kMismatch) << work->error();
    EXPECT_NE(work->error().find("reduce_scatter of 50000 float32"), std::string::npos);
  });
  close_all(group);
}

// A rank that is late is named like in any other operation. What was offered to it is not used
// again: it may come, and write there.
TEST(Registered, ARankThatDoesNotComeIsNamed) {
  LocalWorld world(3);
  auto group = world.make_group("", 1000);
  on_all_ranks(3, [&](int rank) {
    Communicator& mine = *group[static_cast<size_t>(rank)];
    Buffers x = registered(mine, 100'000);
    settle(mine, x);
    if (rank == 2) return;
    const Ref<Work> work = start_all_reduce(mine, x, true);
    EXPECT_EQ(work->code(), Code::kTimeout);
    EXPECT_NE(work->error().find("rank 2"), std::string::npos) << work->error();
    EXPECT_STREQ(work->algorithm(), "offer");
    const uint64_t offered = region_of(mine, x, {});
    x = {};
    x = registered(mine, 100'000);
    EXPECT_NE(region_of(mine, x, {}), offered);
  });
  close_all(group);
}

}  // namespace
}  // namespace distos_coll::testing
