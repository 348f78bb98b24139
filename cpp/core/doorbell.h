// How a sleeping process is woken by another one on the same host. Each runtime owns one doorbell: a page of shared
// memory with a futex word, and an eventfd for sleepers that also watch sockets. Whoever publishes something that a
// peer may be waiting for rings that peer's doorbell, which costs one fence and one load while nobody sleeps.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/fd.h"
#include "core/types.h"

namespace distos_coll {

// Lives in shared memory. All fields start at zero.
struct alignas(kLineBytes) DoorbellPage {
  std::atomic<uint32_t> sequence;  // the futex word: changes with every effective ring
  std::atomic<uint32_t> sleepers;  // threads in futex_wait on `sequence`
  std::atomic<uint32_t> pollers;   // threads in poll() on the eventfd
};

class Doorbell {
 public:
  // A doorbell of our own (memfd + eventfd).
  static Doorbell create();
  // A peer's, from the descriptors it passed. Takes ownership; the memfd is closed once mapped.
  static Doorbell attach(Fd memory, Fd event);

  Doorbell(Doorbell&&) noexcept;
  Doorbell& operator=(Doorbell&&) noexcept;
  ~Doorbell();

  int memory_fd() const { return memory_.get(); }  // own only, to pass on
  int event_fd() const { return event_.get(); }

  // Wakes every sleeper. Call after the store that they wait for.
  void ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (page_->sleepers.load(std::memory_order_relaxed) | page_->pollers.load(std::memory_order_relaxed)) wake();
  }

  // Sleeps until the next ring, a readable or (if listed so) writable descriptor, or timeout_us. `ready` is called once
  // after this thread is registered as a sleeper: if it returns true the call returns at once, so no wake-up is lost.
  // n_fds may be 0, then a plain futex is used.
  void sleep(int64_t timeout_us, struct pollfd* fds, int n_fds, const std::function<bool()>& ready);

 private:
  Doorbell() = default;
  void wake();

  DoorbellPage* page_ = nullptr;
  Fd memory_;
  Fd event_;
};

}  // namespace distos_coll
