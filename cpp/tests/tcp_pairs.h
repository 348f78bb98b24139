// For tests of TCP links: connected sockets over loopback.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "transport/interfaces.h"

namespace distos_coll::testing {

// A connected pair; small buffers so that back-pressure comes soon.
inline std::pair<Fd, Fd> connected(const std::string& ip = "127.0.0.1") {
  sockaddr_storage address{};
  socklen_t bytes = 0;
  to_sockaddr(ip, 0, &address, &bytes);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  Fd listener = open_fd([&] { return socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0); });
  const int small = 64 * 1024;
  setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (!listener.valid() || bind(listener.get(), raw, bytes) != 0 || listen(listener.get(), 1) != 0)
    return {};
  getsockname(listener.get(), raw, &bytes);
  Fd client = open_fd([&] { return socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0); });
  setsockopt(client.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  if (connect(client.get(), raw, bytes) != 0) return {};
  return {std::move(client),
          open_fd([&] { return accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC); })};
}

inline std::vector<Fd> only(Fd socket) {
  std::vector<Fd> sockets;
  sockets.push_back(std::move(socket));
  return sockets;
}

inline void wait_readable(int fd) {
  pollfd each{fd, POLLIN, 0};
  ::poll(&each, 1, -1);
}

}  // namespace distos_coll::testing
