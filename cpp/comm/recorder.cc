#include "comm/recorder.h"

#include <algorithm>

namespace distos_coll {

void Recorder::queued(int64_t sequence, Signature signature, int64_t now) {
  Slot& place = slot(sequence);
  place.sequence.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  place.signature.store(signature.word(), std::memory_order_relaxed);
  place.state.store(State::kQueued, std::memory_order_relaxed);
  place.queued_ns.store(now, std::memory_order_relaxed);
  place.ended_ns.store(0, std::memory_order_relaxed);
  place.program.store("", std::memory_order_relaxed);
  place.sequence.store(sequence, std::memory_order_release);
  // Several threads may call at once, and the newest counts.
  int64_t last = last_.load(std::memory_order_relaxed);
  while (last < sequence && !last_.compare_exchange_weak(last, sequence)) {
  }
}

void Recorder::running(int64_t sequence, const char* program) {
  Slot& place = slot(sequence);
  place.program.store(program, std::memory_order_relaxed);
  place.state.store(State::kRunning, std::memory_order_release);
}

void Recorder::ended(int64_t sequence, bool well, int64_t now) {
  Slot& place = slot(sequence);
  place.ended_ns.store(now, std::memory_order_relaxed);
  place.state.store(well ? State::kFinished : State::kFailed, std::memory_order_release);
}

std::optional<Recorder::Record> Recorder::find(int64_t sequence) const {
  if (sequence <= 0) return std::nullopt;
  const Slot& place = slots_[static_cast<size_t>(sequence) % kRecords];
  if (place.sequence.load(std::memory_order_acquire) != sequence) return std::nullopt;
  Record record;
  record.sequence = sequence;
  record.signature = Signature(place.signature.load(std::memory_order_relaxed));
  record.state = place.state.load(std::memory_order_acquire);
  record.queued_ns = place.queued_ns.load(std::memory_order_relaxed);
  record.ended_ns = place.ended_ns.load(std::memory_order_relaxed);
  record.program = place.program.load(std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  // A newer one may have taken the place meanwhile.
  if (place.sequence.load(std::memory_order_relaxed) != sequence) return std::nullopt;
  return record;
}

std::vector<Recorder::Record> Recorder::records() const {
  std::vector<Record> out;
  const int64_t newest = last();
  const auto oldest = std::max<int64_t>(newest - static_cast<int64_t>(kRecords) + 1, 1);
  for (int64_t sequence = oldest; sequence <= newest; ++sequence) {
    if (const auto record = find(sequence)) out.push_back(*record);
  }
  return out;
}

}  // namespace distos_coll
