#include "core/fd.h"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "core/status.h"

namespace distos_coll {
namespace {

// One bit per descriptor number. The kernel hands out the lowest free number, so a million is
// beyond what any process reaches; untouched words cost no memory. The child's handler may only use
// async-signal-safe calls, hence no container.
constexpr int kMaxFd = 1 << 20;
constexpr int kWordBits = 64;
std::array<std::atomic<uint64_t>, kMaxFd / kWordBits> g_owned{};
std::atomic<int> g_highest_word{-1};
std::atomic<bool> g_forked_child{false};
// Recursive, because an Fd may be destroyed while its maker's guard is held.
pthread_mutex_t g_fork_mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void own(int fd) {
  const int word = fd / kWordBits;
  g_owned[word].fetch_or(uint64_t{1} << (fd % kWordBits), std::memory_order_relaxed);
  int highest = g_highest_word.load(std::memory_order_relaxed);
  while (highest < word &&
         !g_highest_word.compare_exchange_weak(highest, word, std::memory_order_relaxed)) {
  }
}

bool disown(int fd) {
  const uint64_t bit = uint64_t{1} << (fd % kWordBits);
  return (g_owned[fd / kWordBits].fetch_and(~bit, std::memory_order_relaxed) & bit) != 0;
}

void before_fork() { pthread_mutex_lock(&g_fork_mutex); }

void after_fork_parent() { pthread_mutex_unlock(&g_fork_mutex); }

void after_fork_child() {
  const int highest = g_highest_word.load(std::memory_order_relaxed);
  for (int word = 0; word <= highest; ++word) {
    uint64_t bits = g_owned[word].exchange(0, std::memory_order_relaxed);
    for (; bits != 0; bits &= bits - 1) close(word * kWordBits + __builtin_ctzll(bits));
  }
  g_forked_child.store(true, std::memory_order_relaxed);
  // Made anew, not unlocked: its owner is recorded by thread id, and this thread's has changed.
  g_fork_mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}

}  // namespace

Fd::Fd(int fd) {
  if (fd < 0) return;
  if (fd >= kMaxFd) {
    close(fd);
    throw Error(Code::kSystem,
                strf("descriptor %d is too large; this process has more than %d files open: lower "
                     "its limit (ulimit -n) or find the leak",
                     fd, kMaxFd));
  }
  own(fd);
  fd_ = fd;
}

void Fd::reset() {
  if (fd_ < 0) return;
  const int saved = errno;
  {
    const ForkGuard guard;
    if (disown(fd_)) close(fd_);
  }
  fd_ = -1;
  errno = saved;
}

ForkGuard::ForkGuard() { pthread_mutex_lock(&g_fork_mutex); }

ForkGuard::~ForkGuard() { pthread_mutex_unlock(&g_fork_mutex); }

void guard_against_fork() {
  static std::once_flag once;
  std::call_once(once, [] {
    const int error = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    if (error != 0) throw_errno("pthread_atfork", error);
  });
}

bool in_forked_child() { return g_forked_child.load(std::memory_order_relaxed); }

}  // namespace distos_coll
