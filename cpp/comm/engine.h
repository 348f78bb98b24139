// The progress engine of a process: one thread that steps every communicator with operations that
// nobody waits for, and the same pass for those who wait.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "comm/flight.h"
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

  Runtime& runtime() { return *state_->runtime; }
  Flight& flight() { return flight_; }

  // From now on every pass steps the communicator, until a pass finds it idle.
  void activate(const std::shared_ptr<Communicator>& communicator);
  // Wakes the thread if it rests: something it should look at has changed.
  void notify();

  // A group of this process, from its set-up on.
  void enlist(const std::shared_ptr<Communicator>& communicator);

  // One pass over links and all active communicators but `skip`. Returns how much moved. What
  // finished is appended to `finished`: its callbacks must run with no lock held.
  int pass(const Communicator* skip, std::vector<Completion>* finished);

  // Stops the thread; operations in flight are not progressed any more. Idempotent.
  void stop();

 private:
  using Active = std::vector<std::shared_ptr<Communicator>>;

  // What the thread works on. It owns a part of it, because the last communicator, and with it the
  // engine, may go while the thread itself lets go of it.
  struct State {
    explicit State(std::shared_ptr<Runtime> runtime_of_process)
        : runtime(std::move(runtime_of_process)) {}
    void loop();
    void audit_all(int64_t now);
    Active snapshot();
    void retire(const std::shared_ptr<Communicator>& communicator);
    int step_all(const Active& active, bool* unattended);

    const std::shared_ptr<Runtime> runtime;
    std::mutex mutex;
    std::condition_variable wake;
    Active active;                                 // under mutex
    std::vector<std::weak_ptr<Communicator>> all;  // under mutex
    int64_t next_audit_ns = 0;                     // the thread's own
    uint64_t changes = 0;                          // under mutex
    std::atomic<bool> stopping{false};
  };

  const std::shared_ptr<State> state_;
  Flight flight_;
  std::thread thread_;
};

}  // namespace distos_coll
