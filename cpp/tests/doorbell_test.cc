#include "core/doorbell.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "core/log.h"
#include "core/status.h"

namespace distos_coll {
namespace {

constexpr int64_t kForEverUs =
    3'600'000'000;  // a test that needs it hangs, and the runner's limit reports it
const auto kNever = [] { return false; };

Fd duplicate(int fd) {
  return open_fd([&] { return fcntl(fd, F_DUPFD_CLOEXEC, 0); });
}

// Two threads hand a counter back and forth; each sleeps until the other has moved it. A single
// lost wake-up hangs.
void ping_pong(bool polls) {
  Doorbell bells[2] = {Doorbell::create(), Doorbell::create()};
  Fd quiet = open_fd([] { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
  std::atomic<int> turn{0};
  constexpr int kRounds = 3000;
  const auto play = [&](int me) {
    for (int round = me; round < kRounds; round += 2) {
      while (turn.load() != round) {
        pollfd fd{quiet.get(), POLLIN, 0};
        bells[me].sleep(kForEverUs, &fd, polls ? 1 : 0, [&] { return turn.load() == round; });
      }
      turn.store(round + 1);
      bells[1 - me].ring();
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(turn.load(), kRounds);
}

TEST(Doorbell, NoWakeUpIsLostOnTheFutex) { ping_pong(false); }
TEST(Doorbell, NoWakeUpIsLostInPoll) { ping_pong(true); }

TEST(Doorbell, ReadyKeepsFromSleeping) {
  Doorbell bell = Doorbell::create();
  int asked = 0;
  bell.sleep(kForEverUs, nullptr, 0, [&] { return ++asked > 0; });
  pollfd fd{bell.memory_fd(), POLLIN, 0};
  fd.fd = -1;
  bell.sleep(kForEverUs, &fd, 1, [&] { return ++asked > 0; });
  EXPECT_EQ(asked, 2);
}

TEST(Doorbell, TimesOut) {
  Doorbell bell = Doorbell::create();
  bell.sleep(100, nullptr, 0, kNever);
  pollfd fd{-1, POLLIN, 0};
  bell.sleep(100, &fd, 1, kNever);
}

// One polls, the others follow it on the futex: a ring must reach all of them, and so must a
// readable descriptor.
TEST(Doorbell, AllSleepersWakeByRingAndByDescriptor) {
  for (const bool by_ring : {true, false}) {
    Doorbell bell = Doorbell::create();
    Fd event = open_fd([] { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
    std::atomic<bool> go{false};
    std::vector<std::thread> sleepers;
    for (int i = 0; i < 4; ++i) {
      sleepers.emplace_back([&] {
        while (!go.load()) {
          pollfd fd{event.get(), POLLIN, 0};
          bell.sleep(kForEverUs, &fd, 1, [&] { return go.load(); });
        }
      });
    }
    std::this_thread::yield();
    go.store(true);
    if (by_ring) {
      bell.ring();
    } else {
      const uint64_t one = 1;
      ASSERT_EQ(write(event.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    }
    for (std::thread& each : sleepers) each.join();
  }
}

TEST(Doorbell, MarkIsSeenWithoutSleepers) {
  Doorbell bell = Doorbell::create();
  const uint32_t before = bell.sequence();
  bell.ring();
  EXPECT_EQ(bell.sequence(), before);
  bell.ring_and_mark();
  EXPECT_NE(bell.sequence(), before);
}

TEST(Doorbell, AttachedBellWakesTheOwner) {
  Doorbell own = Doorbell::create();
  Doorbell peer = Doorbell::attach(duplicate(own.memory_fd()), duplicate(own.event_fd()));
  for (const int n_fds : {0, 1}) {
    std::atomic<bool> go{false};
    std::thread sleeper([&] {
      pollfd fd{-1, POLLIN, 0};
      while (!go.load()) own.sleep(kForEverUs, &fd, n_fds, [&] { return go.load(); });
    });
    go.store(true);
    peer.ring();
    sleeper.join();
  }
}

TEST(Doorbell, AttachRefusesWhatCouldHurt) {
  Doorbell own = Doorbell::create();
  // Unsealed memory could be cut off under us.
  Fd unsealed = open_fd([] { return memfd_create("test", MFD_CLOEXEC); });
  ASSERT_EQ(ftruncate(unsealed.get(), 4096), 0);
  EXPECT_THROW(Doorbell::attach(std::move(unsealed), duplicate(own.event_fd())), Error);
  // Of the wrong size.
  Fd memory;
  const Mapping small = Mapping::create("test", 8192, &memory);
  EXPECT_THROW(Doorbell::attach(std::move(memory), duplicate(own.event_fd())), Error);
  // A descriptor that blocks would stop whoever rings.
  Fd blocking = open_fd([] { return eventfd(0, EFD_CLOEXEC); });
  EXPECT_THROW(Doorbell::attach(duplicate(own.memory_fd()), std::move(blocking)), Error);
  EXPECT_THROW(Doorbell::attach(duplicate(own.memory_fd()), Fd()), Error);
}

int child_checks(const Fd& ours, int ours_number, int foreign) {
  if (!in_forked_child()) return 1;
  if (fcntl(ours_number, F_GETFD) != -1) return 2;
  if (fcntl(foreign, F_GETFD) == -1) return 3;
  // The number now belongs to the child's own file, which a stale Fd must not close.
  if (dup2(foreign, ours_number) != ours_number) return 4;
  const_cast<Fd&>(ours).reset();
  return fcntl(ours_number, F_GETFD) != -1 ? 0 : 5;
}

TEST(Fork, ChildHasNoneOfOurDescriptors) {
  guard_against_fork();
  const Fd ours = open_fd([] { return eventfd(0, EFD_CLOEXEC); });
  const int number = ours.get();
  const int foreign = dup(STDERR_FILENO);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(child_checks(ours, number, foreign));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_FALSE(in_forked_child());
  EXPECT_NE(fcntl(number, F_GETFD), -1);
  close(foreign);
}

TEST(LogLimit, LetsABurstThroughPerSecond) {
  LogLimit limit(2);
  int64_t suppressed = 0;
  EXPECT_TRUE(limit.allow(0, &suppressed));
  EXPECT_TRUE(limit.allow(1, &suppressed));
  EXPECT_FALSE(limit.allow(2, &suppressed));
  EXPECT_FALSE(limit.allow(3, &suppressed));
  EXPECT_TRUE(limit.allow(1'000'000'000, &suppressed));
  EXPECT_EQ(suppressed, 2);
}

}  // namespace
}  // namespace distos_coll
