#include "torch/backend.h"

#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include "torch/coalescing.h"

namespace distos_coll::torch_door {

ProcessGroupDistos::ProcessGroupDistos(std::shared_ptr<Group> group, PlanRequest topology,
                                       c10::intrusive_ptr<Options> options)
    : Backend(group->rank(), group->size()),
      group_(std::move(group)),
      topology_(std::move(topology)),
      options_(std::move(options)) {
  init();
}

ProcessGroupDistos::~ProcessGroupDistos() {
  // Python destroys it holding the GIL, which a rank in another thread may need to come to an end.
  std::optional<pybind11::gil_scoped_release> no_gil;
  if (Py_IsInitialized() != 0 && PyGILState_Check() != 0) no_gil.emplace();
  group_->close();
}

void ProcessGroupDistos::setTimeout(std::chrono::milliseconds timeout) {
  TORCH_CHECK_VALUE(timeout.count() > 0, "distos: a timeout must be positive, got ",
                    timeout.count(), " ms");
  options_->timeout = timeout;
  group_->set_timeout(timeout.count());
}

void ProcessGroupDistos::abort() {
  group_->abort("abort() was called on rank " + std::to_string(rank_));
}

void ProcessGroupDistos::shutdown() { group_->close(); }

void ProcessGroupDistos::registerOnCompletionHook(
    std::function<void(std::shared_ptr<c10d::WorkInfo>)>&& hook) {
  TORCH_CHECK(!onCompletionHook_, "distos: a completion hook is already registered for group '",
              group_->name(), "'");
  onCompletionHook_ = std::move(hook);
}

void ProcessGroupDistos::startCoalescing() {
  std::thread::id open;
  // One that this thread left open, because the body of its context manager raised, is dropped; its
  // operations run on.
  const bool ours = coalescing_thread_.compare_exchange_strong(open, std::this_thread::get_id()) ||
                    open == std::this_thread::get_id();
  TORCH_CHECK(ours, "distos: startCoalescing() on group '", group_->name(),
              "' while another thread has one open");
  coalesced_.clear();
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::endCoalescing() {
  TORCH_CHECK(coalescing_thread_.load() == std::this_thread::get_id(),
              "distos: endCoalescing() without startCoalescing() in this thread, on group '",
              group_->name(), "'");
  auto members = std::exchange(coalesced_, {});
  coalescing_thread_.store(std::thread::id());
  return c10::make_intrusive<CoalescedWork>(rank_, std::move(members));
}

std::string ProcessGroupDistos::choice(int collective, int64_t bytes) const {
  const char* text = dc_comm_choice(group_->comm("choice"), collective, bytes);
  return text != nullptr ? text : "";
}

bool ProcessGroupDistos::needs_work(const Operation& operation) const {
  return operation.async || at::hasCallbacks() || hasHooks() ||
         coalescing_thread_.load(std::memory_order_relaxed) == std::this_thread::get_id() ||
         c10d::allow_inflight_collective_as_graph_input();
}

void ProcessGroupDistos::run_inline(const Operation& operation, const dc_call& call) {
  dc_comm* comm = group_->comm(operation.name);
  dc_call copy = call;
  copy.struct_size = sizeof(dc_call);
  copy.timeout_ms = operation.timeout_ms;
  copy.flags |= DC_BLOCKING;
  group_->next_sequence();
  const int code = dc_comm_enqueue(comm, &copy, nullptr);
  if (C10_UNLIKELY(code != 0))
    group_->raise(code, operation.name, operation.timeout_ms, dc_last_error());
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::run(const Operation& operation,
                                                    const dc_call* calls, size_t count,
                                                    Holdings holdings) {
  if (!needs_work(operation)) {
    for (size_t i = 0; i < count; i++) run_inline(operation, calls[i]);
    run_epilogue(holdings);
    return {};
  }
  auto work =
      c10::make_intrusive<DistosWork>(group_, operation, std::move(holdings), at::hasCallbacks());
  if (hasHooks()) work->set_hook(onCompletionHook_);
  for (size_t i = 0; i < count; i++) work->enqueue(calls[i]);
  return publish(std::move(work), operation);
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::publish(c10::intrusive_ptr<DistosWork> work,
                                                        const Operation& operation) {
  work->seal();
  if (coalescing_thread_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    coalesced_.push_back(work);
  } else if (!operation.async) {
    work->wait();
  }
  return work;
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::finished_work(const Operation& operation,
                                                              Holdings holdings) {
  return run(operation, nullptr, 0, std::move(holdings));
}

}  // namespace distos_coll::torch_door
