// A peer as communicators see it. What serves its control connection is the control thread's
// (comm/liveness.h).
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/control.h"
#include "comm/runtime.h"
#include "core/doorbell.h"
#include "transport/managed_link.h"

namespace distos_coll {

// What a finished handshake hands over.
struct Established {
  PeerCard card;
  std::unique_ptr<ControlChannel> control;
  std::unique_ptr<Doorbell>
      bell;  // mapped peers only; declared before the link, which points to it
  std::unique_ptr<ManagedLink> link;
  bool single_copy = false;
  int64_t pid = -1;
  Fd pidfd;
  std::string path;                   // for people: "unix socket", "eth0 10.0.0.2:4711"
  std::vector<std::string> rejected;  // candidates tried before, with reasons
};

// "process 4711 on host a".
std::string describe_process(const PeerCard& card);

class PeerImpl final : public Peer {
 public:
  // Takes everything of `parts` but control and pidfd. `wake` tells the control thread that the
  // outbox is not empty.
  PeerImpl(Established&& parts, std::function<void()> wake);

  const PeerCard& card() const override { return card_; }
  ManagedLink& link() override { return *link_; }
  bool mapped() const override { return bell_ != nullptr; }
  bool single_copy() const override { return single_copy_; }
  int64_t pid() const override { return pid_; }
  void ring() override {
    // In a forked child the page is not mapped.
    if (bell_ != nullptr && !in_forked_child()) bell_->ring();
  }
  // See Doorbell::note_cpu; mapped peers only.
  uint32_t cpu() const { return in_forked_child() ? 0 : bell_->cpu(); }
  PeerState state() const override { return state_.load(std::memory_order_acquire); }
  std::string why() const override;
  void send_control(uint64_t comm, uint32_t source, ControlKind kind, const std::string& payload,
                    int fd) override;

  std::string describe() const;

  // For the runtime.
  std::vector<Message> take_outbox();
  // Once; the link takes no frames from here on.
  void end(PeerState state, const std::string& why);
  // True for the first caller that saw the link broken.
  bool report_broken_once() { return !broken_reported_.exchange(true, std::memory_order_acq_rel); }

 private:
  const PeerCard card_;
  const std::unique_ptr<Doorbell> bell_;
  const std::unique_ptr<ManagedLink> link_;
  const bool single_copy_;
  const int64_t pid_;
  const std::string path_;
  const std::vector<std::string> rejected_;
  const std::function<void()> wake_;
  std::atomic<PeerState> state_{PeerState::kAlive};
  std::atomic<bool> broken_reported_{false};
  mutable std::mutex mutex_;
  std::string why_;              // guarded by mutex_
  std::vector<Message> outbox_;  // guarded by mutex_
};

}  // namespace distos_coll
