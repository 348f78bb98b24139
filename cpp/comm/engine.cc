#include "comm/engine.h"

#include <algorithm>

#include "comm/communicator.h"
#include "comm/waiter.h"
#include "core/clock.h"

namespace distos_coll {
namespace {

// How often groups compare what their ranks have called: a mismatch that hung nobody is reported
// within a few of these.
constexpr int64_t kAuditNs = 250'000'000;

}  // namespace

Engine::Engine(std::shared_ptr<Runtime> runtime)
    : state_(std::make_shared<State>(std::move(runtime))),
      flight_(*state_->runtime),
      thread_([state = state_] { state->loop(); }) {}

Engine::~Engine() { stop(); }

void Engine::stop() {
  if (in_forked_child()) {
    // The thread does not exist in a child; joining or destroying it would abort.
    if (thread_.joinable()) thread_.detach();
    return;
  }
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping.exchange(true)) return;
    ++state_->changes;
  }
  state_->wake.notify_all();
  runtime().ring_self();
  flight_.stop();
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
  // A communicator owns its engine; one that was still listed here would own it back.
  Active dropped;
  const std::lock_guard lock(state_->mutex);
  dropped.swap(state_->active);
}

void Engine::activate(const std::shared_ptr<Communicator>& communicator) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping.load()) return;
    Active& active = state_->active;
    if (std::find(active.begin(), active.end(), communicator) == active.end())
      active.push_back(communicator);
    ++state_->changes;
  }
  state_->wake.notify_one();
  // Whoever waits in this group progresses it, but may be asleep.
  if (communicator->attended()) runtime().ring_self();
}

void Engine::enlist(const std::shared_ptr<Communicator>& communicator) {
  const std::lock_guard lock(state_->mutex);
  auto& all = state_->all;
  std::erase_if(all, [](const auto& each) { return each.expired(); });
  all.push_back(communicator);
}

void Engine::notify() {
  {
    const std::lock_guard lock(state_->mutex);
    ++state_->changes;
  }
  state_->wake.notify_one();
  runtime().ring_self();
}

int Engine::pass(const Communicator* skip, std::vector<Completion>* finished) {
  int moved = runtime().poll_links();
  for (const auto& communicator : state_->snapshot()) {
    if (communicator.get() != skip) moved += communicator->progress(finished);
  }
  return moved;
}

Engine::Active Engine::State::snapshot() {
  const std::lock_guard lock(mutex);
  return active;
}

void Engine::State::retire(const std::shared_ptr<Communicator>& communicator) {
  const std::lock_guard lock(mutex);
  // It may have become busy between the pass that saw it idle and this lock; activate() takes the
  // same lock.
  if (!communicator->busy()) std::erase(active, communicator);
}

int Engine::State::step_all(const Active& listed, bool* unattended) {
  int moved = 0;
  for (const auto& communicator : listed) {
    if (!communicator->busy()) {
      retire(communicator);
      continue;
    }
    // Two threads stepping the same operation only take its cache lines from each other.
    if (communicator->attended()) continue;
    *unattended = true;
    moved += communicator->progress();
  }
  if (*unattended) moved += runtime->poll_links();
  return moved;
}

void Engine::State::audit_all(int64_t now) {
  if (now < next_audit_ns) return;
  next_audit_ns = now + kAuditNs;
  std::vector<std::weak_ptr<Communicator>> groups;
  {
    const std::lock_guard lock(mutex);
    groups = all;
  }
  for (const auto& each : groups) {
    if (const auto group = each.lock()) group->audit(now);
  }
}

void Engine::State::loop() {
  Waiter waiter(*runtime);
  while (!stopping.load(std::memory_order_acquire)) {
    audit_all(now_ns());
    Active listed;
    uint64_t seen;
    {
      const std::lock_guard lock(mutex);
      listed = active;
      seen = changes;
    }
    bool unattended = false;
    if (step_all(listed, &unattended) > 0) {
      waiter.reset();
      continue;
    }
    if (!unattended) {
      // Rest away from the doorbell, so that peers need not wake a thread that has nothing to do.
      listed.clear();
      std::unique_lock lock(mutex);
      wake.wait_for(lock, std::chrono::nanoseconds(kAuditNs),
                    [&] { return changes != seen || stopping.load(); });
      waiter.reset();
      continue;
    }
    waiter.idle(0, [&] {
      bool ignored = false;
      return step_all(listed, &ignored) > 0 || stopping.load(std::memory_order_acquire);
    });
  }
}

}  // namespace distos_coll
