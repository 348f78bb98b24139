// Lets readers use a snapshot that writers replace, without a lock that readers could starve a
// writer with: a reader costs two atomic additions, and the writer waits only for readers that came
// before it. Readers may nest.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

#include "core/types.h"

namespace distos_coll {

class ReadGate {
 public:
  // Read the snapshot's pointer after constructing this; it stays valid until the destructor.
  class Reader {
   public:
    explicit Reader(ReadGate& gate) {
      for (;;) {
        const uint32_t phase = gate.phase_.load(std::memory_order_seq_cst);
        count_ = &gate.readers_[phase & 1].count;
        count_->fetch_add(1, std::memory_order_seq_cst);
        // Still this phase: whichever writer ends it will see the count. Else the count may have
        // come too late.
        if (gate.phase_.load(std::memory_order_seq_cst) == phase) return;
        count_->fetch_sub(1, std::memory_order_seq_cst);
      }
    }
    ~Reader() { count_->fetch_sub(1, std::memory_order_release); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

   private:
    std::atomic<int64_t>* count_;
  };

  // Returns when every reader that may have seen the snapshot replaced before this call is gone.
  // One writer at a time, and never from inside a reader.
  void wait_for_readers() {
    const uint32_t ended = phase_.fetch_add(1, std::memory_order_seq_cst);
    while (readers_[ended & 1].count.load(std::memory_order_acquire) != 0) sched_yield();
  }

 private:
  struct alignas(kLineBytes) Slot {
    std::atomic<int64_t> count{0};
  };
  alignas(kLineBytes) std::atomic<uint32_t> phase_{0};
  Slot readers_[2];
};

}  // namespace distos_coll
