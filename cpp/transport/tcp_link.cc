#include "transport/tcp_link.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>
#include <utility>

namespace distos_coll {
namespace {

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

std::string error_text(int error) { return std::generic_category().message(error); }

}  // namespace

void acknowledge_now(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

TcpLink::TcpLink(Fd socket, std::string peer, std::function<void()> on_staged)
    : socket_(std::move(socket)),
      peer_(std::move(peer)),
      on_staged_(std::move(on_staged)),
      staging_(sizeof(FrameHeader) + kMaxFramePayload) {
  const int on = 1;
  if (setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
    throw_errno("TCP_NODELAY", errno);
}

Code TcpLink::try_send(const FrameHeader& header, const void* payload) {
  if (header.bytes > kMaxFramePayload) return Code::kInternal;
  if (closed_.load(std::memory_order_acquire) || broken() || in_forked_child())
    return Code::kPeerDied;
  const std::lock_guard lock(send_mutex_);
  if (!flush_staging())
    return closed_.load(std::memory_order_acquire) ? Code::kPeerDied : Code::kAgain;

  iovec parts[2] = {{const_cast<FrameHeader*>(&header), sizeof header},
                    {const_cast<void*>(payload), header.bytes}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = header.bytes > 0 ? 2 : 1;
  const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (would_block(errno)) {
      // Taken nevertheless: with bytes staged, wants_write() makes sleepers watch for room, which
      // kAgain alone would not.
      stage(reinterpret_cast<const std::byte*>(&header), sizeof header);
      stage(static_cast<const std::byte*>(payload), header.bytes);
      accepted_.fetch_add(1, std::memory_order_release);
      on_staged_();
      return Code::kOk;
    }
    stop_sending(errno);
    return Code::kPeerDied;
  }
  accepted_.fetch_add(1, std::memory_order_release);
  const auto done = static_cast<size_t>(sent);
  if (done == sizeof header + header.bytes) return Code::kOk;
  const size_t of_header = std::min(done, sizeof header);
  const size_t of_payload = done - of_header;
  stage(reinterpret_cast<const std::byte*>(&header) + of_header, sizeof header - of_header);
  stage(static_cast<const std::byte*>(payload) + of_payload, header.bytes - of_payload);
  on_staged_();
  return Code::kOk;
}

void TcpLink::stage(const std::byte* data, size_t bytes) {
  if (bytes == 0) return;
  const size_t used = staged_bytes_.load(std::memory_order_relaxed);
  if (used == 0) staging_begin_ = 0;
  std::memcpy(staging_.data() + staging_begin_ + used, data, bytes);
  staged_bytes_.store(used + bytes, std::memory_order_release);
}

bool TcpLink::flush_staging() {
  size_t left = staged_bytes_.load(std::memory_order_relaxed);
  while (left > 0) {
    const ssize_t sent =
        send(socket_.get(), staging_.data() + staging_begin_, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (!would_block(errno)) stop_sending(errno);
      return false;
    }
    staging_begin_ += static_cast<size_t>(sent);
    left -= static_cast<size_t>(sent);
    staged_bytes_.store(left, std::memory_order_release);
  }
  return true;
}

int TcpLink::poll(FrameSink& sink, int budget) {
  if (broken() || in_forked_child()) return 0;
  if (wants_write()) {
    const std::unique_lock lock(send_mutex_, std::try_to_lock);
    if (lock.owns_lock()) flush_staging();
  }
  const std::unique_lock lock(poll_mutex_, std::try_to_lock);
  return lock.owns_lock() ? receive(sink, budget) : 0;
}

int TcpLink::drain(FrameSink& sink) {
  const std::lock_guard lock(poll_mutex_);
  const int delivered = receive(sink, INT_MAX);
  acknowledge_now(socket_.get());
  return delivered;
}

int TcpLink::receive(FrameSink& sink, int budget) {
  int delivered = received_.deliver(sink, budget);
  bool more = true;
  while (delivered < budget && more && !broken()) {
    more = fill();
    delivered += received_.deliver(sink, budget - delivered);
  }
  delivered_.fetch_add(static_cast<uint64_t>(delivered), std::memory_order_release);
  if (!received_.error().empty()) fail(received_.error());
  pending_.store(received_.has_frame(), std::memory_order_release);
  return delivered;
}

bool TcpLink::fill() {
  size_t room = 0;
  std::byte* at = received_.room(&room);
  const ssize_t got = recv(socket_.get(), at, room, MSG_DONTWAIT);
  if (got > 0) {
    received_.commit(static_cast<size_t>(got));
    // A short read emptied the socket: asking again would only cost a system call.
    return static_cast<size_t>(got) == room;
  }
  if (got == 0) {
    fail(received_.empty() ? "the peer closed the connection"
                           : "the peer closed the connection in the middle of a frame");
  } else if (!would_block(errno)) {
    fail("receiving: " + error_text(errno));
  }
  return false;
}

void TcpLink::close_sending() {
  closed_.store(true, std::memory_order_release);
  shutdown(socket_.get(), SHUT_WR);
}

bool TcpLink::flushed() {
  if (broken()) return true;
  {
    const std::lock_guard lock(send_mutex_);
    if (!flush_staging()) return closed_.load(std::memory_order_acquire);
  }
  int unsent = 0;
  return ioctl(socket_.get(), SIOCOUTQ, &unsent) != 0 || unsent == 0;
}

void TcpLink::stop_sending(int error) {
  {
    const std::lock_guard lock(why_mutex_);
    if (why_.empty()) why_ = "connection to " + peer_ + ": sending: " + error_text(error);
  }
  staged_bytes_.store(0, std::memory_order_release);
  closed_.store(true, std::memory_order_release);
}

void TcpLink::fail(const std::string& why) {
  {
    const std::lock_guard lock(why_mutex_);
    if (why_.empty()) why_ = "connection to " + peer_ + ": " + why;
  }
  broken_.store(true, std::memory_order_release);
}

std::string TcpLink::why() const {
  const std::lock_guard lock(why_mutex_);
  return why_;
}

}  // namespace distos_coll
