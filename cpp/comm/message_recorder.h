// The newest point-to-point messages of a group, for dumps (comm/flight.h). The matcher writes,
// under its lock; whoever makes a dump reads without it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace distos_coll {

class MessageRecorder {
 public:
  static constexpr size_t kRecords = 128;
  // Matched: both sides have called, bytes are on their way.
  enum class State : uint32_t { kQueued = 1, kMatched, kFinished, kFailed };
  struct Record {
    int64_t sequence = 0;  // of this rank's messages in the group, from 1
    bool sends = false;
    int peer = 0;  // negative: any, and none has come yet
    int64_t tag = 0;
    uint64_t bytes = 0;
    State state = State::kQueued;
    int64_t queued_ns = 0;
  };

  // Returns the message's number.
  int64_t queued(bool sends, int peer, int64_t tag, size_t bytes, int64_t now);
  // These do nothing where newer messages took the place.
  void matched(int64_t sequence, int peer);
  void ended(int64_t sequence, int peer, bool well);

  int64_t last() const { return last_.load(std::memory_order_acquire); }
  // Oldest first.
  std::vector<Record> records() const;

 private:
  // `sequence` is 0 while the rest changes. Few words, because each is a store on the fast path.
  struct Slot {
    std::atomic<int64_t> sequence{0}, tag{0}, queued_ns{0};
    std::atomic<uint64_t> size{0};   // twice the bytes, and one if it is sent
    std::atomic<uint64_t> place{0};  // state, peer
  };
  static uint64_t place_of(State state, int peer) {
    return static_cast<uint64_t>(state) << 32 | static_cast<uint32_t>(peer);
  }
  // The slot of a message that is still remembered.
  Slot* held(int64_t sequence);

  std::array<Slot, kRecords> slots_;
  std::atomic<int64_t> last_{0};
};

}  // namespace distos_coll
