#include "torch/group.h"

#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "python/signals.h"

namespace distos_coll::torch_door {

namespace {

// Never destroyed: groups may outlive static destructors.
struct Registry {
  std::mutex mutex;
  std::vector<std::weak_ptr<Group>> groups;
};

Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

}  // namespace

std::shared_ptr<Group> Group::make(dc_comm* comm, std::string name, int rank, int size) {
  std::shared_ptr<Group> group(new Group(comm, std::move(name), rank, size));
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::erase_if(all.groups, [](const std::weak_ptr<Group>& entry) { return entry.expired(); });
  all.groups.push_back(group);
  return group;
}

void Group::close_all(int64_t timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::vector<std::weak_ptr<Group>> groups;
  {
    Registry& all = registry();
    std::lock_guard<std::mutex> lock(all.mutex);
    groups.swap(all.groups);
  }
  for (const auto& entry : groups) {
    const auto group = entry.lock();
    if (!group) continue;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    group->set_timeout(std::max<int64_t>(left.count(), 1));
    group->close();
  }
  dc_runtime_shutdown();
}

Group::Group(dc_comm* comm, std::string name, int rank, int size)
    : comm_(comm), name_(std::move(name)), rank_(rank), size_(size) {}

Group::~Group() { close(); }

void Group::set_timeout(int64_t timeout_ms) {
  timeout_ms_.store(timeout_ms, std::memory_order_relaxed);
  if (dc_comm* comm = comm_.load(std::memory_order_acquire)) dc_comm_set_timeout(comm, timeout_ms);
}

void Group::abort(const std::string& reason) {
  aborted_.store(true, std::memory_order_relaxed);
  if (dc_comm* comm = comm_.load(std::memory_order_acquire)) dc_comm_abort(comm, reason.c_str());
}

void Group::close() {
  // The core keeps the handle, so abort() of another thread can end a close that waits.
  if (dc_comm* comm = comm_.load(std::memory_order_acquire)) dc_comm_close(comm);
  comm_.store(nullptr, std::memory_order_release);
}

void Group::throw_closed(const char* operation) const {
  C10_THROW_ERROR(
      DistBackendError,
      c10::str(operation, " on group '", name_, "': the group was ",
               aborted_.load(std::memory_order_relaxed) ? "aborted and closed" : "shut down",
               "; create a new one with torch.distributed.new_group()"));
}

void Group::throw_interrupt() {
  if (Py_IsInitialized() == 0) return;
  const pybind11::gil_scoped_acquire gil;
  if (restore_python_interrupt()) throw pybind11::error_already_set();
}

std::exception_ptr Group::failure(int code, const char* operation, int64_t timeout_ms,
                                  const char* sentence) {
  code = positive(code);
  std::string text = std::string("distos ") + operation + " on group '" + name_ + "' (rank " +
                     std::to_string(rank_) + " of " + std::to_string(size_) + "): ";
  if (code == DC_TIMEOUT) {
    const int64_t waited = timeout_ms > 0 ? timeout_ms : this->timeout_ms();
    text += "Timed out waiting " + std::to_string(waited) + "ms. ";
  }
  text += sentence != nullptr && *sentence != '\0' ? sentence : "the core gave no reason";
  const c10::SourceLocation where{operation, __FILE__, static_cast<uint32_t>(__LINE__)};
  switch (code) {
    case DC_INVALID:
      return std::make_exception_ptr(c10::ValueError(where, text));
    case DC_UNSUPPORTED:
      return std::make_exception_ptr(c10::NotImplementedError(where, text));
    case DC_TIMEOUT:
      error_.store(c10d::ErrorType::TIMEOUT, std::memory_order_relaxed);
      return std::make_exception_ptr(c10::DistBackendError(where, text));
    case DC_PEER_DIED:
    case DC_PEER_LEFT:
      error_.store(c10d::ErrorType::REMOTE_ERROR, std::memory_order_relaxed);
      return std::make_exception_ptr(c10::DistNetworkError(where, text));
    default:
      error_.store(c10d::ErrorType::COMM_ERROR, std::memory_order_relaxed);
      return std::make_exception_ptr(c10::DistBackendError(where, text));
  }
}

void Group::work_finished() {
  if (pending_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  std::lock_guard<std::mutex> lock(idle_mutex_);
  idle_.notify_all();
}

void Group::wait_for_pending() {
  std::unique_lock<std::mutex> lock(idle_mutex_);
  idle_.wait(lock, [&] { return pending_.load(std::memory_order_acquire) == 0; });
}

}  // namespace distos_coll::torch_door
