// A TCP link of several sockets. Between its two ends lie relays, one for each socket, that pass on
// what the test says, in the direction from link 0 to link 1.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/links.h"
#include "tests/tcp_pairs.h"
#include "transport/tcp_link.h"

namespace distos_coll {
namespace {

using testing::CheckingSink;
using testing::connected;
using testing::TestFrame;
using testing::wait_readable;

constexpr size_t kSockets = 3;

class Relay {
 public:
  Relay(Fd from, Fd to) : from_(std::move(from)), to_(std::move(to)) {}

  // Takes at most so many bytes; what the next socket does not take of them waits here.
  void pass_on(size_t most = 1 << 20) {
    if (waiting_.empty()) {
      waiting_.resize(most);
      const ssize_t got = recv(from_.get(), waiting_.data(), most, MSG_DONTWAIT);
      waiting_.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    }
    const ssize_t sent =
        send(to_.get(), waiting_.data(), waiting_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) waiting_.erase(waiting_.begin(), waiting_.begin() + sent);
    passed_ += static_cast<size_t>(std::max<ssize_t>(sent, 0));
  }
  size_t passed() const { return passed_; }
  // Both ends hear of a reset.
  void kill() {
    const linger at_once{1, 0};
    for (Fd* each : {&from_, &to_}) {
      setsockopt(each->get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      each->reset();
    }
  }

 private:
  Fd from_, to_;
  std::vector<char> waiting_;
  size_t passed_ = 0;
};

// Frames must come numbered from 0 in `b`.
struct InOrder : FrameSink {
  void on_frame(const FrameHeader& header, const std::byte*) override {
    EXPECT_EQ(header.b, frames++);
  }
  uint64_t frames = 0;
};

std::unique_ptr<TcpLink> link_of(std::vector<Fd> sockets, const char* peer) {
  return std::make_unique<TcpLink>(std::move(sockets), peer, [] {});
}

struct Relayed {
  Relayed() {
    std::vector<Fd> sender, receiver;
    for (size_t i = 0; i < kSockets; ++i) {
      auto [a, relay_a] = connected();
      auto [relay_b, b] = connected();
      sender.push_back(std::move(a));
      receiver.push_back(std::move(b));
      relays.emplace_back(std::move(relay_a), std::move(relay_b));
    }
    links[0] = link_of(std::move(sender), "host b");
    links[1] = link_of(std::move(receiver), "host a");
  }
  Code send(size_t payload) {
    FrameHeader header;
    header.bytes = static_cast<uint32_t>(payload);
    header.b = sent;
    const std::vector<std::byte> zeros(payload);
    const Code code = links[0]->try_send(header, zeros.data());
    if (code == Code::kOk) ++sent;
    return code;
  }
  void poll(int budget = INT_MAX) {
    links[0]->poll(nothing, 1);
    links[1]->poll(sink, budget);
  }

