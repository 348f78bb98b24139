#include "transport/shm_ring.h"

#include <algorithm>
#include <cstring>

#include "core/status.h"
#include "transport/frame.h"

namespace distos_coll {
namespace {

// Not a FrameKind: skip to the end of the buffer.
constexpr auto kPad = static_cast<FrameKind>(0xffff);

constexpr uint64_t record_bytes(uint64_t payload) {
  return (sizeof(FrameHeader) + payload + kFrameAlign - 1) / kFrameAlign * kFrameAlign;
}

}  // namespace

bool RingWriter::has_room(size_t needed) {
  if (tail_ - seen_head_ + needed <= ring_bytes_) return true;
  const uint64_t head = control_->head.load(std::memory_order_acquire);
  // A consumer that claims to have read what was never written only hurts itself, but must not move
  // us backwards.
  if (head - seen_head_ > tail_ - seen_head_) return false;
  seen_head_ = head;
  return tail_ - seen_head_ + needed <= ring_bytes_;
}

bool RingWriter::write(const FrameHeader& header, const void* payload) {
  const uint64_t record = record_bytes(header.bytes);
  const uint64_t to_end = ring_bytes_ - tail_ % ring_bytes_;
  const uint64_t pad = record > to_end ? to_end : 0;
  if (!has_room(pad + record)) {
    control_->sender_waiting.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!has_room(pad + record)) return false;
    control_->sender_waiting.store(0, std::memory_order_relaxed);
  }
  if (pad > 0) {
    FrameHeader filler;
    filler.kind = kPad;
    std::memcpy(data_ + tail_ % ring_bytes_, &filler, sizeof filler);
    tail_ += pad;
  }
  std::byte* at = data_ + tail_ % ring_bytes_;
  std::memcpy(at, &header, sizeof header);
  if (header.bytes > 0) writer_.copy(at + sizeof header, payload, header.bytes);
  tail_ += record;
  control_->tail.store(tail_, std::memory_order_release);
  return true;
}

int RingReader::read(FrameSink& sink, int budget, bool* sender_waits) {
  if (!error_.empty()) return 0;
  uint64_t head = head_.load(std::memory_order_relaxed);
  const uint64_t tail = control_->tail.load(std::memory_order_acquire);
  if (tail == head) return 0;
  if (tail - head > ring_bytes_ || tail % kFrameAlign != 0) {
    fail("the ring's counters are corrupt; the peer's memory cannot be trusted any more");
    return 0;
  }
  int delivered = 0;
  uint64_t released = head;
  while (head != tail && delivered < budget) {
    const uint64_t record = consume(head, tail - head, sink, &delivered);
    if (record == 0) break;
    head += record;
    head_.store(head, std::memory_order_relaxed);
    // Early enough that the sender can refill while we read on, seldom enough that the line does
    // not ping-pong.
    if (head - released >= ring_bytes_ / 8) {
      *sender_waits |= release(head);
      released = head;
    }
  }
  if (head != released) *sender_waits |= release(head);
  return delivered;
}

uint64_t RingReader::consume(uint64_t head, uint64_t available, FrameSink& sink, int* delivered) {
  const uint64_t position = head % ring_bytes_;
  const uint64_t contiguous = std::min(available, ring_bytes_ - position);
  // A copy: the peer could change the original between check and use.
  FrameHeader header;
  std::memcpy(&header, data_ + position, sizeof header);
  if (header.kind == kPad && contiguous == ring_bytes_ - position && contiguous < available)
    return contiguous;
  const uint64_t record = record_bytes(header.bytes);
  if (!valid_frame(header) || record > contiguous) {
    fail(describe_invalid_frame(header));
    return 0;
  }
  sink.on_frame(header, data_ + position + sizeof header);
  ++*delivered;
  return record;
}

bool RingReader::release(uint64_t head) {
  control_->head.store(head, std::memory_order_release);
  // Pairs with the fence in RingWriter::write.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return control_->sender_waiting.load(std::memory_order_relaxed) != 0 &&
         control_->sender_waiting.exchange(0, std::memory_order_relaxed) != 0;
}

}  // namespace distos_coll
