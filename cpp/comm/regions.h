// Registered memory: pieces of this process's memory that the other processes of the host map too,
// so that collectives read and write the caller's arrays where they are (docs/decisions/0009).
//
// One table a process. The owner sends each new region's descriptor to all peers that share memory
// with it; their control threads map it and say so. Until then, or where a peer cannot, the memory
// is ordinary. Descriptors are closed at once: a process that connects later does not get it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "comm/runtime.h"
#include "core/fd.h"
#include "core/mapping.h"

namespace distos_coll {

class Regions : public std::enable_shared_from_this<Regions> {
 public:
  using Peers = std::function<std::vector<std::shared_ptr<Peer>>()>;

  // `peers` gives those that memory can be shared with. Of what callers let go of, up to idle_bytes
  // are kept for the next that ask. One peer may make us map max_of_peer regions.
  Regions(Peers peers, size_t idle_bytes, size_t max_of_peer = 16'384);

  // What is smaller gains nothing from it, and a program may have many such arrays.
  static constexpr size_t kSmallest = 16 << 10;
  // Memory at the start of a page, uninitialised; null for less than kSmallest, and in a forked
  // child. It goes back when the last reference does, which may be after the end of everything else
  // here. Throws Error(kSystem). Any thread, as below.
  std::shared_ptr<std::byte> allocate(size_t bytes);

  // Where memory of this process lies, in the words of those who map it.
  struct Place {
    uint64_t region = 0;  // 0: nowhere
    uint64_t offset = 0;
  };
  // Nowhere unless the whole lies in a region that all of these processes map.
  Place find(const void* data, size_t bytes, const std::vector<PeerUid>& by) const;
  // Whether there is any region that all of these processes map.
  bool any_mapped(const std::vector<PeerUid>& by) const;
  // Goes up whenever one of these answers may have changed.
  uint64_t changes() const { return changes_.load(std::memory_order_acquire); }

  // A peer's region, mapped here as long as this is held; null if it is not known.
  std::shared_ptr<const Mapping> of_peer(const PeerUid& peer, uint64_t region) const;

  // A peer may still write there after an operation that failed: the region is not used again.
  void distrust(const Place& place);

  // Of this process's regions, in use or kept.
  size_t bytes() const;

  // For the control thread: kRegion, kRegionMapped, kRegionGone.
  void on_control(Peer& peer, ControlKind kind, const std::string& payload, const Fd& fd);
  void peer_ended(const PeerUid& peer);
  // No peer is told of anything any more.
  void close();

 private:
  struct Region {
    Mapping memory;
    std::vector<std::shared_ptr<Peer>> told;
    std::set<PeerUid> mapped_by;
    bool trusted = true;
  };
  using Mapped = std::map<uint64_t, std::shared_ptr<const Mapping>>;

  std::pair<uint64_t, std::byte*> take(size_t bytes, size_t page);
  void give_back(uint64_t id);
  // The following need mutex_. Unmapping does not, and takes long: what is dropped is destroyed
  // when the lock is open again.
  std::optional<uint64_t> reuse(size_t bytes, const std::vector<std::shared_ptr<Peer>>& peers);
  void tell(Region& region, uint64_t id, const Fd& fd,
            const std::vector<std::shared_ptr<Peer>>& peers);
  [[nodiscard]] Region drop(uint64_t id);
  bool mapped_by(const Region& region, const std::vector<PeerUid>& processes) const;

  const size_t idle_bytes_, max_of_peer_;
  std::atomic<uint64_t> changes_{0};
  mutable std::mutex mutex_;  // below
  Peers peers_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, Region> own_;
  std::map<const std::byte*, uint64_t> by_address_;
  std::deque<uint64_t> idle_;  // let go of, oldest first
  size_t idle_now_ = 0;        // bytes in idle_
  std::map<PeerUid, Mapped> others_;
};

}  // namespace distos_coll
