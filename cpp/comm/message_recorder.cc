#include "comm/message_recorder.h"

#include <algorithm>

namespace distos_coll {

int64_t MessageRecorder::queued(bool sends, int peer, int64_t tag, size_t bytes, int64_t now) {
  const int64_t sequence = last_.load(std::memory_order_relaxed) + 1;
  Slot& slot = slots_[static_cast<size_t>(sequence) % kRecords];
  slot.sequence.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  slot.tag.store(tag, std::memory_order_relaxed);
  slot.queued_ns.store(now, std::memory_order_relaxed);
  slot.size.store(uint64_t{bytes} << 1 | (sends ? 1 : 0), std::memory_order_relaxed);
  slot.place.store(place_of(State::kQueued, peer), std::memory_order_relaxed);
  slot.sequence.store(sequence, std::memory_order_release);
  last_.store(sequence, std::memory_order_release);
  return sequence;
}

MessageRecorder::Slot* MessageRecorder::held(int64_t sequence) {
  Slot& slot = slots_[static_cast<size_t>(sequence) % kRecords];
  return slot.sequence.load(std::memory_order_relaxed) == sequence ? &slot : nullptr;
}

void MessageRecorder::matched(int64_t sequence, int peer) {
  if (Slot* const slot = held(sequence))
    slot->place.store(place_of(State::kMatched, peer), std::memory_order_relaxed);
}

void MessageRecorder::ended(int64_t sequence, int peer, bool well) {
  if (Slot* const slot = held(sequence))
    slot->place.store(place_of(well ? State::kFinished : State::kFailed, peer),
                      std::memory_order_relaxed);
}

std::vector<MessageRecorder::Record> MessageRecorder::records() const {
  std::vector<Record> out;
  const int64_t newest = last();
  const auto oldest = std::max<int64_t>(newest - static_cast<int64_t>(kRecords) + 1, 1);
  for (int64_t sequence = oldest; sequence <= newest; ++sequence) {
    const Slot& slot = slots_[static_cast<size_t>(sequence) % kRecords];
    if (slot.sequence.load(std::memory_order_acquire) != sequence) continue;
    const uint64_t size = slot.size.load(std::memory_order_relaxed);
    const uint64_t place = slot.place.load(std::memory_order_relaxed);
    Record record;
    record.sequence = sequence;
    record.sends = (size & 1) != 0;
    record.bytes = size >> 1;
    record.peer = static_cast<int>(static_cast<uint32_t>(place));
    record.state = static_cast<State>(place >> 32);
    record.tag = slot.tag.load(std::memory_order_relaxed);
    record.queued_ns = slot.queued_ns.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    // A newer one may have taken the slot meanwhile.
    if (slot.sequence.load(std::memory_order_relaxed) == sequence) out.push_back(record);
  }
  return out;
}

}  // namespace distos_coll
