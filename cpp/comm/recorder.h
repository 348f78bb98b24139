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
    uint64_t history = 0;  // stands for everything called up to and with this
    State state = State::kQueued;
    int64_t queued_ns = 0;
    int64_t ended_ns = 0;      // 0: not ended, or not measured because the caller waited inline
    const char* program = "";  // lives as long as the group
  };

  // One thread at a time, in the order of the numbers.
  void queued(int64_t sequence, Signature signature, int64_t now);
  // These do nothing where newer ones took the place, as when many are queued.
  void running(int64_t sequence, const char* program);
  void ended(int64_t sequence, bool well, int64_t now);

  // Nothing if it was not called yet, or so long ago that newer ones took its place.
  std::optional<Record> find(int64_t sequence) const;
  // The newest that was called; 0: none yet.
  int64_t last() const { return last_.load(std::memory_order_acquire); }
  // Oldest first.
  std::vector<Record> records() const;

  // History at round numbers, far enough back that ranks find one in common however fast they call.
  struct Checkpoint {
    int64_t sequence = 0;
    uint64_t history = 0;
  };
  std::vector<Checkpoint> checkpoints() const;
  std::optional<uint64_t> checkpoint(int64_t sequence) const;

 private:
  // `sequence` is 0 while the rest changes.
  struct Slot {
    std::atomic<int64_t> sequence{0};
    std::atomic<uint64_t> signature{0}, history{0};
    std::atomic<State> state{State::kQueued};
    std::atomic<int64_t> queued_ns{0}, ended_ns{0};
    std::atomic<const char*> program{""};
  };
  // The last few multiples of 2^8, 2^12 and 2^16.
  static constexpr std::array<int, 3> kStrides = {8, 12, 16};
  static constexpr size_t kKept = 16;
  struct Mark {
    std::atomic<int64_t> sequence{0};
    std::atomic<uint64_t> history{0};
  };
  void mark(int64_t sequence, uint64_t history);

  Slot& slot(int64_t sequence) { return slots_[static_cast<size_t>(sequence) % kRecords]; }

  std::array<Slot, kRecords> slots_;
  std::array<std::array<Mark, kKept>, kStrides.size()> marks_;
  std::atomic<int64_t> last_{0};
  uint64_t history_ = 0;
};

}  // namespace distos_coll
