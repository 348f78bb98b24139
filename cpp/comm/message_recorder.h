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

  // Fills in the record's place; returns its number.
  int64_t queued(Record record);
  // These do nothing where newer messages took the place.
  void matched(int64_t sequence, int peer);
  void ended(int64_t sequence, bool well);

  int64_t last() const { return last_.load(std::memory_order_acquire); }
  // Oldest first.
  std::vector<Record> records() const;

 private:
  // `sequence` is 0 while the rest changes.
  struct Slot {
    std::atomic<int64_t> sequence{0};
    std::atomic<bool> sends{false};
    std::atomic<int> peer{0};
    std::atomic<int64_t> tag{0}, queued_ns{0};
    std::atomic<uint64_t> bytes{0};
    std::atomic<State> state{State::kQueued};
  };
  // The slot of a message that is still remembered.
  Slot* held(int64_t sequence);

  std::array<Slot, kRecords> slots_;
  std::atomic<int64_t> last_{0};
};

}  // namespace distos_coll
