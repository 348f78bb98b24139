#include "core/cpu_use.h"

#include <sys/types.h>

#include <ctime>

namespace distos_coll {
namespace {

// Negative where the clock's process has ended.
int64_t read(clockid_t clock) {
  timespec used{};
  if (clock_gettime(clock, &used) != 0) return -1;
  return int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

}  // namespace

void CpuUse::add(int64_t pid) {
  clockid_t clock = 0;
  if (pid <= 0 || n_ == counted_.size() ||
      clock_getcpuclockid(static_cast<pid_t>(pid), &clock) != 0)
    return;
  const int64_t now = read(clock);
  if (now >= 0) counted_[n_++] = {clock, now};
}

int64_t CpuUse::used_ns() const {
  int64_t sum = 0;
  for (size_t i = 0; i < n_; ++i) {
    const int64_t now = read(counted_[i].clock);
    if (now > counted_[i].from_ns) sum += now - counted_[i].from_ns;
  }
  return sum;
}

}  // namespace distos_coll
