// The progress engine of a process: one thread that steps every communicator with operations that
// nobody waits for, and the same pass for those who wait.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "comm/runtime.h"

namespace distos_coll {

class Communicator;
struct Completion;

class Engine {
 public:
  explicit Engine(std::shared_ptr<Runtime> runtime);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  Runtime& runtime() { return *runtime_; }
  std::shared_ptr<Runtime> shared_runtime() { return runtime_; }

  // From now on every pass steps the communicator, until a pass finds it idle.
  void activate(const std::shared_ptr<Communicator>& communicator);
  // Wakes the thread if it rests: something it should look at has changed.
  void notify();

  // One pass over links and all active communicators but `skip`. Returns how much moved. What
  // finished is appended to `finished`: its callbacks must run with no lock held.
  int pass(const Communicator* skip, std::vector<Completion>* finished);

  // Stops the thread; operations in flight are not progressed any more. Idempotent.
  void stop();

 private:
  void loop();
  std::vector<std::shared_ptr<Communicator>> snapshot();
  void retire(const std::shared_ptr<Communicator>& communicator);
  int step_all(const std::vector<std::shared_ptr<Communicator>>& active, bool* unattended);

  std::shared_ptr<Runtime> runtime_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Communicator>> active_;
  uint64_t changes_ = 0;  // under mutex_
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace distos_coll
