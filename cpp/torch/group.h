// One communicator of the core as torch sees it: the handle, its name in sentences, and what every
// operation of the group shares. Works hold it, so it lives until the last of them is gone; close()
// is what ends the communicator.
#pragma once

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>

#include "distos_coll/c_api.h"

namespace distos_coll::torch_door {

// A return value of the C ABI is 0 or a negative code; callbacks get positive ones. This is the
// positive one.
inline int positive(int code) { return code < 0 ? -code : code; }

class Group {
 public:
  static std::shared_ptr<Group> make(dc_comm* comm, std::string name, int rank, int size);
  // Says goodbye for every group that is still open, and then for the process, so that the other
  // ranks see one leave and not one die. For the interpreter's exit; operations in flight get
  // timeout_ms in all.
  static void close_all(int64_t timeout_ms);

  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // Throws DistBackendError after shutdown() or abort() of the group.
  dc_comm* comm(const char* operation) const {
    dc_comm* comm = comm_.load(std::memory_order_acquire);
    if (comm == nullptr) throw_closed(operation);
    return comm;
  }
  const std::string& name() const { return name_; }
  int rank() const { return rank_; }
  int size() const { return size_; }

  void set_timeout(int64_t timeout_ms);
  int64_t timeout_ms() const { return timeout_ms_.load(std::memory_order_relaxed); }
  void abort(const std::string& reason);
  // Waits for operations in flight and says goodbye. Idempotent; may block, so never call it
  // holding the GIL.
  void close();

  uint64_t next_sequence() { return sequence_.fetch_add(1, std::memory_order_relaxed) + 1; }
  uint64_t sequence() const { return sequence_.load(std::memory_order_relaxed); }

  // The exception that a person sees for a failure of the core. Remembers it for getError().
  std::exception_ptr failure(int code, const char* operation, int64_t timeout_ms,
                             const char* sentence);
  [[noreturn]] void raise(int code, const char* operation, int64_t timeout_ms,
                          const char* sentence) {
    if (positive(code) == DC_ABORTED) throw_interrupt();
    std::rethrow_exception(failure(code, operation, timeout_ms, sentence));
  }
  // Ctrl-C ends a wait by aborting the group, and is what the caller should see: throws it, if that
  // is what ended this thread's wait.
  static void throw_interrupt();
  c10d::ErrorType error() const { return error_.load(std::memory_order_relaxed); }

  // Works that have not finished, for waitForPendingWorks.
  void work_started() { pending_.fetch_add(1, std::memory_order_relaxed); }
  void work_finished();
  void wait_for_pending();

 private:
  Group(dc_comm* comm, std::string name, int rank, int size);
  [[noreturn]] void throw_closed(const char* operation) const;

  std::atomic<dc_comm*> comm_;
  const std::string name_;
  const int rank_;
  const int size_;
  std::atomic<int64_t> timeout_ms_{0};
  std::atomic<uint64_t> sequence_{0};
  std::atomic<c10d::ErrorType> error_{c10d::ErrorType::SUCCESS};
  std::atomic<int64_t> pending_{0};
  std::atomic<bool> aborted_{false};
  std::mutex idle_mutex_;  // never held while the core runs: close() waits for works, and they take
                           // this one
  std::condition_variable idle_;
};

}  // namespace distos_coll::torch_door
