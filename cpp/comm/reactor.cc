#include "comm/reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>

#include "core/clock.h"
#include "core/log.h"
#include "core/status.h"

namespace distos_coll {
namespace {

constexpr Reactor::Token kWakeToken = 0;

// An exception must not end the process: the thread serves every peer, and the others are still
// well.
template <typename Task>
void guarded(const Task& task) {
  try {
    task();
  } catch (const std::exception& error) {
    log(LogLevel::kError, "the control thread could not finish a task: %s", error.what());
  }
}

}  // namespace

Reactor::Reactor() : now_(now_ns()) {
  epoll_ = open_fd([] { return epoll_create1(EPOLL_CLOEXEC); });
  if (!epoll_.valid()) throw_errno("epoll_create1", errno);
  wake_ = open_fd([] { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
  if (!wake_.valid()) throw_errno("eventfd", errno);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeToken;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0)
    throw_errno("epoll_ctl", errno);
}

Reactor::Token Reactor::watch(int fd, uint32_t events, Handler handler) {
  const Token token = next_token_++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl", errno);
  watches_[token] = {fd, events, std::make_shared<Handler>(std::move(handler))};
  return token;
}

void Reactor::change(Token token, uint32_t events) {
  const auto found = watches_.find(token);
  if (found == watches_.end() || found->second.events == events) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second.fd, &event) != 0)
    throw_errno("epoll_ctl", errno);
  found->second.events = events;
}

void Reactor::unwatch(Token token) {
  const auto found = watches_.find(token);
  if (found == watches_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.fd, nullptr);
  watches_.erase(found);
}

Reactor::Token Reactor::at(int64_t when_ns, std::function<void()> task) {
  const Token token = next_token_++;
  timers_.emplace(std::pair(when_ns, token), std::move(task));
  timer_times_[token] = when_ns;
  return token;
}

void Reactor::cancel(Token token) {
  const auto found = timer_times_.find(token);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, token});
  timer_times_.erase(found);
}

bool Reactor::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    posted_.push_back(std::move(task));
    if (posted_.size() > 1) return true;  // the first one's wake-up is still under way
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  return true;
}

void Reactor::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

int Reactor::timeout_ms() const {
  if (timers_.empty()) return -1;
  const int64_t left_ns = timers_.begin()->first.first - now_ns();
  // Rounded up, or the loop would spin through the last millisecond.
  return static_cast<int>(std::clamp<int64_t>((left_ns + 999'999) / 1'000'000, 0, 60'000));
}

void Reactor::run_posted() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (auto& task : tasks) guarded(task);
}

void Reactor::run_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= now_) {
    auto node = timers_.extract(timers_.begin());
    timer_times_.erase(node.key().second);
    guarded(node.mapped());
  }
}

void Reactor::run() {
  std::array<epoll_event, 64> events;
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (stopped_ && posted_.empty()) return;
    }
    const int n = epoll_wait(epoll_.get(), events.data(), events.size(), timeout_ms());
    now_ = now_ns();
    for (int i = 0; i < n; ++i) {
      if (events[i].data.u64 == kWakeToken) {
        run_posted();
        continue;
      }
      const auto found = watches_.find(events[i].data.u64);
      if (found == watches_.end()) continue;  // unwatched by an earlier callback of this turn
      const std::shared_ptr<Handler> handler = found->second.handler;
      guarded([&] { (*handler)(events[i].events); });
    }
    // After the sockets: what a timer concludes from silence must not overlook what has already
    // arrived. A turn that filled its events may have left some for the next.
    if (n < static_cast<int>(events.size())) run_timers();
  }
}

}  // namespace distos_coll
