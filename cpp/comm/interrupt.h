// How Ctrl-C reaches a thread that waits in the core: the door that the call came through knows
// whether its language has a signal for the thread.
#pragma once

#include <cstdint>

namespace distos_coll {

// `check` returns true if the calling thread should stop waiting, and keeps that in mind for the
// door. Called by a thread that has waited for a while, with no lock of the core held that a signal
// handler's work could need. Null: none.
void set_interrupt_check(bool (*check)());

inline constexpr const char* kInterruptedText = "a signal interrupted it";

// One thread's wait.
class InterruptWatch {
 public:
  // Time to look, and there is an interrupt. At most ten looks a second, none in short waits.
  bool interrupted(int64_t now);

 private:
  int64_t next_ns_ = 0;
};

}  // namespace distos_coll
