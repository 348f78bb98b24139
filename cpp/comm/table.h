// What a progress pass looks at: the links and the communicators of the moment. Immutable once
// published; changes replace the whole, and wait until nobody uses the old one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "comm/gate.h"
#include "comm/peer.h"

namespace distos_coll {

struct LinkTable {
  struct TcpEntry {
    uint64_t token;  // in the epoll set
    std::shared_ptr<PeerImpl> peer;
  };
  std::vector<std::shared_ptr<PeerImpl>> shm;
  std::vector<TcpEntry> tcp;                            // by token
  size_t n_sockets = 0;                                 // of all of `tcp`
  std::vector<std::pair<uint64_t, CommEvents*>> comms;  // by id

  CommEvents* find(uint64_t comm) const {
    const auto at = std::lower_bound(comms.begin(), comms.end(), comm,
                                     [](const auto& each, uint64_t id) { return each.first < id; });
    return at != comms.end() && at->first == comm ? at->second : nullptr;
  }
};

class TableHolder {
 public:
  TableHolder() : table_(new LinkTable) {}
  ~TableHolder() { delete table_.load(std::memory_order_relaxed); }
  TableHolder(const TableHolder&) = delete;
  TableHolder& operator=(const TableHolder&) = delete;

  // Keeps the table alive, and holds off update()'s return. Never call update() while holding one.
  class Use {
   public:
    explicit Use(TableHolder& holder)
        : reader_(holder.gate_), table_(holder.table_.load(std::memory_order_seq_cst)) {}
    const LinkTable* operator->() const { return table_; }
    const LinkTable& operator*() const { return *table_; }

   private:
    ReadGate::Reader reader_;
    const LinkTable* table_;
  };

  // Returns when nobody uses what was there before.
  template <typename Change>
  void update(Change change) {
    const std::lock_guard lock(mutex_);
    auto next = std::make_unique<LinkTable>(*table_.load(std::memory_order_relaxed));
    change(*next);
    const std::unique_ptr<const LinkTable> old(
        table_.exchange(next.release(), std::memory_order_seq_cst));
    gate_.wait_for_readers();
  }

 private:
  ReadGate gate_;
  std::mutex mutex_;
  std::atomic<const LinkTable*> table_;
};

}  // namespace distos_coll
