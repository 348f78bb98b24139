// Shared memory between two processes of a host: one memfd per pair, a ring per direction.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "core/doorbell.h"
#include "core/mapping.h"
#include "transport/managed_link.h"
#include "transport/shm_ring.h"

namespace distos_coll {

// The memory of a pair. Whoever opens the connection creates it and writes `nonce[0]`, the other
// attaches and writes `nonce[1]`; reading each other's nonce proves that both map the same pages.
struct PairPage {
  std::atomic<uint64_t> nonce[2];
  RingControl ring[2];  // ring[i]: written by side i
};
inline constexpr size_t kPairPageBytes = 4096;
static_assert(sizeof(PairPage) <= kPairPageBytes);

// Rounds to a power of two within the limits of a ring.
size_t usable_ring_bytes(size_t wanted);
constexpr size_t pair_bytes(size_t ring_bytes) { return kPairPageBytes + 2 * ring_bytes; }

class ShmLink final : public ManagedLink {
 public:
  // side: 0 for the creator of the memory, 1 for the other. The peer's doorbell must outlive the
  // link.
  ShmLink(Mapping pair, size_t ring_bytes, int side, Doorbell* peer);

  Code try_send(const FrameHeader& header, const void* payload) override;
  int poll(FrameSink& sink, int budget) override;
  bool broken() const override { return broken_.load(std::memory_order_acquire); }
  std::string why() const override;
  std::span<const int> sockets() const override { return {}; }
  short waits_for(size_t) const override { return 0; }
  bool wants_write() const override { return false; }
  const char* transport() const override { return "shm"; }

  bool has_frames() const override { return !broken() && reader_.has_frames(); }
  void watch(int, uint64_t) override {}
  void unwatch() override {}
  int drain(FrameSink& sink) override;
  void close_sending() override { closed_.store(true, std::memory_order_release); }
  uint64_t accepted() const override { return accepted_.load(std::memory_order_acquire); }
  uint64_t delivered() const override { return delivered_.load(std::memory_order_acquire); }
  bool flushed() override { return true; }  // the peer keeps the memory

 private:
  int read(FrameSink& sink, int budget);

  Mapping pair_;
  Doorbell* peer_;
  std::mutex send_mutex_;
  RingWriter writer_;  // guarded by send_mutex_
  std::mutex poll_mutex_;
  RingReader reader_;  // reading guarded by poll_mutex_
  std::atomic<uint64_t> accepted_{0}, delivered_{0};
  std::atomic<bool> broken_{false};
  std::atomic<bool> closed_{false};
};

}  // namespace distos_coll
