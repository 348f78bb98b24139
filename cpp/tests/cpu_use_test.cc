#include "core/cpu_use.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>

namespace distos_coll {
namespace {

int64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// A process that computes, or that sleeps.
class Child {
 public:
  explicit Child(bool computes) : pid_(fork()) {
    if (pid_ != 0) return;
    volatile bool forever = true;
    while (forever) {
      if (!computes) pause();
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }
  pid_t pid() const { return pid_; }
  void end() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
  }

 private:
  pid_t pid_;
};

TEST(CpuUse, CountsWhoComputes) {
  const Child computes(true), sleeps(false);
  CpuUse of_one, of_other, of_both;
  of_one.add(computes.pid());
  of_other.add(sleeps.pid());
  of_both.add(sleeps.pid());
  of_both.add(computes.pid());
  // As long as it takes on a busy machine.
  for (const int64_t until = now_ms() + 30'000; of_one.used_ns() < 20'000'000;) {
    ASSERT_LT(now_ms(), until);
    usleep(1000);
  }
  EXPECT_LT(of_other.used_ns(), 5'000'000);
  EXPECT_GE(of_both.used_ns(), 15'000'000);
}

TEST(CpuUse, WhoCannotBeSeenCountsNothing) {
  Child gone(true);
  CpuUse use;
  use.add(gone.pid());
  gone.end();
  use.add(0);
  use.add(-1);
  EXPECT_EQ(use.used_ns(), 0);
  for (int i = 0; i < 100; ++i) use.add(getpid());
  EXPECT_GE(use.used_ns(), 0);
}

}  // namespace
}  // namespace distos_coll
