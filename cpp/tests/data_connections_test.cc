// The connections that carry a link's frames: how they come together, and what they say of the
// peer.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/liveness.h"
#include "comm/sockets.h"
#include "tests/runtimes.h"
#include "tests/stranger.h"
#include "tests/tcp_pairs.h"
#include "transport/tcp_link.h"

namespace distos_coll {
namespace {

using namespace testing;

Handshake control_of(const PeerCard& card, uint16_t sockets) {
  Handshake hello = hello_to(card, Role::kTcpControl);
  hello.socket = sockets;
  return hello;
}

Client data_to(const PeerCard& card, uint16_t place) {
  Client client = Client::tcp_to(card);
  Handshake hello = hello_to(card, Role::kTcpData);
  hello.socket = place;
  client.send(MessageType::kHello, hello);
  return client;
}

// Each data connection says which one it is, and a link is made of all of them.
TEST(DataConnections, BelongToTheirPlaces) {
  const auto tcp = Runtime::create(tcp_only());
  const Handshake control_hello = control_of(tcp->card(), 2);
  Client control = Client::tcp_to(tcp->card());
  control.send(MessageType::kHello, control_hello);
  ASSERT_TRUE(control.receive_handshake());
  Client second = data_to(tcp->card(), 1);
  ASSERT_TRUE(second.receive_handshake());
  data_to(tcp->card(), 1).expect_closed();
  data_to(tcp->card(), 2).expect_closed();
  Client first = data_to(tcp->card(), 0);
  ASSERT_TRUE(first.receive_handshake());
  control.send(MessageType::kCommit, control_hello);
  const auto committed = control.receive();
  ASSERT_TRUE(committed);
  EXPECT_EQ(committed->type, MessageType::kCommitted);
  EXPECT_NE(tcp->describe().find("2 connections were dropped"), std::string::npos)
      << tcp->describe();
}

TEST(DataConnections, MakeALinkOnlyTogether) {
  const auto tcp = Runtime::create(tcp_only());
  const Handshake control_hello = control_of(tcp->card(), 2);
  Client control = Client::tcp_to(tcp->card());
  control.send(MessageType::kHello, control_hello);
  ASSERT_TRUE(control.receive_handshake());
  Client data = data_to(tcp->card(), 0);
  ASSERT_TRUE(data.receive_handshake());
  control.send(MessageType::kCommit, control_hello);
  EXPECT_NE(control.expect_reject().find("before the data connections"), std::string::npos);
}

// The long way to a process: its answers take kDelay. To be destroyed when the ends are closed.
class LongWay {
 public:
  static constexpr std::chrono::milliseconds kDelay{150};

  explicit LongWay(const PeerCard::Address& to) : to_(to) {
    std::string why;
    listener_ = listen_tcp(address.ip, &address.port, &why);
    EXPECT_TRUE(listener_.valid()) << why;
    accepting_ = std::thread([this] { accept_all(); });
  }
  ~LongWay() {
    shutdown(listener_.get(), SHUT_RDWR);  // ends the wait for another connection
    accepting_.join();
    for (std::thread& each : passing_) each.join();
  }

  PeerCard::Address address{"lo", "127.0.0.1", 0};

 private:
  void accept_all() {
    for (;;) {
      wait_for_socket(listener_.get(), POLLIN, now_ns() + kPatienceNs);
      Fd from = open_fd([&] { return accept(listener_.get(), nullptr, nullptr); });
      if (!from.valid()) return;
      std::string why;
      Fd to = connect_tcp(to_.ip, to_.port, now_ns() + kPatienceNs, &why);
      EXPECT_TRUE(to.valid()) << why;
      passing_.emplace_back(pass_on, std::move(from), std::move(to));
    }
  }
  static void pass_on(Fd opener, Fd accepter) {
    pollfd ends[2] = {{opener.get(), POLLIN, 0}, {accepter.get(), POLLIN, 0}};
    std::vector<char> bytes(1 << 16);
    for (;;) {
      poll(ends, 2, -1);
      for (size_t i = 0; i < 2; ++i) {
        if (ends[i].revents == 0) continue;
        const ssize_t got = recv(ends[i].fd, bytes.data(), bytes.size(), 0);
        if (got <= 0) return;
        if (i == 1) std::this_thread::sleep_for(kDelay);
        send(ends[1 - i].fd, bytes.data(), static_cast<size_t>(got), MSG_NOSIGNAL);
      }
    }
  }

