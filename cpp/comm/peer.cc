#include "comm/peer.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

namespace distos_coll {

std::string describe_process(const PeerCard& card) {
  return strf("process %lld on host %s", static_cast<long long>(card.pid), card.hostname.c_str());
}

PeerImpl::PeerImpl(Established&& parts, std::function<void()> wake)
    : card_(std::move(parts.card)),
      bell_(std::move(parts.bell)),
      link_(std::move(parts.link)),
      single_copy_(parts.single_copy),
      pid_(parts.pid),
      path_(std::move(parts.path)),
      rejected_(std::move(parts.rejected)),
      wake_(std::move(wake)) {}

std::string PeerImpl::why() const {
  const std::lock_guard lock(mutex_);
  return why_;
}

void PeerImpl::send_control(uint64_t comm, uint32_t source, ControlKind kind,
                            const std::string& payload, int fd) {
  if (in_forked_child()) return;
  if (payload.size() > kMaxMessagePayload) {
    throw Error(Code::kInvalid, strf("a control message of %zu bytes is too long; the limit is %zu",
                                     payload.size(), kMaxMessagePayload));
  }
  Message message;
  message.kind = static_cast<uint16_t>(kind);
  message.source = source;
  message.comm = comm;
  message.payload = payload;
  message.after_frames = link_->accepted();
  if (fd >= 0) {
    if (!mapped())
      throw Error(Code::kInvalid, "descriptors can be passed to peers on this host only");
    Fd copy = open_fd([&] { return fcntl(fd, F_DUPFD_CLOEXEC, 0); });
    if (!copy.valid()) throw_errno("cannot duplicate a descriptor for a peer", errno);
    message.fds.push_back(std::move(copy));
  }
  {
    const std::lock_guard lock(mutex_);
    if (state() != PeerState::kAlive) return;
    outbox_.push_back(std::move(message));
    if (outbox_.size() > 1) return;  // the control thread has been told already
  }
  wake_();
}

std::vector<Message> PeerImpl::take_outbox() {
  const std::lock_guard lock(mutex_);
  return std::exchange(outbox_, {});
}

void PeerImpl::end(PeerState state, const std::string& why) {
  link_->close_sending();
  const std::lock_guard lock(mutex_);
  why_ = why;
  outbox_.clear();
  state_.store(state, std::memory_order_release);
}

std::string PeerImpl::describe() const {
  std::string line = describe_process(card_) + ": " + link_->transport() + " over " + path_;
  if (link_->sockets().size() > 1) line += strf(", %zu sockets", link_->sockets().size());
  if (mapped()) line += single_copy_ ? ", single copy" : ", no single copy";
  if (state() != PeerState::kAlive) {
    line += state() == PeerState::kLeft ? ", left: " : ", dead: ";
    line += why();
  }
  for (const std::string& each : rejected_) line += "; rejected " + each;
  return line;
}

}  // namespace distos_coll
