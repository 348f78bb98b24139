// What a rank did last on a group: its newest collectives, what each was and how far it got. The
// threads that run them write without a lock; the control thread reads, to answer other ranks'
// questions, and so does whoever writes a dump.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/signature.h"

namespace distos_coll {

class Recorder {
 public:
  static constexpr size_t kRecords = 128;
  enum class State : uint32_t { kQueued = 1, kRunning, kFinished, kFailed };
  struct Record {
    int64_t sequence = 0;  // of the group's collectives, from 1
    Signature signature;
    State state = State::kQueued;
    int64_t queued_ns = 0;
    int64_t ended_ns = 0;      // 0: not ended, or not measured because the caller waited inline
    const char* program = "";  // lives as long as the group
  };

  void queued(int64_t sequence, Signature signature, int64_t now);
  void running(int64_t sequence, const char* program);
  void ended(int64_t sequence, bool well, int64_t now);

  // Nothing if it was not called yet, or so long ago that newer ones took its place.
  std::optional<Record> find(int64_t sequence) const;
  // The newest that was called; 0: none yet.
  int64_t last() const { return last_.load(std::memory_order_acquire); }
  // Oldest first.
  std::vector<Record> records() const;

 private:
  // `sequence` is 0 while the rest changes.
  struct Slot {
    std::atomic<int64_t> sequence{0};
    std::atomic<uint64_t> signature{0};
    std::atomic<State> state{State::kQueued};
    std::atomic<int64_t> queued_ns{0}, ended_ns{0};
    std::atomic<const char*> program{""};
  };
  Slot& slot(int64_t sequence) { return slots_[static_cast<size_t>(sequence) % kRecords]; }

  std::array<Slot, kRecords> slots_;
  std::atomic<int64_t> last_{0};
};

}  // namespace distos_coll