  std::vector<Relay> relays;
  std::unique_ptr<TcpLink> links[2];
  uint64_t sent = 0;
  InOrder sink, nothing;
};

TEST(TcpSockets, OrderIsKeptWhateverTheSocketsDo) {
  constexpr uint64_t kSeed = 11;
  constexpr uint64_t kFrames = 1500;
  Relayed pair;
  CheckingSink sink(kSeed);
  std::mt19937_64 random(3);
  while (sink.received() < kFrames) {
    const TestFrame frame(kSeed, pair.sent);
    if (pair.sent < kFrames &&
        pair.links[0]->try_send(frame.header, frame.payload.data()) == Code::kOk)
      ++pair.sent;
    // From one byte to several frames, each socket at its own pace.
    for (size_t i = 0; i < kSockets; ++i) {
      if (random() % (i + 1) == 0) pair.relays[i].pass_on(1 + random() % (200'000 >> i));
    }
    pair.links[0]->poll(pair.nothing, 1);
    pair.links[1]->poll(sink, 1 + static_cast<int>(random() % 3));
  }
  EXPECT_EQ(pair.links[0]->accepted(), kFrames);
  EXPECT_EQ(pair.links[1]->delivered(), kFrames);
  EXPECT_FALSE(pair.links[1]->has_frames());
  for (const Relay& each : pair.relays) EXPECT_GT(each.passed(), 0U);
  EXPECT_FALSE(pair.links[0]->broken() || pair.links[1]->broken());
}

TEST(TcpSockets, SmallFramesNeedOnlyTheFirst) {
  Relayed pair;
  for (int i = 0; i < 100; ++i) ASSERT_EQ(pair.send(i), Code::kOk);
  while (pair.sink.frames < pair.sent) {
    pair.relays[0].pass_on();
    pair.poll();
  }
  EXPECT_EQ(pair.relays[1].passed() + pair.relays[2].passed(), 0U);
}

bool readable(int fd) {
  pollfd each{fd, POLLIN, 0};
  return ::poll(&each, 1, 0) == 1;
}

// The epoll set of a sleeper, which `link` is in.
struct Watched {
  explicit Watched(TcpLink& link) : link(link) { link.watch(epoll.get(), kToken); }
  ~Watched() { link.unwatch(); }
  bool wakes() const {
    epoll_event event{};
    if (epoll_wait(epoll.get(), &event, 1, 0) == 0) return false;
    EXPECT_EQ(event.data.u64, kToken);
    return true;
  }

  static constexpr uint64_t kToken = 7;
  TcpLink& link;
  Fd epoll = open_fd([] { return epoll_create1(EPOLL_CLOEXEC); });
};

TEST(TcpSockets, OneThatStallsHoldsTheOthersBackWithinBounds) {
  Relayed pair;
  const Watched sleeper(*pair.links[1]);
  // The second frame is on the second socket, and whatever the others bring has to wait for it.
  bool full = false;
  for (int i = 0; i < 500; ++i) {
    full |= pair.send(kMaxFramePayload) == Code::kAgain;
    pair.relays[0].pass_on();
    pair.relays[2].pass_on();
    pair.poll();
  }
  EXPECT_EQ(pair.sink.frames, 1U);
  EXPECT_TRUE(full);
  // What cannot be taken wakes nobody.
  EXPECT_FALSE(pair.links[1]->has_frames());
  EXPECT_EQ(pair.links[1]->waits_for(2), 0);
  EXPECT_TRUE(readable(pair.links[1]->sockets()[2]));
  EXPECT_FALSE(sleeper.wakes());
  EXPECT_NE(pair.links[1]->waits_for(1), 0);
  while (pair.sink.frames < pair.sent) {
    for (Relay& each : pair.relays) each.pass_on();
    pair.poll(1);
  }
  EXPECT_NE(pair.links[1]->waits_for(2), 0);
  EXPECT_FALSE(sleeper.wakes());
  // It is awaited again.
  for (size_t i = 0; i < kSockets; ++i) ASSERT_EQ(pair.send(kMaxFramePayload), Code::kOk);
  while (!readable(pair.links[1]->sockets()[2])) pair.relays[2].pass_on();
  EXPECT_TRUE(sleeper.wakes());
}

TEST(TcpSockets, TheLinkFailsWithAnyOfThem) {
  for (size_t killed = 0; killed < kSockets; ++killed) {
    Relayed pair;
    for (size_t i = 0; i < kSockets; ++i) ASSERT_EQ(pair.send(kMaxFramePayload), Code::kOk);
    while (pair.sink.frames < pair.sent) {
      for (Relay& each : pair.relays) each.pass_on();
      pair.poll();
    }
    pair.relays[killed].kill();
    while (!pair.links[0]->broken() || !pair.links[1]->broken()) pair.poll();
    for (const auto& each : pair.links) {
      EXPECT_NE(each->why().find("connection to host"), std::string::npos) << each->why();
      EXPECT_EQ(each->try_send(FrameHeader(), nullptr), Code::kPeerDied);
    }
  }
}

// Without relays: both ends are links.
struct Direct {
  Direct() {
    std::vector<Fd> sides[2];
    for (size_t i = 0; i < kSockets; ++i) {
      auto [a, b] = connected();
      sides[0].push_back(std::move(a));
      sides[1].push_back(std::move(b));
    }
    links[0] = link_of(std::move(sides[0]), "host b");
    links[1] = link_of(std::move(sides[1]), "host a");
  }
  std::unique_ptr<TcpLink> links[2];
};

// An orderly end of one socket alone is nobody's intention. Each side ends its others when it sees
// it, so that both come to the end.
TEST(TcpSockets, AnOrderlyEndOfOneEndsAll) {
  for (const int how : {SHUT_WR, SHUT_RDWR}) {
    Direct pair;
    shutdown(pair.links[0]->sockets()[1], how);
    InOrder sink;
    while (!pair.links[0]->broken() || !pair.links[1]->broken()) {
      for (const auto& each : pair.links) each->poll(sink, 1);
    }
    EXPECT_NE(pair.links[1]->why().find("closed the connection"), std::string::npos);
  }
}

TEST(TcpSockets, AnEndWakesOnce) {
  Direct pair;
  const Watched sleeper(*pair.links[1]);
  shutdown(pair.links[0]->sockets()[1], SHUT_WR);
  InOrder sink;
  wait_readable(pair.links[1]->sockets()[1]);
  EXPECT_TRUE(sleeper.wakes());
  pair.links[1]->poll(sink, 1);
  EXPECT_FALSE(pair.links[1]->broken());
  EXPECT_FALSE(sleeper.wakes());
}

// What had not been sent before fails then, but is not the reason.
TEST(TcpSockets, AnEndIsTheReasonWhateverStillWaits) {
  Direct pair;
  FrameHeader header;
  header.bytes = kMaxFramePayload;
  const std::vector<std::byte> payload(kMaxFramePayload);
  while (pair.links[1]->try_send(header, payload.data()) == Code::kOk) {
  }
  ASSERT_TRUE(pair.links[1]->wants_write());
  shutdown(pair.links[0]->sockets()[1], SHUT_WR);
  wait_readable(pair.links[1]->sockets()[1]);
  struct Nothing : FrameSink {
    void on_frame(const FrameHeader&, const std::byte*) override {}
  } sink;
  while (!pair.links[1]->broken()) {
    pair.links[1]->poll(sink, 1);
    pair.links[0]->poll(sink, 1);
  }
  EXPECT_NE(pair.links[1]->why().find("closed the connection"), std::string::npos)
      << pair.links[1]->why();
}

TEST(TcpSockets, WhatWasSentBeforeTheEndArrives) {
  Direct pair;
  uint64_t sent = 0;
  FrameHeader header;
  const std::vector<std::byte> payload(kMaxFramePayload);
  for (size_t i = 0; i < 2 * kSockets; ++i) {
    header.bytes = i % 2 == 0 ? static_cast<uint32_t>(payload.size() / 4) : 10;
    header.b = sent;
    if (pair.links[0]->try_send(header, payload.data()) == Code::kOk) ++sent;
  }
  ASSERT_GT(sent, kSockets);
  ASSERT_FALSE(pair.links[0]->wants_write());
  pair.links[0]->close_sending();
  InOrder sink;
  while (!pair.links[1]->broken()) pair.links[1]->poll(sink, 1);
  EXPECT_EQ(sink.frames, sent);
}

// A link of two sockets, and a test that says what they bring.
struct ByHand {
  ByHand() {
    std::vector<Fd> theirs;
    for (Fd& each : ours) {
      auto [a, b] = connected();
      each = std::move(a);
      theirs.push_back(std::move(b));
    }
    link = link_of(std::move(theirs), "host a");
  }
  void send(size_t socket, uint32_t order) {
    FrameHeader header;
    header.order = order;
    ASSERT_EQ(::send(ours[socket].get(), &header, sizeof header, 0),
              static_cast<ssize_t>(sizeof header));
  }
  // Once something has come over both.
  void poll() {
    for (const int fd : link->sockets()) wait_readable(fd);
    link->poll(sink, 1);
    EXPECT_TRUE(link->broken());
    EXPECT_EQ(sink.frames, 0U);
  }

  Fd ours[2];
  std::unique_ptr<TcpLink> link;
  InOrder sink;
};

TEST(TcpSockets, NumbersThatCannotComeAreCorruption) {
  ByHand pair;
  // Nobody brings number 0: both sockets begin later.
  for (uint32_t i = 0; i < 2; ++i) pair.send(i, 1 + i);
  pair.poll();
  EXPECT_NE(pair.link->why().find("out of order"), std::string::npos) << pair.link->why();
}

TEST(TcpSockets, FramesThatWaitForOneThatHasEndedEndTheLink) {
  for (const uint32_t ended : {0, 1}) {
    ByHand pair;
    shutdown(pair.ours[ended].get(), SHUT_WR);
    pair.send(1 - ended, 1);
    pair.poll();
    EXPECT_NE(pair.link->why().find("frames are missing"), std::string::npos) << pair.link->why();
  }
}

TEST(TcpSockets, TwoThreadsSendAndTwoPoll) {
  constexpr uint64_t kEach = 300;
  Direct pair;
  InOrder nothing;
  struct Count : FrameSink {
    void on_frame(const FrameHeader& header, const std::byte* payload) override {
      for (uint32_t i = 0; i < header.bytes; i += 997)
        EXPECT_EQ(payload[i], static_cast<std::byte>(header.source));
      EXPECT_EQ(header.b, received[header.source]++);
      frames.fetch_add(1);
    }
    std::atomic<uint64_t> frames{0};
    uint64_t received[2] = {0, 0};  // by thread; the link delivers one frame at a time
  } sink;
  std::vector<std::thread> threads;
  for (uint32_t id = 0; id < 2; ++id) {
    threads.emplace_back([&, id] {
      const std::vector<std::byte> payload(40'000, static_cast<std::byte>(id));
      FrameHeader header;
      header.source = id;
      for (header.b = 0; header.b < kEach; ++header.b) {
        header.bytes = header.b % 3 == 0 ? 100 : 40'000;
        while (pair.links[0]->try_send(header, payload.data()) == Code::kAgain)
          std::this_thread::yield();
      }
      while (pair.links[0]->wants_write()) pair.links[0]->poll(nothing, 1);
    });
    threads.emplace_back([&] {
      while (sink.frames.load() < 2 * kEach) {
        if (pair.links[1]->poll(sink, 8) == 0) std::this_thread::yield();
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(sink.frames.load(), 2 * kEach);
}

}  // namespace
}  // namespace distos_coll
