#include "comm/handshake.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "transport/interfaces.h"

namespace distos_coll {

Message reject_message(const std::string& why) {
  Message message;
  message.type = MessageType::kReject;
  message.payload = why;
  return message;
}

std::string socket_address_text(int socket, bool peer_side) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  const int result =
      peer_side ? getpeername(socket, raw, &bytes) : getsockname(socket, raw, &bytes);
  return result == 0 ? address_text(address) : "unknown address";
}

void set_no_delay(int socket) {
  const int on = 1;
  // Only latency is at stake.
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

std::vector<Fd> doorbell_fds(const Doorbell& bell) {
  std::vector<Fd> fds;
  for (const int fd : {bell.memory_fd(), bell.event_fd()}) {
    Fd copy = open_fd([&] { return fcntl(fd, F_DUPFD_CLOEXEC, 0); });
    if (!copy.valid()) throw_errno("cannot duplicate the doorbell's descriptors", errno);
    fds.push_back(std::move(copy));
  }
  return fds;
}

}  // namespace distos_coll
