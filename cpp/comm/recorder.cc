#include "comm/recorder.h"

#include <algorithm>

namespace distos_coll {
namespace {

// Two different histories must not have one sum: splitmix64's finisher, of what was called where.
uint64_t mixed(int64_t sequence, uint64_t word) {
  uint64_t x = word + static_cast<uint64_t>(sequence) * 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

void Recorder::queued(int64_t sequence, Signature signature, int64_t now) {
  Slot& place = slot(sequence);
  place.sequence.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  place.signature.store(signature.word(), std::memory_order_relaxed);
  const uint64_t own = mixed(sequence, signature.word());
  history_ += own;
  const uint64_t history = history_;
  place.history.store(history, std::memory_order_relaxed);
  if ((sequence & ((1 << kStrides[0]) - 1)) == 0) mark(sequence, history);
  place.state.store(State::kQueued, std::memory_order_relaxed);
  place.queued_ns.store(now, std::memory_order_relaxed);
  place.ended_ns.store(0, std::memory_order_relaxed);
  place.program.store("", std::memory_order_relaxed);
  place.sequence.store(sequence, std::memory_order_release);
  last_.store(sequence, std::memory_order_release);
}

void Recorder::mark(int64_t sequence, uint64_t history) {
  for (size_t i = 0; i < kStrides.size(); ++i) {
    if ((sequence & ((int64_t{1} << kStrides[i]) - 1)) != 0) return;
    Mark& place = marks_[i][static_cast<size_t>(sequence >> kStrides[i]) % kKept];
    place.sequence.store(0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    place.history.store(history, std::memory_order_relaxed);
    place.sequence.store(sequence, std::memory_order_release);
  }
}

std::optional<uint64_t> Recorder::checkpoint(int64_t sequence) const {
  for (size_t i = 0; i < kStrides.size(); ++i) {
    const Mark& place = marks_[i][static_cast<size_t>(sequence >> kStrides[i]) % kKept];
    if (sequence <= 0 || place.sequence.load(std::memory_order_acquire) != sequence) continue;
    const uint64_t history = place.history.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (place.sequence.load(std::memory_order_relaxed) == sequence) return history;
  }
  return std::nullopt;
}

std::vector<Recorder::Checkpoint> Recorder::checkpoints() const {
  std::vector<Checkpoint> out;
  for (const auto& stride : marks_) {
    for (const Mark& place : stride) {
      const int64_t sequence = place.sequence.load(std::memory_order_acquire);
      if (const auto history = checkpoint(sequence)) out.push_back({sequence, *history});
    }
  }
  return out;
}

void Recorder::running(int64_t sequence, const char* program) {
  Slot& place = slot(sequence);
  if (place.sequence.load(std::memory_order_relaxed) != sequence) return;
  place.program.store(program, std::memory_order_relaxed);
  place.state.store(State::kRunning, std::memory_order_release);
}

void Recorder::ended(int64_t sequence, bool well, int64_t now) {
  Slot& place = slot(sequence);
  if (place.sequence.load(std::memory_order_relaxed) != sequence) return;
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
  record.history = place.history.load(std::memory_order_relaxed);
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
