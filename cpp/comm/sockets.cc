#include "comm/sockets.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

#include "comm/handshake.h"
#include "core/clock.h"
#include "transport/interfaces.h"

namespace distos_coll {
namespace {

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn

std::string error_text(int error) { return std::generic_category().message(error); }

struct UnixAddress {
  sockaddr_un raw{};
  socklen_t bytes = 0;
};

bool to_unix_address(const std::string& name, UnixAddress* out, std::string* why) {
  if (name.empty() || name.size() > sizeof out->raw.sun_path - 1) {
    *why = "the name of the Unix socket is empty or too long";
    return false;
  }
  out->raw.sun_family = AF_UNIX;
  std::memcpy(out->raw.sun_path + 1, name.data(), name.size());
  out->bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return true;
}

Fd make_socket(int family, int type, std::string* why) {
  Fd socket = open_fd([&] { return ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
  if (!socket.valid()) *why = "cannot make a socket: " + error_text(errno);
  return socket;
}

Fd finish_connect(Fd socket, const sockaddr* address, socklen_t bytes, int64_t deadline_ns,
                  std::string* why) {
  if (!socket.valid()) return Fd();
  if (connect(socket.get(), address, bytes) == 0) return socket;
  // EAGAIN: the queue of a Unix listener is full.
  if (errno != EINPROGRESS) {
    *why = error_text(errno);
    return Fd();
  }
  int error = ETIMEDOUT;
  socklen_t size = sizeof error;
  if (wait_for_socket(socket.get(), POLLOUT, deadline_ns))
    getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0) return socket;
  *why = error_text(error);
  return Fd();
}

}  // namespace

Fd listen_unix(const std::string& name, std::string* why) {
  UnixAddress address;
  if (!to_unix_address(name, &address, why)) return Fd();
  Fd socket = make_socket(AF_UNIX, SOCK_SEQPACKET, why);
  if (!socket.valid()) return Fd();
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address.raw), address.bytes) == 0 &&
      ::listen(socket.get(), kBacklog) == 0)
    return socket;
  *why = "cannot listen on a Unix socket: " + error_text(errno);
  return Fd();
}

Fd listen_tcp(const std::string& ip, uint16_t* port, std::string* why) {
  sockaddr_storage address{};
  socklen_t bytes = 0;
  if (!to_sockaddr(ip, *port, &address, &bytes)) {
    *why = "not an IP address";
    return Fd();
  }
  Fd socket = make_socket(address.ss_family, SOCK_STREAM, why);
  if (!socket.valid()) return Fd();
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  const int on = 1;
  if (address.ss_family == AF_INET6)
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  // A port that was asked for may still have connections of the job before in TIME_WAIT.
  if (*port != 0) setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(socket.get(), raw, bytes) != 0 || ::listen(socket.get(), kBacklog) != 0 ||
      getsockname(socket.get(), raw, &bytes) != 0) {
    *why = "cannot listen: " + error_text(errno);
    return Fd();
  }
  *port = ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(raw)->sin6_port
                                              : reinterpret_cast<sockaddr_in*>(raw)->sin_port);
  return socket;
}

Fd connect_unix(const std::string& name, int64_t deadline_ns, std::string* why) {
  UnixAddress address;
  if (!to_unix_address(name, &address, why)) return Fd();
  return finish_connect(make_socket(AF_UNIX, SOCK_SEQPACKET, why),
                        reinterpret_cast<sockaddr*>(&address.raw), address.bytes, deadline_ns, why);
}

Fd connect_tcp(const std::string& ip, uint16_t port, int64_t deadline_ns, std::string* why) {
  sockaddr_storage address{};
  socklen_t bytes = 0;
  if (!to_sockaddr(ip, port, &address, &bytes)) {
    *why = "not an IP address";
    return Fd();
  }
  Fd socket = finish_connect(make_socket(address.ss_family, SOCK_STREAM, why),
                             reinterpret_cast<sockaddr*>(&address), bytes, deadline_ns, why);
  if (socket.valid()) set_no_delay(socket.get());
  return socket;
}

bool wait_for_socket(int fd, short events, int64_t deadline_ns) {
  for (;;) {
    const int64_t left_ms = (deadline_ns - now_ns() + 999'999) / 1'000'000;
    pollfd one{fd, events, 0};
    const int ready = poll(&one, 1, static_cast<int>(std::clamp<int64_t>(left_ms, 0, 1 << 30)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    if (left_ms <= 0) return false;
  }
}

}  // namespace distos_coll
