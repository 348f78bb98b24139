#include "torch/callbacks.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace distos_coll::torch_door {

namespace {

class Pool {
 public:
  void submit(std::function<void()> task) {
    std::unique_lock<std::mutex> lock(mutex_);
    tasks_.push_back(std::move(task));
    if (idle_ >= tasks_.size()) {
      wake_.notify_one();
      return;
    }
    // Every task has a thread of its own to wait in, or two that wait for each other would never
    // end. The pool is as large as the deepest nesting of callbacks there ever was, which is two or
    // three.
    std::thread([this] { serve(); }).detach();
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      if (tasks_.empty()) {
        idle_++;
        wake_.wait(lock, [&] { return !tasks_.empty(); });
        idle_--;
      }
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;  // what it holds is freed without the lock
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  size_t idle_ = 0;
};

}  // namespace

void run_callback(std::function<void()> task) {
  // Never destroyed: its threads end with the process.
  static auto* pool = new Pool;
  pool->submit(std::move(task));
}

}  // namespace distos_coll::torch_door
