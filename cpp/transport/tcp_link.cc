#include "transport/tcp_link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>
#include <system_error>
#include <utility>

namespace distos_coll {
namespace {

// Smaller frames gain nothing from another connection, and on one of their own they arrive in one
// look at one socket.
constexpr size_t kLargePayload = 16 * 1024;

// Of several connections a slow one must not collect frames that the others could carry: it takes
// no more while so much of what it took has not left.
constexpr int kMostNotSent = 256 * 1024;

std::string error_text(int error) { return std::generic_category().message(error); }

}  // namespace

void acknowledge_now(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

TcpLink::TcpLink(std::vector<Fd> sockets, std::string peer, std::function<void()> on_staged)
    : peer_(std::move(peer)), on_staged_(std::move(on_staged)) {
  for (Fd& each : sockets) {
    sockets_.push_back(std::make_unique<TcpSocket>(std::move(each)));
    fds_.push_back(sockets_.back()->fd());
  }
  if (sockets_.size() == 1) return;
  const int lowat = kMostNotSent;
  for (const int fd : fds_) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
}

short TcpLink::waits_for(size_t socket) const {
  const TcpSocket& each = *sockets_[socket];
  return static_cast<short>((each.wants_no_read() ? 0 : POLLIN) |
                            (each.wants_write() ? POLLOUT : 0));
}

bool TcpLink::wants_write() const {
  return std::any_of(sockets_.begin(), sockets_.end(),
                     [](const auto& each) { return each->wants_write(); });
}

Code TcpLink::try_send(const FrameHeader& header, const void* payload) {
  if (header.bytes > kMaxFramePayload) return Code::kInternal;
  if (closed_.load(std::memory_order_acquire) || broken() || in_forked_child())
    return Code::kPeerDied;
  const std::lock_guard lock(send_mutex_);
  FrameHeader numbered = header;
  numbered.order = send_order_;
  const bool large = header.bytes >= kLargePayload;
  const size_t first = large ? next_socket_ : 0;
  const size_t choices = large ? sockets_.size() : 1;
  for (size_t i = 0; i < choices; ++i) {
    const size_t chosen = (first + i) % sockets_.size();
    TcpSocket& socket = *sockets_[chosen];
    const Code code = socket.send(numbered, payload);
    if (code == Code::kAgain) continue;
    if (code != Code::kOk) {
      stop_sending(socket.send_error());
      return code;
    }
    ++send_order_;
    if (large) next_socket_ = (chosen + 1) % sockets_.size();
    accepted_.fetch_add(1, std::memory_order_release);
    if (socket.wants_write()) on_staged_();
    return Code::kOk;
  }
  return closed_.load(std::memory_order_acquire) ? Code::kPeerDied : Code::kAgain;
}

bool TcpLink::flush_staging() {
  bool empty = true;
  for (const auto& each : sockets_) {
    empty &= each->flush();
    if (each->send_error() != 0) stop_sending(each->send_error());
  }
  return empty;
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

void TcpLink::watch(int epoll, uint64_t token) {
  const std::lock_guard lock(poll_mutex_);
  for (const auto& each : sockets_) each->watch(epoll, token);
}

void TcpLink::unwatch() {
  const std::lock_guard lock(poll_mutex_);
  for (const auto& each : sockets_) each->unwatch();
}

int TcpLink::drain(FrameSink& sink) {
  const std::lock_guard lock(poll_mutex_);
  const int delivered = receive(sink, INT_MAX);
  for (const int fd : fds_) acknowledge_now(fd);
  return delivered;
}

int TcpLink::receive(FrameSink& sink, int budget) {
  int delivered = deliver(sink, budget);
  for (bool more = true; delivered < budget && more && !broken();) {
    more = false;
    for (const auto& each : sockets_) more |= each->fill();
    const int now = deliver(sink, budget - delivered);
    delivered += now;
    // Buffers that were full of frames out of turn may have room again.
    more |= now > 0 && sockets_.size() > 1;
  }
  delivered_.fetch_add(static_cast<uint64_t>(delivered), std::memory_order_release);
  const bool saw_all = delivered < budget;
  bool pending = false;
  for (const auto& each : sockets_) {
    each->note_room();
    // An end that was read, but not yet looked at, is work, too.
    pending |= each->received().has_frame(receive_order_) || (!saw_all && each->ended());
  }
  if (saw_all && !broken()) look_for_an_end();
  pending_.store(pending && !broken(), std::memory_order_release);
  return delivered;
}

int TcpLink::deliver(FrameSink& sink, int budget) {
  int delivered = 0;
  for (int before = -1; delivered != before && delivered < budget && !broken();) {
    before = delivered;
    for (const auto& each : sockets_) {
      FrameBuffer& buffer = each->received();
      delivered += buffer.deliver(sink, budget - delivered, &receive_order_);
      if (!buffer.error().empty()) fail(buffer.error());
    }
    if (sockets_.size() == 1) break;
  }
  return delivered;
}

// What had arrived has been delivered. An error of one connection is the link's at once. After the
// end of one nothing can be sent any more either, and the others end, too, when the peer hears
// that; until then they may still bring frames.
void TcpLink::look_for_an_end() {
  size_t ended = 0, blocked = 0, over = 0;
  bool whole = true;
  for (const auto& each : sockets_) {
    if (each->receive_error() != 0) fail("receiving: " + error_text(each->receive_error()));
    const bool blocks = each->received().has_any_frame();
    ended += each->ended() ? 1 : 0;
    blocked += blocks ? 1 : 0;
    over += each->ended() || blocks ? 1 : 0;
    whole &= each->received().empty();
  }
  if (ended > 0) close_sending();
  // The next frame would be the first of one of them.
  if (over < sockets_.size()) return;
  if (blocked == sockets_.size()) {
    fail("received frames out of order; the link cannot be trusted any more");
  } else if (blocked > 0) {
    fail("the peer closed the connection, and frames are missing");
  } else {
    fail(whole ? "the peer closed the connection"
               : "the peer closed the connection in the middle of a frame");
  }
}

void TcpLink::close_sending() {
  if (closed_.exchange(true, std::memory_order_acq_rel)) return;
  for (const int fd : fds_) shutdown(fd, SHUT_WR);
}

bool TcpLink::flushed() {
  if (broken()) return true;
  {
    const std::lock_guard lock(send_mutex_);
    if (!flush_staging()) return closed_.load(std::memory_order_acquire);
  }
  return std::all_of(sockets_.begin(), sockets_.end(),
                     [](const auto& each) { return each->acknowledged(); });
}

// The others are ended as well: the peer must not wait for frames that went down with this one.
void TcpLink::stop_sending(int error) {
  // Else the end came first, and is the reason.
  if (!closed_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(why_mutex_);
    if (why_.empty()) why_ = "connection to " + peer_ + ": sending: " + error_text(error);
  }
  for (const auto& each : sockets_) each->forget_staged();
  close_sending();
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
