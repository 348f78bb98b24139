#include "comm/control.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/log.h"

namespace distos_coll {
namespace {

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

std::string errno_text(const char* what, int error) {
  return std::string(what) + ": " + std::generic_category().message(error);
}

constexpr size_t kAncillaryBytes = CMSG_SPACE(sizeof(int) * kMaxMessageFds);

// Takes every descriptor that came with a packet, so that none leaks even from a packet that is
// dropped.
std::vector<Fd> take_fds(msghdr* header) {
  std::vector<Fd> fds;
  for (cmsghdr* each = CMSG_FIRSTHDR(header); each != nullptr; each = CMSG_NXTHDR(header, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const size_t n = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

void ControlChannel::queue(Message message) {
  Outgoing out;
  out.bytes = encode_message(message);
  out.fds = std::move(message.fds);
  out_.push_back(std::move(out));
}

ssize_t ControlChannel::send_one(Outgoing& out) {
  iovec part{out.bytes.data() + out.sent, out.bytes.size() - out.sent};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, kAncillaryBytes> ancillary{};
  const size_t n = std::min(out.fds.size(), kMaxMessageFds);
  if (packets_ && n > 0) {
    header.msg_control = ancillary.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * n);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * n);
    for (size_t i = 0; i < n; ++i) {
      const int fd = out.fds[i].get();
      std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  ssize_t sent = -1;
  do {
    sent = sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

bool ControlChannel::flush() {
  if (!error_.empty()) return false;
  while (!out_.empty()) {
    Outgoing& out = out_.front();
    const ssize_t sent = send_one(out);
    if (sent < 0) {
      // ETOOMANYREFS: too many descriptors in flight; they drain as the peer reads.
      if (would_block(errno) || errno == ENOBUFS || errno == ETOOMANYREFS) return true;
      return fail(errno_text("sending", errno));
    }
    out.sent += static_cast<size_t>(sent);
    if (out.sent == out.bytes.size()) out_.pop_front();
  }
  return true;
}

bool ControlChannel::read(const std::function<bool(Message)>& on_message) {
  if (!error_.empty()) return false;
  return packets_ ? read_packets(on_message) : read_stream(on_message);
}

bool ControlChannel::read_packets(const std::function<bool(Message)>& on_message) {
  std::string buffer(kMessageHeaderBytes + max_payload_, '\0');
  int resets = 0;
  for (;;) {
    iovec part{buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<char, kAncillaryBytes> ancillary{};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = ancillary.data();
    header.msg_controllen = ancillary.size();
    ssize_t got = -1;
    std::vector<Fd> fds;
    {
      const ForkGuard guard;
      got = recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (got >= 0) fds = take_fds(&header);
    }
    if (got < 0) {
      if (errno == EINTR) continue;
      // The peer closed before it had read everything from us. Linux reports that once, ahead of
      // the packets which the peer had sent before, such as its goodbye.
      if (errno == ECONNRESET && resets++ < 3) continue;
      return would_block(errno) || fail(errno_text("receiving", errno));
    }
    if (got == 0) return false;
    Message message;
    size_t used = 0;
    std::string why;
    const ParseResult result =
        parse_message(buffer.data(), static_cast<size_t>(got), max_payload_, &message, &used, &why);
    if (result == ParseResult::kInvalid) return fail(why);
    if (result == ParseResult::kIncomplete || used != static_cast<size_t>(got)) {
      return fail("a packet's length contradicts its header");
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0) {
      // Whoever needs the descriptor fails with its own sentence; the connection is still good.
      log(LogLevel::kError,
          "a descriptor from another process was lost: this process has too many files open; raise "
          "the limit (ulimit -n)");
    }
    message.fds = std::move(fds);
    if (!on_message(std::move(message))) return true;
  }
}

bool ControlChannel::read_stream(const std::function<bool(Message)>& on_message) {
  std::array<char, 16 * 1024> chunk;
  for (;;) {
    // What is buffered first: an earlier on_message may have stopped in front of it.
    for (;;) {
      Message message;
      size_t used = 0;
      std::string why;
      const ParseResult result =
          parse_message(in_.data(), in_.size(), max_payload_, &message, &used, &why);
      if (result == ParseResult::kInvalid) return fail(why);
      if (result == ParseResult::kIncomplete) break;
      in_.erase(0, used);
      if (!on_message(std::move(message))) return true;
    }
    const ssize_t got = recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR) continue;
      return would_block(errno) || fail(errno_text("receiving", errno));
    }
    if (got == 0)
      return in_.empty() ? false : fail("the connection ended in the middle of a message");
    in_.append(chunk.data(), static_cast<size_t>(got));
  }
}

Fd ControlChannel::release() { return in_.empty() ? std::move(socket_) : Fd(); }

bool ControlChannel::fail(const std::string& why) {
  if (error_.empty()) error_ = why;
  return false;
}

}  // namespace distos_coll
