#include "comm/engine.h"

#include <algorithm>

#include "comm/communicator.h"
#include "comm/waiter.h"

namespace distos_coll {

Engine::Engine(std::shared_ptr<Runtime> runtime)
    : runtime_(std::move(runtime)), thread_([this] { loop(); }) {}

Engine::~Engine() { stop(); }

void Engine::stop() {
  if (in_forked_child()) {
    // The thread does not exist in a child; joining or destroying it would abort.
    if (thread_.joinable()) thread_.detach();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (stopping_.exchange(true)) return;
    ++changes_;
  }
  wake_.notify_all();
  runtime_->ring_self();
  if (thread_.joinable()) thread_.join();
  // A communicator owns its engine; one that was still listed here would own it back.
  std::vector<std::shared_ptr<Communicator>> dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(active_);
}

void Engine::activate(const std::shared_ptr<Communicator>& communicator) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_.load()) return;
    if (std::find(active_.begin(), active_.end(), communicator) == active_.end())
      active_.push_back(communicator);
    ++changes_;
  }
  wake_.notify_one();
  // Whoever waits in this group progresses it, but may be asleep.
  if (communicator->attended()) runtime_->ring_self();
}

void Engine::notify() {
  {
    const std::lock_guard lock(mutex_);
    ++changes_;
  }
  wake_.notify_one();
  runtime_->ring_self();
}

std::vector<std::shared_ptr<Communicator>> Engine::snapshot() {
  const std::lock_guard lock(mutex_);
  return active_;
}

void Engine::retire(const std::shared_ptr<Communicator>& communicator) {
  const std::lock_guard lock(mutex_);
  // It may have become busy between the pass that saw it idle and this lock; activate() takes the
  // same lock.
  if (!communicator->busy()) std::erase(active_, communicator);
}

int Engine::pass(const Communicator* skip, std::vector<Completion>* finished) {
  int moved = runtime_->poll_links();
  for (const auto& communicator : snapshot()) {
    if (communicator.get() != skip) moved += communicator->progress(finished);
  }
  return moved;
}

int Engine::step_all(const std::vector<std::shared_ptr<Communicator>>& active, bool* unattended) {
  int moved = 0;
  for (const auto& communicator : active) {
    if (!communicator->busy()) {
      retire(communicator);
      continue;
    }
    // Two threads stepping the same operation only take its cache lines from each other.
    if (communicator->attended()) continue;
    *unattended = true;
    moved += communicator->progress();
  }
  if (*unattended) moved += runtime_->poll_links();
  return moved;
}

void Engine::loop() {
  Waiter waiter(*runtime_);
  while (!stopping_.load(std::memory_order_acquire)) {
    std::vector<std::shared_ptr<Communicator>> active;
    uint64_t seen;
    {
      const std::lock_guard lock(mutex_);
      active = active_;
      seen = changes_;
    }
    bool unattended = false;
    if (step_all(active, &unattended) > 0) {
      waiter.reset();
      continue;
    }
    if (!unattended) {
      // Rest away from the doorbell, so that peers need not wake a thread that has nothing to do.
      active.clear();
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::seconds(1),
                     [&] { return changes_ != seen || stopping_.load(); });
      waiter.reset();
      continue;
    }
    waiter.idle(0, [&] {
      bool ignored = false;
      return step_all(active, &ignored) > 0 || stopping_.load(std::memory_order_acquire);
    });
  }
}

}  // namespace distos_coll
