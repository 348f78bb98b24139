#include "core/doorbell.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <utility>
#include <vector>

#include "core/status.h"

namespace distos_coll {
namespace {

constexpr size_t kPageBytes = 4096;
static_assert(sizeof(DoorbellPage) <= kPageBytes);

timespec to_timespec(int64_t us) {
  us = std::max<int64_t>(us, 0);
  return {static_cast<time_t>(us / 1'000'000), static_cast<long>(us % 1'000'000 * 1000)};
}

// Not FUTEX_PRIVATE: the waker is another process.
long futex(std::atomic<uint32_t>* word, int op, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), op, value, timeout, nullptr, 0);
}

// Counts this thread in for its lifetime. The fence pairs with the one in ring(): either the ringer
// sees the count, or `ready`, called after this, sees what the ringer stored.
class Registered {
 public:
  explicit Registered(std::atomic<uint32_t>* count) : count_(count) {
    count_->fetch_add(1, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  ~Registered() { count_->fetch_sub(1, std::memory_order_seq_cst); }
  Registered(const Registered&) = delete;
  Registered& operator=(const Registered&) = delete;

 private:
  std::atomic<uint32_t>* count_;
};

}  // namespace

Doorbell Doorbell::create() {
  Doorbell bell;
  bell.mapping_ = Mapping::create("distos_coll_bell", kPageBytes, &bell.memory_);
  bell.page_ = reinterpret_cast<DoorbellPage*>(bell.mapping_.data());
  bell.event_ = open_fd([] { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
  if (!bell.event_.valid()) throw_errno("eventfd", errno);
  bell.polling_ = std::make_unique<std::atomic<bool>>(false);
  return bell;
}

Doorbell Doorbell::attach(Fd memory, Fd event) {
  const int flags = fcntl(event.get(), F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK) == 0) {
    throw Error(Code::kInvalid, "the peer's doorbell descriptor is missing or would block");
  }
  Doorbell bell;
  bell.mapping_ = Mapping::attach(memory, kPageBytes);
  bell.page_ = reinterpret_cast<DoorbellPage*>(bell.mapping_.data());
  bell.event_ = std::move(event);
  return bell;
}

void Doorbell::wake_sleepers() {
  page_->sequence.fetch_add(1, std::memory_order_seq_cst);
  if (page_->sleepers.load(std::memory_order_seq_cst) != 0) {
    futex(&page_->sequence, FUTEX_WAKE, INT_MAX, nullptr);
  }
}

void Doorbell::wake() {
  wake_sleepers();
  if (page_->pollers.load(std::memory_order_seq_cst) != 0) {
    // Fails only when the counter is full, and then it is readable anyway.
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);
  }
}

void Doorbell::sleep(int64_t timeout_us, pollfd* fds, int n_fds,
                     const std::function<bool()>& ready) {
  if (n_fds == 0) {
    wait_on_futex(timeout_us, false, ready);
  } else if (polling_->exchange(true, std::memory_order_seq_cst)) {
    wait_on_futex(timeout_us, true, ready);
  } else {
    wait_in_poll(timeout_us, fds, n_fds, ready);
  }
}

void Doorbell::wait_on_futex(int64_t timeout_us, bool follower,
                             const std::function<bool()>& ready) {
  const uint32_t seen = sequence();
  const Registered registered(&page_->sleepers);
  // A follower whose poller left in the meantime must not sleep: nobody would watch the sockets for
  // it.
  if (follower && !polling_->load(std::memory_order_seq_cst)) return;
  if (ready()) return;
  const timespec timeout = to_timespec(timeout_us);
  futex(&page_->sequence, FUTEX_WAIT, seen, &timeout);
}

void Doorbell::wait_in_poll(int64_t timeout_us, pollfd* fds, int n_fds,
                            const std::function<bool()>& ready) {
  // Whatever happens, the followers must learn that nobody polls any more.
  struct Leave {
    Doorbell* bell;
    ~Leave() {
      bell->polling_->store(false, std::memory_order_seq_cst);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (bell->page_->sleepers.load(std::memory_order_relaxed) != 0) bell->wake_sleepers();
    }
  } const leave{this};
  const Registered registered(&page_->pollers);
  if (ready()) return;

  std::vector<pollfd> all(fds, fds + n_fds);
  all.push_back({event_.get(), POLLIN, 0});
  const timespec timeout = to_timespec(timeout_us);
  if (ppoll(all.data(), all.size(), &timeout, nullptr) <= 0) return;
  std::copy(all.begin(), all.end() - 1, fds);
  if (all.back().revents != 0) {
    // Only the one poller drains, while it still counts as one, so a ring that it has not answered
    // stays readable.
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(event_.get(), &count, sizeof count);
  }
}

}  // namespace distos_coll
