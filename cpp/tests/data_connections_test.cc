// The connections that carry a link's frames: how they come together, and what they say of the
// peer.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "comm/liveness.h"
#include "tests/runtimes.h"
#include "tests/stranger.h"

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
