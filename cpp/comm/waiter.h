// How a thread waits when a pass moved nothing: spin briefly, yield, then sleep on the process's
// doorbell. Spinning alone collapses when ranks share cores, sleeping alone costs a wake-up per
// step.
#pragma once

#include <sched.h>

#include <algorithm>
#include <functional>

#include "comm/runtime.h"
#include "comm/yields.h"
#include "core/cpu_use.h"

namespace distos_coll {

class Waiter {
 public:
  explicit Waiter(Runtime& runtime) : runtime_(runtime) {}

  // Something moved: start again from spinning.
  void reset() {
    idle_passes_ = 0;
    shares_cpu_ = false;
  }

  // True once in a while: the time to look at clocks and at other communicators.
  bool time_to_look() const { return (idle_passes_ & 15) == 15; }

  // `ready` makes one more pass and says whether to wake at once; called only before sleeping.
  template <typename Ready>
  void idle(int64_t deadline_ns, Ready&& ready) {
    ++idle_passes_;
    // A pass takes tens of nanoseconds; a look at the clock and at who else is here as much.
    if (!shares_cpu_ && idle_passes_ != kFirstLook && (idle_passes_ & 15) != 0) return;
    shares_cpu_ = runtime_.shares_cpu();
    const int64_t now = now_ns();
    if (idle_passes_ <= 16) idle_since_ns_ = now;
    const int64_t idle_us = (now - idle_since_ns_) / 1000;
    const Settings& settings = runtime_.settings();
    if (!shares_cpu_ && (idle_passes_ < 16 || idle_us < settings.spin_us)) return;
    if (idle_us < settings.spin_us + settings.yield_us && yields().pays(now)) {
      yield(now);
      return;
    }
    const int64_t left_us =
        deadline_ns > 0 ? std::max<int64_t>((deadline_ns - now) / 1000, 0) : kLongestSleepUs;
    // By reference: a std::function of the closure itself would allocate.
    runtime_.sleep(std::min(left_us + 1, kLongestSleepUs), std::ref(ready));
    // Stay close to sleep: look around, after a few passes where they keep nobody from this CPU,
    // then sleep again.
    idle_passes_ = shares_cpu_ ? idle_passes_ | 15 : 16 * (idle_passes_ / 16);
  }

 private:
  static Yields& yields() {
    static thread_local Yields of_this_thread;
    return of_this_thread;
  }
  void yield(int64_t now) {
    CpuUse peers;
    if (yields().in_doubt()) runtime_.count_peers_here(&peers);
    sched_yield();
    const int64_t after = now_ns();
    yields().note(now, after, after - now > Yields::kLongNs ? peers.used_ns() : 0);
  }
  // A bound on what a lost wake-up could cost, and on how late deadlines and Ctrl-C are seen.
  static constexpr int64_t kLongestSleepUs = 50'000;
  static constexpr uint64_t kFirstLook = 2;

  Runtime& runtime_;
  // A peer runs on this CPU: what is waited for may come only once this thread gives it away.
  bool shares_cpu_ = false;
  uint64_t idle_passes_ = 0;
  int64_t idle_since_ns_ = 0;
};

}  // namespace distos_coll
