// For tests of the runtime: several in one process (ranks as threads), and a communicator that
// records what it hears.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/runtime.h"
#include "tests/links.h"

namespace distos_coll::testing {

inline constexpr int64_t kPatienceNs = 60'000'000'000;  // a bound for what takes milliseconds

class RecordingComm : public CommEvents {
 public:
  struct Control {
    uint32_t source;
    ControlKind kind;
    std::string payload;
    Fd fd;
  };
  struct Loss {
    PeerUid uid;
    PeerState state;
    std::string why;
  };

  void on_frame(const FrameHeader& header, const std::byte* payload) override {
    if (frame_hook) frame_hook(header, payload);
    frames.fetch_add(1);
  }
  void on_control(uint32_t source, ControlKind kind, const std::string& payload, Fd fd) override {
    const std::lock_guard lock(mutex_);
    controls_.push_back({source, kind, payload, std::move(fd)});
  }
  void on_peer_lost(const PeerUid& uid, PeerState state, const std::string& why) override {
    const std::lock_guard lock(mutex_);
    losses_.push_back({uid, state, why});
  }

  size_t n_controls() const { return size_of(controls_); }
  size_t n_losses() const { return size_of(losses_); }
  std::vector<Control> take_controls() {
    const std::lock_guard lock(mutex_);
    return std::move(controls_);
  }
  std::vector<Loss> losses() {
    const std::lock_guard lock(mutex_);
    return losses_;
  }

  std::atomic<int64_t> frames{0};
  std::function<void(const FrameHeader&, const std::byte*)> frame_hook;  // set before registering

 private:
  template <typename T>
  size_t size_of(const std::vector<T>& list) const {
    const std::lock_guard lock(mutex_);
    return list.size();
  }
  mutable std::mutex mutex_;
  std::vector<Control> controls_;
  std::vector<Loss> losses_;
};

// Progresses and sleeps until `done`; false when patience ends.
inline bool run_until(Runtime& runtime, const std::function<bool()>& done) {
  const int64_t give_up = now_ns() + kPatienceNs;
  while (!done()) {
    if (now_ns() > give_up) return false;
    if (runtime.poll_links() == 0) runtime.sleep(50'000, done);
  }
  return true;
}

inline std::vector<PeerCard> cards_of(const std::vector<std::shared_ptr<Runtime>>& runtimes) {
  std::vector<PeerCard> cards;
  for (const auto& each : runtimes) {
    const std::string bytes = each->card().encode();
    cards.push_back(PeerCard::decode(bytes.data(), bytes.size()));
  }
  return cards;
}

inline Settings shm_only() {
  Settings settings;
  settings.tcp = false;
  return settings;
}
inline Settings tcp_only() {
  Settings settings;
  settings.shm = false;
  settings.heartbeat_ms =
      1000;  // sanitizers on a busy machine are slow, and these tests are not about silence
  return settings;
}

// Connects them all with each other. peers[i][j]: j as seen by i.
using PeerMatrix = std::vector<std::vector<std::shared_ptr<Peer>>>;
PeerMatrix connect_all(const std::vector<std::shared_ptr<Runtime>>& runtimes);

}  // namespace distos_coll::testing
