#include "transport/tcp_socket.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/log.h"
#include "core/status.h"

namespace distos_coll {
namespace {

// Up to here a copy beside the header is cheaper than what the kernel does for two pieces.
constexpr size_t kSmallPayload = 464;

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

ssize_t send_frame(int socket, const FrameHeader& header, const void* payload) {
  if (header.bytes <= kSmallPayload) {
    std::array<std::byte, sizeof header + kSmallPayload> whole;
    std::memcpy(whole.data(), &header, sizeof header);
    if (header.bytes > 0) std::memcpy(whole.data() + sizeof header, payload, header.bytes);
    return ::send(socket, whole.data(), sizeof header + header.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  iovec parts[2] = {{const_cast<FrameHeader*>(&header), sizeof header},
                    {const_cast<void*>(payload), header.bytes}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

TcpSocket::TcpSocket(Fd socket)
    : socket_(std::move(socket)), staging_(sizeof(FrameHeader) + kMaxFramePayload) {
  const int on = 1;
  if (setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
    throw_errno("TCP_NODELAY", errno);
}

Code TcpSocket::send(const FrameHeader& header, const void* payload) {
  if (!flush()) return send_error_ != 0 ? Code::kPeerDied : Code::kAgain;
  const ssize_t sent = send_frame(fd(), header, payload);
  if (sent < 0 && !would_block(errno)) {
    send_error_ = errno;
    return Code::kPeerDied;
  }
  // Taken even if the kernel took nothing: with bytes staged, wants_write() makes sleepers watch
  // for room, which kAgain alone would not.
  const auto done = static_cast<size_t>(std::max<ssize_t>(sent, 0));
  if (done == sizeof header + header.bytes) return Code::kOk;
  const size_t of_header = std::min(done, sizeof header);
  const size_t of_payload = done - of_header;
  stage(reinterpret_cast<const std::byte*>(&header) + of_header, sizeof header - of_header);
  stage(static_cast<const std::byte*>(payload) + of_payload, header.bytes - of_payload);
  return Code::kOk;
}

void TcpSocket::stage(const std::byte* data, size_t bytes) {
  if (bytes == 0) return;
  const size_t used = staged_.load(std::memory_order_relaxed);
  if (used == 0) staging_begin_ = 0;
  std::memcpy(staging_.data() + staging_begin_ + used, data, bytes);
  staged_.store(used + bytes, std::memory_order_release);
}

bool TcpSocket::flush() {
  size_t left = staged_.load(std::memory_order_relaxed);
  while (left > 0) {
    const ssize_t sent =
        ::send(fd(), staging_.data() + staging_begin_, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (!would_block(errno)) send_error_ = errno;
      return false;
    }
    staging_begin_ += static_cast<size_t>(sent);
    left -= static_cast<size_t>(sent);
    staged_.store(left, std::memory_order_release);
  }
  return true;
}

bool TcpSocket::acknowledged() const {
  int unsent = 0;
  return ioctl(fd(), SIOCOUTQ, &unsent) != 0 || unsent == 0;
}

bool TcpSocket::fill() {
  if (ended_) return false;
  size_t room = 0;
  std::byte* at = received_.room(&room);
  if (room == 0) return false;
  const ssize_t got = recv(fd(), at, room, MSG_DONTWAIT);
  if (got > 0) {
    received_.commit(static_cast<size_t>(got));
    // A short read emptied the socket: asking again would only cost a system call.
    return static_cast<size_t>(got) == room;
  }
  if (got < 0 && would_block(errno)) return false;
  ended_ = true;
  receive_error_ = got < 0 ? errno : 0;
  return false;
}

void TcpSocket::note_room() {
  const bool idle = ended_ || received_.full();
  if (idle == wants_no_read()) return;
  idle_.store(idle, std::memory_order_release);
  idle ? leave_epoll() : enter_epoll();
}

void TcpSocket::watch(int epoll, uint64_t token) {
  epoll_ = epoll;
  token_ = token;
  if (!wants_no_read()) enter_epoll();
}

void TcpSocket::unwatch() {
  leave_epoll();
  epoll_ = -1;
}

void TcpSocket::enter_epoll() {
  if (epoll_ < 0) return;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = token_;
  // Without it only latency suffers: passes poll the links that have frames, and sleeps are
  // bounded.
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd(), &event) != 0)
    log(LogLevel::kError, "epoll_ctl for a data connection failed (errno %d)", errno);
}

// Out of it, not only with nothing to wait for: an end is reported all the same.
void TcpSocket::leave_epoll() {
  if (epoll_ >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, fd(), nullptr);
}

}  // namespace distos_coll
