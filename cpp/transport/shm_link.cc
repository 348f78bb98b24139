#include "transport/shm_link.h"

#include <algorithm>
#include <bit>
#include <climits>
#include <utility>

namespace distos_coll {
namespace {

PairPage* page_of(const Mapping& pair) { return reinterpret_cast<PairPage*>(pair.data()); }

std::byte* ring_of(const Mapping& pair, size_t ring_bytes, int side) {
  return pair.data() + kPairPageBytes + static_cast<size_t>(side) * ring_bytes;
}

}  // namespace

size_t usable_ring_bytes(size_t wanted) {
  return std::bit_ceil(std::clamp(wanted, kMinRingBytes, kMaxRingBytes));
}

ShmLink::ShmLink(Mapping pair, size_t ring_bytes, int side, Doorbell* peer)
    : pair_(std::move(pair)),
      peer_(peer),
      writer_(&page_of(pair_)->ring[side], ring_of(pair_, ring_bytes, side), ring_bytes),
      reader_(&page_of(pair_)->ring[1 - side], ring_of(pair_, ring_bytes, 1 - side), ring_bytes) {}

Code ShmLink::try_send(const FrameHeader& header, const void* payload) {
  if (header.bytes > kMaxFramePayload) return Code::kInternal;
  if (closed_.load(std::memory_order_acquire) || broken() || in_forked_child())
    return Code::kPeerDied;
  {
    const std::lock_guard lock(send_mutex_);
    if (!writer_.write(header, payload)) return Code::kAgain;
    accepted_.fetch_add(1, std::memory_order_release);
  }
  peer_->ring();
  return Code::kOk;
}

int ShmLink::poll(FrameSink& sink, int budget) {
  // In a forked child the memory is not mapped.
  if (in_forked_child() || !has_frames()) return 0;
  const std::unique_lock lock(poll_mutex_, std::try_to_lock);
  return lock.owns_lock() ? read(sink, budget) : 0;
}

int ShmLink::drain(FrameSink& sink) {
  const std::lock_guard lock(poll_mutex_);
  return read(sink, INT_MAX);
}

int ShmLink::read(FrameSink& sink, int budget) {
  bool sender_waits = false;
  const int delivered = reader_.read(sink, budget, &sender_waits);
  delivered_.fetch_add(static_cast<uint64_t>(delivered), std::memory_order_release);
  if (!reader_.error().empty()) broken_.store(true, std::memory_order_release);
  // Marked: the sender may be between its failed attempt and its sleep.
  if (sender_waits) peer_->ring_and_mark();
  return delivered;
}

std::string ShmLink::why() const {
  // error() is written once, before broken_.
  return broken() ? reader_.error() : std::string();
}

}  // namespace distos_coll
