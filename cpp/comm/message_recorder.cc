#include "comm/message_recorder.h"

#include <algorithm>

namespace distos_coll {

int64_t MessageRecorder::queued(Record record) {
  const int64_t sequence = last_.load(std::memory_order_relaxed) + 1;
  Slot& place = slots_[static_cast<size_t>(sequence) % kRecords];
  place.sequence.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  place.sends.store(record.sends, std::memory_order_relaxed);
  place.peer.store(record.peer, std::memory_order_relaxed);
  place.tag.store(record.tag, std::memory_order_relaxed);
  place.bytes.store(record.bytes, std::memory_order_relaxed);
  place.queued_ns.store(record.queued_ns, std::memory_order_relaxed);
  place.state.store(State::kQueued, std::memory_order_relaxed);
  place.sequence.store(sequence, std::memory_order_release);
  last_.store(sequence, std::memory_order_release);
  return sequence;
}

MessageRecorder::Slot* MessageRecorder::held(int64_t sequence) {
  Slot& place = slots_[static_cast<size_t>(sequence) % kRecords];
  return place.sequence.load(std::memory_order_relaxed) == sequence ? &place : nullptr;
}

void MessageRecorder::matched(int64_t sequence, int peer) {
  Slot* const place = held(sequence);
  if (place == nullptr) return;
  place->peer.store(peer, std::memory_order_relaxed);
  place->state.store(State::kMatched, std::memory_order_release);
}

void MessageRecorder::ended(int64_t sequence, bool well) {
  Slot* const place = held(sequence);
  if (place == nullptr) return;
  place->state.store(well ? State::kFinished : State::kFailed, std::memory_order_release);
}

std::vector<MessageRecorder::Record> MessageRecorder::records() const {
  std::vector<Record> out;
  const int64_t newest = last();
  const auto oldest = std::max<int64_t>(newest - static_cast<int64_t>(kRecords) + 1, 1);
  for (int64_t sequence = oldest; sequence <= newest; ++sequence) {
    const Slot& place = slots_[static_cast<size_t>(sequence) % kRecords];
    if (place.sequence.load(std::memory_order_acquire) != sequence) continue;
    Record record;
    record.sequence = sequence;
    record.state = place.state.load(std::memory_order_acquire);
    record.sends = place.sends.load(std::memory_order_relaxed);
    record.peer = place.peer.load(std::memory_order_relaxed);
    record.tag = place.tag.load(std::memory_order_relaxed);
    record.bytes = place.bytes.load(std::memory_order_relaxed);
    record.queued_ns = place.queued_ns.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    // A newer one may have taken the place meanwhile.
    if (place.sequence.load(std::memory_order_relaxed) == sequence) out.push_back(record);
  }
  return out;
}

}  // namespace distos_coll