  const PeerCard::Address to_;
  Fd listener_;
  std::thread accepting_;
  std::vector<std::thread> passing_;
};

// Together they take longer than any one answer may.
TEST(DataConnections, ManyAreMadeOverALongWay) {
  static_assert(kMaxSocketsPerPeer * LongWay::kDelay >
                std::chrono::nanoseconds(kCandidateTimeoutNs));
  Settings settings = tcp_only();
  settings.sockets_per_peer = kMaxSocketsPerPeer;
  auto opener = Runtime::create(settings), accepter = Runtime::create(settings);
  if (accepter->card().uid < opener->card().uid) std::swap(opener, accepter);
  const LongWay way(accepter->card().addresses.back());
  PeerCard there = accepter->card();
  there.addresses = {way.address};
  const auto peers = opener->connect({there}, now_ns() + kPatienceNs);
  EXPECT_EQ(peers[0]->link().sockets().size(), kMaxSocketsPerPeer);
  opener->shutdown();
  accepter->shutdown();
}

// The control thread waits for the data of a peer that is gone, but not for what has ended.
TEST(DataConnections, OneThatHasEndedIsNotLookedAtAgain) {
  auto [control, peers_control] = connected();
  auto [data, peers_data] = connected();
  auto [open, peers_open] = connected();
  std::vector<Fd> sockets;
  sockets.push_back(std::move(data));
  sockets.push_back(std::move(open));
  Established parts;
  parts.link = std::make_unique<TcpLink>(std::move(sockets), "host a", [] {});
  const auto peer = std::make_shared<PeerImpl>(std::move(parts), [] {});
  Reactor reactor;
  RecordingComm nothing;
  int looks = 0;
  Liveness liveness(reactor, 1000,
                    {[](PeerImpl&, Message) {},
                     [&](PeerImpl& ended) {
                       ++looks;
                       ended.link().drain(nothing);
                     },
                     [&](const std::shared_ptr<PeerImpl>&) { reactor.stop(); }});
  liveness.add(peer, std::make_unique<ControlChannel>(std::move(control), false), Fd());
  peers_data.reset();
  peers_control.reset();
  reactor.run();
  EXPECT_EQ(peer->state(), PeerState::kDead);
  EXPECT_LE(looks, 2);
}

// A network so crowded that heartbeats are late still carries frames.
TEST(DataConnections, FramesAreASignOfLife) {
  Settings settings = tcp_only();
  settings.heartbeat_ms = 50;
  const auto tcp = Runtime::create(settings);
  const Handshake control_hello = control_of(tcp->card(), 1);
  Client control = Client::tcp_to(tcp->card());
  control.send(MessageType::kHello, control_hello);
  ASSERT_TRUE(control.receive_handshake());
  Client data = data_to(tcp->card(), 0);
  ASSERT_TRUE(data.receive_handshake());
  control.send(MessageType::kCommit, control_hello);
  ASSERT_TRUE(control.receive());
  RecordingComm comm;
  tcp->register_comm(1, &comm);
  std::thread rank([&] { EXPECT_TRUE(run_until(*tcp, [&] { return comm.n_losses() == 1; })); });
  // It says no heartbeat itself, and a frame for each that it hears.
  FrameHeader header;
  header.comm = 1;
  for (uint32_t heard = 0; heard < 3 * kMissedHeartbeats; ++heard) {
    const auto message = control.receive();
    ASSERT_TRUE(message);
    ASSERT_EQ(message->type, MessageType::kHeartbeat);
    header.order = heard;
    data.send_raw(std::string(reinterpret_cast<const char*>(&header), sizeof header));
  }
  EXPECT_EQ(comm.n_losses(), 0U);
  // Silent on both it is dead.
  rank.join();
  EXPECT_NE(comm.losses()[0].why.find("no heartbeat"), std::string::npos) << comm.losses()[0].why;
  tcp->unregister_comm(1);
}

}  // namespace
}  // namespace distos_coll
