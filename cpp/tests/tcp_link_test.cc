#include "transport/tcp_link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <memory>
#include <thread>
#include <utility>

#include "tests/links.h"
#include "tests/tcp_pairs.h"

namespace distos_coll {
namespace {

using testing::CheckingSink;
using testing::connected;
using testing::only;
using testing::TestFrame;
using testing::wait_readable;

struct Pair {
  explicit Pair(const std::string& ip = "127.0.0.1") {
    auto [client, server] = connected(ip);
    usable = client.valid() && server.valid();
    if (!usable) return;
    links[0] =
        std::make_unique<TcpLink>(only(std::move(client)), "host b (x:1)", [this] { ++staged; });
    links[1] = std::make_unique<TcpLink>(only(std::move(server)), "host a (x:2)", [] {});
  }
  bool usable = false;
  std::atomic<int> staged{0};
  std::unique_ptr<TcpLink> links[2];
};

Code send(Link& link, const TestFrame& frame) {
  return link.try_send(frame.header, frame.payload.data());
}

class TcpLinkByFamily : public ::testing::TestWithParam<const char*> {};

TEST_P(TcpLinkByFamily, CarriesFramesUnderBackPressure) {
  Pair pair(GetParam());
  if (!pair.usable) GTEST_SKIP() << "no " << GetParam();
  CheckingSink sink(5);
  CheckingSink nothing(0);
  uint64_t sent = 0;
  int full = 0;
  while (sent < 3000) {
    if (send(*pair.links[0], TestFrame(5, sent)) == Code::kOk) {
      ++sent;
      continue;
    }
    ++full;
    EXPECT_TRUE(pair.links[0]->wants_write());
    wait_readable(pair.links[1]->sockets()[0]);
    pair.links[1]->poll(sink, 3);
    pair.links[0]->poll(nothing, 1);
  }
  while (sink.received() < sent) {
    pair.links[0]->poll(nothing, 1);
    if (pair.links[1]->poll(sink, INT_MAX) == 0 && !pair.links[0]->wants_write())
      wait_readable(pair.links[1]->sockets()[0]);
  }
  EXPECT_GT(full, 0);
  EXPECT_GT(pair.staged.load(), 0);
  EXPECT_FALSE(pair.links[0]->broken());
}

INSTANTIATE_TEST_SUITE_P(Families, TcpLinkByFamily, ::testing::Values("127.0.0.1", "::1"));

TEST(TcpLink, BudgetLeavesFramesThatHasFramesReports) {
  Pair pair;
  for (uint64_t n = 0; n < 5; ++n) {
    FrameHeader header;
    ASSERT_EQ(pair.links[0]->try_send(header, nullptr), Code::kOk);
  }
  struct Count : FrameSink {
    void on_frame(const FrameHeader&, const std::byte*) override { ++frames; }
    int frames = 0;
  } sink;
  while (sink.frames < 2) {
    wait_readable(pair.links[1]->sockets()[0]);
    pair.links[1]->poll(sink, 2 - sink.frames);
  }
  while (sink.frames < 5) pair.links[1]->poll(sink, 1);
  EXPECT_FALSE(pair.links[1]->has_frames());
}

TEST(TcpLink, TwoThreadsSendAndTwoPoll) {
  Pair pair;
  constexpr int kEach = 1500;
  struct Count : FrameSink {
    void on_frame(const FrameHeader& header, const std::byte* payload) override {
      for (uint32_t i = 0; i < header.bytes; ++i)
        ASSERT_EQ(payload[i], static_cast<std::byte>(header.source));
      frames.fetch_add(1);
    }
    std::atomic<int> frames{0};
  } sink;
  std::vector<std::thread> threads;
  for (uint32_t id = 0; id < 2; ++id) {
    threads.emplace_back([&, id] {
      const std::vector<std::byte> payload(3000, static_cast<std::byte>(id));
      FrameHeader header;
      header.source = id;
      header.bytes = 3000;
      struct Ignore : FrameSink {
        void on_frame(const FrameHeader&, const std::byte*) override {}
      } ignore;
      for (int i = 0; i < kEach; ++i) {
        while (pair.links[0]->try_send(header, payload.data()) == Code::kAgain)
          std::this_thread::yield();
      }
      while (pair.links[0]->wants_write()) pair.links[0]->poll(ignore, 1);
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

// Sends raw bytes to a link and expects it to break; returns why().
std::string why_after(const std::string& bytes, bool close_after, int* delivered) {
  auto [client, server] = connected("127.0.0.1");
  TcpLink link(only(std::move(server)), "host a (10.0.0.1:5)", [] {});
  EXPECT_EQ(::send(client.get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  if (close_after) client.reset();
  struct Count : FrameSink {
    void on_frame(const FrameHeader&, const std::byte*) override { ++frames; }
    int frames = 0;
  } sink;
  while (!link.broken()) {
    wait_readable(link.sockets()[0]);
    link.poll(sink, INT_MAX);
  }
  FrameHeader header;
  EXPECT_EQ(link.try_send(header, nullptr), Code::kPeerDied);
  *delivered = sink.frames;
  return link.why();
}

std::string header_bytes(uint32_t payload, uint16_t kind, uint32_t order = 0) {
  FrameHeader header;
  header.order = order;
  header.bytes = payload;
  header.kind = static_cast<FrameKind>(kind);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header);
}

TEST(TcpLink, EndsAndCorruptionSayWhy) {
  int delivered = 0;
  EXPECT_NE(why_after(header_bytes(0, 1), true, &delivered).find("closed the connection"),
            std::string::npos);
  EXPECT_EQ(delivered, 1);
  EXPECT_NE(why_after(header_bytes(100, 1), true, &delivered).find("middle of a frame"),
            std::string::npos);
  EXPECT_EQ(delivered, 0);
  EXPECT_NE(why_after(header_bytes(kMaxFramePayload + 1, 1), false, &delivered).find("corrupt"),
            std::string::npos);
  EXPECT_NE(why_after(header_bytes(0, 0), false, &delivered).find("corrupt"), std::string::npos);
  EXPECT_NE(why_after(header_bytes(0, 1) + header_bytes(0, 8), false, &delivered).find("corrupt"),
            std::string::npos);
  EXPECT_EQ(delivered, 1);
  // The second has the number of the first; a number ahead is another connection's, and there is
  // none.
  EXPECT_NE(why_after(header_bytes(0, 1) + header_bytes(0, 1), false, &delivered).find("corrupt"),
            std::string::npos);
  EXPECT_NE(why_after(header_bytes(0, 1, 7), false, &delivered).find("out of order"),
            std::string::npos);
  EXPECT_EQ(delivered, 0);
  EXPECT_NE(why_after("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: long enough for a header\r\n\r\n",
                      false, &delivered)
                .find("10.0.0.1:5"),
            std::string::npos);
}

// A sender that finds the peer gone must not throw away what the peer had sent before it went.
TEST(TcpLink, FailedSendLeavesWhatHadArrived) {
  Pair pair;
  constexpr uint64_t kFrames = 50;
  for (uint64_t n = 0; n < kFrames; ++n) {
    FrameHeader header;
    header.b = n;
    ASSERT_EQ(pair.links[1]->try_send(header, nullptr), Code::kOk);
  }
  // Only what our kernel has is safe: the reset that answers a send makes the other kernel drop the
  // rest.
  while (!pair.links[1]->flushed()) std::this_thread::yield();
  pair.links[1].reset();
  const TestFrame frame(1, 0);
  while (send(*pair.links[0], frame) != Code::kPeerDied) std::this_thread::yield();
  struct Count : FrameSink {
    void on_frame(const FrameHeader& header, const std::byte*) override {
      EXPECT_EQ(header.b, frames++);
    }
    uint64_t frames = 0;
  } sink;
  while (!pair.links[0]->broken()) pair.links[0]->poll(sink, 3);
  EXPECT_EQ(sink.frames, kFrames);
  EXPECT_NE(pair.links[0]->why().find("host b"), std::string::npos);
}

TEST(TcpLink, FlushedOnlyWhenThePeersKernelHasEverything) {
  Pair pair;
  CheckingSink sink(1);
  uint64_t sent = 0;
  while (send(*pair.links[0], TestFrame(1, sent)) == Code::kOk) ++sent;
  EXPECT_FALSE(pair.links[0]->flushed());
  while (sink.received() < sent) {
    pair.links[0]->flushed();
    pair.links[1]->poll(sink, INT_MAX);
  }
  while (!pair.links[0]->flushed()) std::this_thread::yield();
  pair.links[1].reset();
}

TEST(TcpLink, ClosedForSendingOnly) {
  Pair pair;
  pair.links[0]->close_sending();
  EXPECT_EQ(send(*pair.links[0], TestFrame(1, 0)), Code::kPeerDied);
  ASSERT_EQ(send(*pair.links[1], TestFrame(1, 0)), Code::kOk);
  CheckingSink sink(1);
  wait_readable(pair.links[0]->sockets()[0]);
  EXPECT_EQ(pair.links[0]->drain(sink), 1);
}

}  // namespace
}  // namespace distos_coll
