// For tests of handshakes: a stranger who says what the test tells it to.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/control.h"
#include "comm/handshake.h"
#include "comm/seal.h"
#include "transport/interfaces.h"

namespace distos_coll::testing {

// A stranger's side of a connection.
class Client {
 public:
  static Client unix_to(const PeerCard& card) {
    Fd socket = open_fd([] { return ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0); });
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, card.unix_name.data(), card.unix_name.size());
    const auto bytes =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + card.unix_name.size());
    EXPECT_EQ(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), bytes), 0);
    return Client(std::move(socket), true, card);
  }
  static Client tcp_to(const PeerCard& card) {
    sockaddr_storage address{};
    socklen_t bytes = 0;
    to_sockaddr(card.addresses.back().ip, card.addresses.back().port, &address, &bytes);
    Fd socket = open_fd([&] { return ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0); });
    EXPECT_EQ(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), bytes), 0);
    return Client(std::move(socket), false, card);
  }

  void send_raw(const std::string& bytes) { ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void send(MessageType type, const Handshake& body, std::vector<Fd> fds = {}) {
    Message message = seal_.close(type, body);
    message.fds = std::move(fds);
    channel_.queue(std::move(message));
    channel_.flush();
  }
  // The next message; nothing if the other side closed.
  std::optional<Message> receive() {
    std::optional<Message> got;
    while (!got) {
      pollfd readable{fd_, POLLIN, 0};
      poll(&readable, 1, -1);
      const bool open = channel_.read([&](Message message) {
        got = std::move(message);
        return false;
      });
      if (!open) break;
    }
    return got;
  }
  // The next message, which must be a handshake's that proves itself.
  std::optional<Handshake> receive_handshake() {
    const std::optional<Message> message = receive();
    std::string why = "the connection was closed";
    std::optional<Handshake> out;
    if (message) out = seal_.open(*message, &why);
    EXPECT_TRUE(out) << why;
    return out;
  }
  // Waits until the other side has closed.
  void expect_closed() { EXPECT_FALSE(receive()); }
  std::string expect_reject() {
    const auto message = receive();
    if (!message) return "closed without a word";
    EXPECT_EQ(message->type, MessageType::kReject);
    expect_closed();
    return message->payload;
  }

 private:
  Client(Fd socket, bool packets, const PeerCard& card)
      : fd_(socket.get()), channel_(std::move(socket), packets), seal_(handshake_key(card, "")) {}
  int fd_;
  ControlChannel channel_;
  Seal seal_;
};

// A card whose uid is smaller than any real one, so that it may open connections.
inline PeerCard stranger() {
  PeerCard card;
  card.uid.fill(0);
  card.pid = 1;
  card.hostname = "stranger";
  return card;
}

inline Handshake hello_to(const PeerCard& card, Role role) {
  Handshake hello;
  hello.role = role;
  hello.from = stranger().uid;
  hello.to = card.uid;
  hello.nonce = 42;
  if (role != Role::kTcpData) hello.card = stranger().encode();
  if (role == Role::kTcpControl) hello.socket = 1;
  return hello;
}

}  // namespace distos_coll::testing
