// How a sleeping process is woken by another one on the same host. Each runtime owns one doorbell:
// a page of shared memory with a futex word, and an eventfd for sleepers that also watch sockets.
// Whoever publishes something that a peer may be waiting for rings that peer's doorbell, which
// costs one fence and one load while nobody sleeps.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/fd.h"
#include "core/mapping.h"
#include "core/types.h"

struct pollfd;

namespace distos_coll {

// Lives in shared memory. All fields start at zero.
struct alignas(kLineBytes) DoorbellPage {
  std::atomic<uint32_t> sequence;  // the futex word: changes with every effective ring
  std::atomic<uint32_t> sleepers;  // threads in futex_wait on `sequence`
  std::atomic<uint32_t> pollers;   // threads in poll() on the eventfd
  std::atomic<uint32_t> cpu;       // where the owner runs, plus one; 0: it sleeps, or never waited
};

class Doorbell {
 public:
  // A doorbell of our own (memfd + eventfd).
  static Doorbell create();
  // A peer's, from the descriptors it passed. Takes ownership; the memfd is closed once mapped.
  static Doorbell attach(Fd memory, Fd event);

  Doorbell(Doorbell&&) noexcept = default;
  Doorbell& operator=(Doorbell&&) noexcept = default;
  ~Doorbell() = default;

  int memory_fd() const { return memory_.get(); }  // own only, to pass on
  int event_fd() const { return event_.get(); }

  // Wakes every sleeper. Call after the store that they wait for.
  void ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (page_->sleepers.load(std::memory_order_relaxed) |
        page_->pollers.load(std::memory_order_relaxed)) {
      wake();
    }
  }
  // As ring(), and leaves a trace in sequence() even if nobody sleeps yet, for rare events that a
  // thread about to sleep has no other way to notice.
  void ring_and_mark() { wake(); }
  uint32_t sequence() const { return page_->sequence.load(std::memory_order_acquire); }

  // Where this process waits or works, for peers that wait for it; stored only when it changed. 0:
  // it needs no CPU.
  void note_cpu(uint32_t cpu) {
    if (page_->cpu.load(std::memory_order_relaxed) != cpu)
      page_->cpu.store(cpu, std::memory_order_relaxed);
  }
  uint32_t cpu() const { return page_->cpu.load(std::memory_order_relaxed); }

  // Sleeps until the next ring, a readable or (if listed so) writable descriptor, or timeout_us.
  // `ready` is called once after this thread is registered as a sleeper: if it returns true the
  // call returns at once, so no wake-up is lost. n_fds may be 0, then a plain futex is used. Of
  // several threads that pass descriptors one polls, the others wait for it on the futex and are
  // woken whenever it wakes; so all must pass the same set. May return early.
  void sleep(int64_t timeout_us, struct pollfd* fds, int n_fds, const std::function<bool()>& ready);

 private:
  Doorbell() = default;
  void wake();
  void wake_sleepers();
  void wait_on_futex(int64_t timeout_us, bool follower, const std::function<bool()>& ready);
  void wait_in_poll(int64_t timeout_us, struct pollfd* fds, int n_fds,
                    const std::function<bool()>& ready);

  DoorbellPage* page_ = nullptr;
  Mapping mapping_;
  Fd memory_;
  Fd event_;
  std::unique_ptr<std::atomic<bool>> polling_;  // own only: a thread is in poll()
};

}  // namespace distos_coll
