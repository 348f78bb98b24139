// Whether it pays to yield. Who yields to a stranger that computes gets its CPU back a time slice
// later, milliseconds; who sleeps gets it when it is woken. So after a yield that a stranger made
// long, this thread sleeps instead, at first for a moment only. A peer that computes is another
// matter: what it does is what is waited for.
#pragma once

#include <algorithm>
#include <cstdint>

namespace distos_coll {

class Yields {
 public:
  // Long enough to be somebody's time slice.
  static constexpr int64_t kLongNs = 500'000;

  bool pays(int64_t now) const { return now >= paused_until_ns_; }
  // Measure who runs in the next yield; it costs system calls, so not in every one.
  bool in_doubt() const { return doubts_ > 0; }
  // A yield lasted from `from` to `to`. `peers_ns`: CPU time of the peers on this CPU meanwhile;
  // counts only where there was doubt.
  void note(int64_t from, int64_t to, int64_t peers_ns) {
    const bool is_long = to - from > kLongNs, by_strangers = 2 * peers_ns < to - from;
    if (is_long && in_doubt() && by_strangers) {
      paused_until_ns_ = to + pause_ns_;
      pause_ns_ = std::min(2 * pause_ns_, kLongestPauseNs);
    } else if (pause_ns_ > kFirstPauseNs && from - paused_until_ns_ > pause_ns_) {
      pause_ns_ /= 2;
      paused_until_ns_ = from;
    }
    doubts_ = is_long ? kDoubts : std::max(doubts_ - 1, 0);
  }

 private:
  static constexpr int64_t kFirstPauseNs = 2'000'000;
  static constexpr int64_t kLongestPauseNs = 256'000'000;
  static constexpr int kDoubts = 64;
  int64_t paused_until_ns_ = 0;
  int64_t pause_ns_ = kFirstPauseNs;
  int doubts_ = 0;  // short yields until there is none
};

}  // namespace distos_coll
