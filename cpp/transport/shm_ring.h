// One direction of a shared-memory link: a single-producer single-consumer ring of bytes in memory
// that both processes map. Frames are contiguous and start at multiples of 64 bytes; a pad record
// fills the end of the buffer when the next frame does not fit there. The consumer believes nothing
// that the producer wrote: whatever lies in the memory, it reads within the ring and either
// delivers checked frames or reports corruption.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/shared_writer.h"
#include "core/types.h"
#include "transport/link.h"

namespace distos_coll {

inline constexpr size_t kFrameAlign = 64;
// A frame and the pad before it must fit together in an empty ring, or the sender could wait for
// ever.
inline constexpr size_t kMinRingBytes = 256 * 1024;
inline constexpr size_t kMaxRingBytes = size_t{1} << 30;
static_assert(kMinRingBytes >= 2 * (sizeof(FrameHeader) + kMaxFramePayload + kFrameAlign));

// Lives in shared memory, all zero at first. The counters only grow; position = counter mod ring
// size.
struct RingControl {
  alignas(kLineBytes) std::atomic<uint64_t> tail;            // bytes published, by the producer
  alignas(kLineBytes) std::atomic<uint64_t> head;            // bytes released, by the consumer
  alignas(kLineBytes) std::atomic<uint32_t> sender_waiting;  // the producer found the ring full
};

class RingWriter {
 public:
  RingWriter(RingControl* control, std::byte* data, size_t ring_bytes)
      : control_(control), data_(data), ring_bytes_(ring_bytes) {}

  // False: no room. The flag for the consumer is set then, and the room checked once more after
  // that, so that either this call succeeds or the consumer's next release rings.
  bool write(const FrameHeader& header, const void* payload);

 private:
  bool has_room(size_t needed);

  RingControl* control_;
  std::byte* data_;
  const uint64_t ring_bytes_;
  SharedWriter writer_;
  uint64_t tail_ = 0;
  uint64_t seen_head_ = 0;
};

class RingReader {
 public:
  RingReader(RingControl* control, const std::byte* data, size_t ring_bytes)
      : control_(control), data_(data), ring_bytes_(ring_bytes) {}

  // Any thread, without a lock: is there something to read?
  bool has_frames() const {
    return control_->tail.load(std::memory_order_acquire) != head_.load(std::memory_order_relaxed);
  }
  // Delivers up to `budget` frames and releases their room. Returns how many; sets *sender_waits
  // when the producer must be told about the room. After corruption it returns 0 for ever and
  // error() is not empty.
  int read(FrameSink& sink, int budget, bool* sender_waits);
  const std::string& error() const { return error_; }

 private:
  // Delivers the record at `head` or skips the pad there. Returns its size, or 0 if it is corrupt.
  uint64_t consume(uint64_t head, uint64_t available, FrameSink& sink, int* delivered);
  bool release(uint64_t head);
  void fail(std::string why) { error_ = std::move(why); }

  RingControl* control_;
  const std::byte* data_;
  const uint64_t ring_bytes_;
  std::atomic<uint64_t> head_{0};
  std::string error_;
};

}  // namespace distos_coll
