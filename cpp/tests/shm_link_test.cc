#include "transport/shm_link.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <climits>
#include <memory>
#include <thread>

#include "tests/links.h"

namespace distos_coll {
namespace {

using testing::CheckingSink;
using testing::TestFrame;

constexpr size_t kRing = kMinRingBytes;

// Both ends of a link in one process: two mappings of the same memory, as two processes have.
struct Pair {
  explicit Pair(size_t ring_bytes = kRing) {
    Fd memory;
    Mapping first = Mapping::create("test", pair_bytes(ring_bytes), &memory);
    Mapping second = Mapping::attach(memory, pair_bytes(ring_bytes));
    raw = Mapping::attach(memory, pair_bytes(ring_bytes));
    links[0] = std::make_unique<ShmLink>(std::move(first), ring_bytes, 0, &bells[1]);
    links[1] = std::make_unique<ShmLink>(std::move(second), ring_bytes, 1, &bells[0]);
  }
  PairPage* page() { return reinterpret_cast<PairPage*>(raw.data()); }
  FrameHeader* header_at(size_t offset) {
    return reinterpret_cast<FrameHeader*>(raw.data() + kPairPageBytes + offset);
  }

  Doorbell bells[2] = {Doorbell::create(), Doorbell::create()};
  std::unique_ptr<ShmLink> links[2];
  Mapping raw;  // a third view, to corrupt
};

Code send(Link& link, const TestFrame& frame) {
  return link.try_send(frame.header, frame.payload.data());
}

TEST(ShmLink, CarriesFramesThroughManyWraps) {
  Pair pair;
  CheckingSink sink(7);
  uint64_t sent = 0;
  uint64_t full = 0;
  while (sent < 4000) {
    if (send(*pair.links[0], TestFrame(7, sent)) == Code::kOk) {
      ++sent;
    } else {
      ++full;
      ASSERT_GT(pair.links[1]->poll(sink, 1 + static_cast<int>(sent % 5)), 0);
    }
  }
  while (pair.links[1]->poll(sink, INT_MAX) > 0) {
  }
  EXPECT_EQ(sink.received(), sent);
  EXPECT_GT(full, 0U);
  EXPECT_FALSE(pair.links[1]->broken());
}

TEST(ShmLink, BothDirectionsFromThreadsThatSleep) {
  Pair pair;
  constexpr uint64_t kFrames = 5000;
  const auto play = [&](int me) {
    CheckingSink sink(static_cast<uint64_t>(1 - me));
    uint64_t sent = 0;
    while (sent < kFrames || sink.received() < kFrames) {
      const uint32_t seen = pair.bells[me].sequence();
      bool moved = sent < kFrames &&
                   send(*pair.links[me], TestFrame(static_cast<uint64_t>(me), sent)) == Code::kOk;
      sent += moved ? 1 : 0;
      moved |= pair.links[me]->poll(sink, 16) > 0;
      if (moved) continue;
      pair.bells[me].sleep(3'600'000'000, nullptr, 0, [&] {
        return pair.bells[me].sequence() != seen || pair.links[me]->has_frames();
      });
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
}

TEST(ShmLink, SeveralSendersKeepFramesWhole) {
  struct Count : FrameSink {
    void on_frame(const FrameHeader& header, const std::byte* payload) override {
      for (uint32_t i = 0; i < header.bytes; ++i)
        ASSERT_EQ(payload[i], static_cast<std::byte>(header.source));
      ++frames;
    }
    int frames = 0;
  };
  Pair pair;
  constexpr int kEach = 2000;
  std::vector<std::thread> senders;
  for (uint32_t id = 0; id < 3; ++id) {
    senders.emplace_back([&, id] {
      const std::vector<std::byte> payload(1000 + id * 777, static_cast<std::byte>(id));
      FrameHeader header;
      header.source = id;
      header.bytes = static_cast<uint32_t>(payload.size());
      for (int i = 0; i < kEach; ++i) {
        while (pair.links[0]->try_send(header, payload.data()) == Code::kAgain)
          std::this_thread::yield();
      }
    });
  }
  Count sink;
  while (sink.frames < 3 * kEach) {
    if (pair.links[1]->poll(sink, 64) == 0) std::this_thread::yield();
  }
  for (std::thread& each : senders) each.join();
}

TEST(ShmLink, FullRingTellsTheSenderOnceThereIsRoom) {
  Pair pair;
  uint64_t sent = 0;
  while (send(*pair.links[0], TestFrame(3, sent)) == Code::kOk) ++sent;
  const uint32_t before = pair.bells[0].sequence();
  EXPECT_EQ(pair.page()->ring[0].sender_waiting.load(), 1U);
  CheckingSink sink(3);
  EXPECT_EQ(pair.links[1]->poll(sink, INT_MAX), static_cast<int>(sent));
  EXPECT_NE(pair.bells[0].sequence(), before);
  EXPECT_EQ(pair.page()->ring[0].sender_waiting.load(), 0U);
  EXPECT_EQ(send(*pair.links[0], TestFrame(3, sent)), Code::kOk);
}

TEST(ShmLink, LargestFrameFitsAtEveryPosition) {
  Pair pair;
  TestFrame largest(1, 0);
  largest.payload.assign(kMaxFramePayload, std::byte{5});
  largest.header.bytes = kMaxFramePayload;
  struct Ignore : FrameSink {
    void on_frame(const FrameHeader&, const std::byte*) override {}
  } sink;
  FrameHeader empty;
  for (size_t position = 0; position < 2 * kRing; position += kFrameAlign) {
    ASSERT_EQ(send(*pair.links[0], largest), Code::kOk) << position;
    ASSERT_EQ(pair.links[0]->try_send(empty, nullptr), Code::kOk);
    ASSERT_EQ(pair.links[1]->poll(sink, INT_MAX), 2);
  }
}

TEST(ShmLink, RefusesFramesThatAreTooLong) {
  Pair pair;
  FrameHeader header;
  header.bytes = kMaxFramePayload + 1;
  EXPECT_EQ(pair.links[0]->try_send(header, nullptr), Code::kInternal);
}

TEST(ShmLink, ClosedLinkStillDeliversWhatWasPublished) {
  Pair pair;
  for (uint64_t n = 0; n < 10; ++n) ASSERT_EQ(send(*pair.links[0], TestFrame(2, n)), Code::kOk);
  pair.links[1]->close_sending();
  EXPECT_EQ(send(*pair.links[1], TestFrame(2, 0)), Code::kPeerDied);
  CheckingSink sink(2);
  EXPECT_EQ(pair.links[1]->drain(sink), 10);
}

// What a broken or hostile peer may leave in the ring. Each case must end as broken(), with nothing
// delivered from it.
struct Corruption {
  const char* name;
  std::function<void(Pair&)> apply;
};

class ShmCorruption : public ::testing::TestWithParam<Corruption> {};

TEST_P(ShmCorruption, BreaksTheLink) {
  Pair pair;
  FrameHeader header;
  header.bytes = 100;
  const std::vector<std::byte> payload(100);
  ASSERT_EQ(pair.links[0]->try_send(header, payload.data()), Code::kOk);
  GetParam().apply(pair);
  struct Fail : FrameSink {
    void on_frame(const FrameHeader&, const std::byte*) override {
      ADD_FAILURE() << "delivered a corrupt frame";
    }
  } sink;
  EXPECT_EQ(pair.links[1]->poll(sink, 10), 0);
  EXPECT_TRUE(pair.links[1]->broken());
  EXPECT_NE(pair.links[1]->why().find("corrupt"), std::string::npos) << pair.links[1]->why();
  EXPECT_EQ(pair.links[1]->poll(sink, 10), 0);
  EXPECT_EQ(pair.links[1]->try_send(header, payload.data()), Code::kPeerDied);
}

INSTANTIATE_TEST_SUITE_P(
    All, ShmCorruption,
    ::testing::Values(
        Corruption{"LengthBeyondMaximum",
                   [](Pair& p) { p.header_at(0)->bytes = kMaxFramePayload + 1; }},
        Corruption{"LengthHuge", [](Pair& p) { p.header_at(0)->bytes = UINT32_MAX; }},
        Corruption{"LengthBeyondPublished", [](Pair& p) { p.header_at(0)->bytes = 200; }},
        Corruption{"KindZero", [](Pair& p) { p.header_at(0)->kind = static_cast<FrameKind>(0); }},
        Corruption{"KindUnknown",
                   [](Pair& p) { p.header_at(0)->kind = static_cast<FrameKind>(99); }},
        Corruption{"PadBeyondPublished",
                   [](Pair& p) { p.header_at(0)->kind = static_cast<FrameKind>(0xffff); }},
        Corruption{"TailUnaligned", [](Pair& p) { p.page()->ring[0].tail.fetch_add(1); }},
        Corruption{"TailTooFar", [](Pair& p) { p.page()->ring[0].tail.fetch_add(kRing); }},
        Corruption{"TailBackwards",
                   [](Pair& p) { p.page()->ring[0].tail.store(0 - kFrameAlign); }}),
    [](const auto& info) { return info.param.name; });

// A ring published exactly full, with a pad as its only record, must not make the reader spin.
TEST(ShmLink, PadAloneIsCorrupt) {
  Pair pair;
  pair.header_at(0)->kind = static_cast<FrameKind>(0xffff);
  pair.page()->ring[0].tail.store(kRing);
  CheckingSink sink(0);
  EXPECT_EQ(pair.links[1]->poll(sink, 10), 0);
  EXPECT_TRUE(pair.links[1]->broken());
}

TEST(ShmLink, AConsumerThatLiesAboutItsHeadCannotMoveTheSender) {
  Pair pair;
  uint64_t sent = 0;
  while (send(*pair.links[0], TestFrame(3, sent)) == Code::kOk) ++sent;
  pair.page()->ring[0].head.store(uint64_t{1} << 60);
  EXPECT_EQ(send(*pair.links[0], TestFrame(3, sent)), Code::kAgain);
}

TEST(ShmLink, RingSizesArePowersOfTwoWithinLimits) {
  EXPECT_EQ(usable_ring_bytes(0), kMinRingBytes);
  EXPECT_EQ(usable_ring_bytes((1 << 20) + 1), size_t{1} << 21);
  EXPECT_EQ(usable_ring_bytes(SIZE_MAX), kMaxRingBytes);
}

}  // namespace
}  // namespace distos_coll
