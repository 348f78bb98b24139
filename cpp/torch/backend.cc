#include "torch/backend.h"

#include <c10/util/Logging.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "torch/coalescing.h"
#include "torch/store_adaptor.h"

namespace distos_coll::torch_door {

namespace {

// Never destroyed: at exit the interpreter that a planner belongs to is gone before static
// destructors run.
struct PlannerSlot {
  std::mutex mutex;
  Planner planner;
};

PlannerSlot& planner_slot() {
  static auto* slot = new PlannerSlot;
  return *slot;
}

Planner current_planner() {
  PlannerSlot& slot = planner_slot();
  std::lock_guard<std::mutex> lock(slot.mutex);
  return slot.planner;
}

[[noreturn]] void throw_setup(int code, const std::string& group, const char* step,
                              const std::string& store_trouble) {
  std::string text =
      std::string("distos could not ") + step + " group '" + group + "': " + dc_last_error();
  if (!store_trouble.empty()) text += " (the store said: " + store_trouble + ")";
  code = positive(code);
  if (code == DC_INVALID) C10_THROW_ERROR(ValueError, text);
  if (code == DC_PEER_DIED || code == DC_PEER_LEFT) C10_THROW_ERROR(DistNetworkError, text);
  C10_THROW_ERROR(DistBackendError, text);
}

PlanRequest topology_of(dc_comm* comm, int rank, int size, const std::string& name) {
  PlanRequest request{name, rank, size, std::vector<int32_t>(size), std::vector<int32_t>(size)};
  const int code = dc_comm_topology(comm, request.domain_of.data(), request.domain_bits.data());
  if (code != 0) throw_setup(code, name, "read the topology of", "");
  return request;
}

void install_plan(dc_comm* comm, const PlanRequest& request) {
  const Planner planner = current_planner();
  if (!planner) return;
  const std::string plan = planner(request);
  if (plan.empty()) return;
  const int code = dc_comm_install_plan(comm, plan.data(), plan.size());
  if (code != 0) throw_setup(code, request.name, "install the plan of", "");
}

}  // namespace

void set_planner(Planner planner) {
  PlannerSlot& slot = planner_slot();
  std::lock_guard<std::mutex> lock(slot.mutex);
  slot.planner = std::move(planner);
}

c10::intrusive_ptr<ProcessGroupDistos> ProcessGroupDistos::create(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
    const c10::intrusive_ptr<Options>& options) {
  const std::string name = options->group_name.empty() ? "unnamed" : options->group_name;
  dc_runtime* runtime = dc_runtime_default();
  if (runtime == nullptr) throw_setup(DC_SYSTEM, name, "start the runtime for", "");
  StoreAdaptor adaptor(store);
  dc_comm_options comm_options{};
  comm_options.struct_size = sizeof(comm_options);
  comm_options.rank = rank;
  comm_options.size = size;
  comm_options.timeout_ms = options->timeout.count();
  comm_options.name = name.c_str();
  const auto& globals = options->global_ranks_in_group;
  const std::vector<int32_t> job_ranks(globals.begin(), globals.end());
  if (job_ranks.size() == static_cast<size_t>(size)) comm_options.job_ranks = job_ranks.data();
  dc_comm* comm = nullptr;
  int code = dc_comm_connect(runtime, adaptor.get(), &comm_options, &comm);
  if (code != 0) throw_setup(code, name, "connect the ranks of", adaptor.trouble());
  // From here on the group closes the communicator, whatever throws.
  auto group = Group::make(comm, name, rank, size);
  group->set_timeout(options->timeout.count());
  PlanRequest topology = topology_of(comm, rank, size, name);
  try {
    install_plan(comm, topology);
  } catch (const std::exception& error) {
    dc_comm_give_up(comm, adaptor.get(), error.what());
    throw;
  }
  code = dc_comm_ready(comm, adaptor.get());
  if (code != 0) throw_setup(code, name, "agree on the plan of", adaptor.trouble());
  return c10::intrusive_ptr<ProcessGroupDistos>::unsafe_steal_from_new(
      new ProcessGroupDistos(std::move(group), std::move(topology), options));
}

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

c10::intrusive_ptr<c10d::Backend> ProcessGroupDistos::split(
    const c10::intrusive_ptr<c10d::Store>& store, const std::vector<int>& ranks,
    const c10::intrusive_ptr<Backend::Options>& options) {
  const auto place = std::find(ranks.begin(), ranks.end(), rank_);
  // torch splits once per device type with the same store, and both device types are served by one
  // backend.
  if (store.get() == split_store_ && ranks == last_split_ranks_) {
    if (auto again = last_split_.lock()) return again;
  }
  // The group's name, and with it the store's prefix, is the same whenever the same ranks are split
  // off; this is not.
  const int64_t number = splits_++;
  if (place == ranks.end()) return nullptr;
  auto child_options = c10::make_intrusive<Options>(options->timeout);
  child_options->group_name = options->group_name;
  child_options->group_desc = options->group_desc;
  for (int rank : ranks) {
    const auto& globals = options_->global_ranks_in_group;
    child_options->global_ranks_in_group.push_back(
        static_cast<size_t>(rank) < globals.size() ? globals[rank] : static_cast<uint64_t>(rank));
  }
  const auto* own = dynamic_cast<Options*>(options.get());
  child_options->float32_on_wire =
      own != nullptr ? own->float32_on_wire : options_->float32_on_wire;
  auto child_store =
      c10::make_intrusive<c10d::PrefixStore>("split" + std::to_string(number) + "/", store);
  const int child_rank = static_cast<int>(place - ranks.begin());
  c10::intrusive_ptr<Backend> child =
      create(child_store, child_rank, static_cast<int>(ranks.size()), child_options);
  split_store_ = store.get();
  last_split_ranks_ = ranks;
  last_split_ = c10::weak_intrusive_ptr<Backend>(child);
  return child;
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
