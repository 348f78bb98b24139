// How groups of the backend are made: from a store, by a split, by a shrink.
#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "distos_coll/c_api_shrink.h"
#include "torch/backend.h"
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
  if (code == DC_ABORTED) Group::throw_interrupt();
  if (code == DC_INVALID) C10_THROW_ERROR(ValueError, text);
  if (code == DC_PEER_DIED || code == DC_PEER_LEFT) C10_THROW_ERROR(DistNetworkError, text);
  C10_THROW_ERROR(DistBackendError, text);
}

// distos_coll.profiles.STORE_KEY.
constexpr const char* kProfileKey = "distos/profile/0";

// Before the others can see rank 0, so that they find it once they have met it. What a store
// refuses here it refuses in the next step, too, which says so.
void share_profile(const dc_store* store, int rank, int size) {
  const Planner planner = current_planner();
  if (rank != 0 || !planner.profile) return;
  const std::string profile = planner.profile(size);
  store->set(store->ctx, kProfileKey, profile.data(), profile.size());
}

std::string told_profile(const dc_store* store, int64_t timeout_ms) {
  std::string profile;
  const auto keep = [](void* out, const void* data, size_t bytes) {
    static_cast<std::string*>(out)->assign(static_cast<const char*>(data), bytes);
  };
  store->get(store->ctx, kProfileKey, timeout_ms, keep, &profile);
  return profile;
}

PlanRequest topology_of(dc_comm* comm, int rank, int size, const std::string& name) {
  PlanRequest request{name, rank, size, std::vector<int32_t>(size), std::vector<int32_t>(size),
                      "",   {}};
  const int code = dc_comm_topology(comm, request.domain_of.data(), request.domain_bits.data());
  if (code != 0) throw_setup(code, name, "read the topology of", "");
  for (int other = 0; other < size; ++other) {
    request.hosts.emplace_back(dc_comm_host(comm, other));
  }
  return request;
}

void install_plan(dc_comm* comm, const dc_store* store, int64_t timeout_ms, PlanRequest& request) {
  const Planner planner = current_planner();
  if (!planner.plan) return;
  request.profile = told_profile(store, timeout_ms);
  const std::string plan = planner.plan(request);
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
  const StoreAdaptor adaptor(store);
  return join(adaptor.get(), adaptor.trouble(), rank, size, options);
}

c10::intrusive_ptr<ProcessGroupDistos> ProcessGroupDistos::join(
    const dc_store* store, const std::string& trouble, int rank, int size,
    const c10::intrusive_ptr<Options>& options) {
  const std::string name = options->group_name.empty() ? "unnamed" : options->group_name;
  dc_runtime* runtime = dc_runtime_default();
  if (runtime == nullptr) throw_setup(DC_SYSTEM, name, "start the runtime for", "");
  dc_comm_options comm_options{};
  comm_options.struct_size = sizeof(comm_options);
  comm_options.rank = rank;
  comm_options.size = size;
  comm_options.timeout_ms = options->timeout.count();
  comm_options.name = name.c_str();
  const auto& globals = options->global_ranks_in_group;
  const std::vector<int32_t> job_ranks(globals.begin(), globals.end());
  if (job_ranks.size() == static_cast<size_t>(size)) comm_options.job_ranks = job_ranks.data();
  share_profile(store, rank, size);
  dc_comm* comm = nullptr;
  int code = dc_comm_connect(runtime, store, &comm_options, &comm);
  if (code != 0) throw_setup(code, name, "connect the ranks of", trouble);
  // From here on the group closes the communicator, whatever throws.
  auto group = Group::make(comm, name, rank, size);
  group->set_timeout(options->timeout.count());
  PlanRequest topology = topology_of(comm, rank, size, name);
  try {
    install_plan(comm, store, options->timeout.count(), topology);
  } catch (const std::exception& error) {
    dc_comm_give_up(comm, store, error.what());
    throw;
  }
  code = dc_comm_ready(comm, store);
  if (code != 0) throw_setup(code, name, "agree on the plan of", trouble);
  return c10::intrusive_ptr<ProcessGroupDistos>::unsafe_steal_from_new(
      new ProcessGroupDistos(std::move(group), std::move(topology), options));
}

c10::intrusive_ptr<ProcessGroupDistos::Options> ProcessGroupDistos::options_of_part(
    const std::vector<int>& ranks, const c10::intrusive_ptr<Backend::Options>& wanted) const {
  auto options = c10::make_intrusive<Options>(wanted ? wanted->timeout : options_->timeout);
  for (const int rank : ranks) {
    const auto& globals = options_->global_ranks_in_group;
    options->global_ranks_in_group.push_back(
        static_cast<size_t>(rank) < globals.size() ? globals[rank] : static_cast<uint64_t>(rank));
  }
  const auto* own = dynamic_cast<Options*>(wanted.get());
  options->float32_on_wire = own != nullptr ? own->float32_on_wire : options_->float32_on_wire;
  return options;
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
  auto child_options = options_of_part(ranks, options);
  child_options->group_name = options->group_name;
  child_options->group_desc = options->group_desc;
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

namespace {

// torch.distributed.distributed_c10d.SHRINK_ABORT.
constexpr int kShrinkAbort = 1;

std::string list_of(const std::vector<int>& ranks) {
  std::string text;
  for (const int rank : ranks) text += (text.empty() ? "" : ", ") + std::to_string(rank);
  return text;
}

std::vector<int> ranks_left(const dc_shrink* shrink, int size) {
  std::vector<int32_t> ranks(static_cast<size_t>(size));
  ranks.resize(static_cast<size_t>(dc_shrink_ranks(shrink, ranks.data())));
  return {ranks.begin(), ranks.end()};
}

// torch numbers the ranks of the new group by what it was asked to exclude.
void check_excluded(const std::vector<int>& left, const std::vector<int32_t>& excluded, int size,
                    const std::string& name) {
  std::vector<int> gone, others;
  for (int rank = 0; rank < size; ++rank) {
    if (std::find(left.begin(), left.end(), rank) != left.end()) continue;
    gone.push_back(rank);
    if (std::find(excluded.begin(), excluded.end(), rank) == excluded.end()) others.push_back(rank);
  }
  if (others.empty()) return;
  C10_THROW_ERROR(
      DistBackendError,
      "distos could not shrink group '" + name + "': ranks " + list_of(others) +
          " have ended or were excluded by others, too. Call shrink_group() again on all "
          "ranks that are left, with ranks_to_exclude=[" +
          list_of(gone) + "]");
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> ProcessGroupDistos::shrink(
    const std::vector<int64_t>& ranks_to_exclude, int shrink_flags,
    const c10::intrusive_ptr<Backend::Options>& opts_override) {
  // torch may call this holding the GIL, which a rank in another thread needs to take part.
  std::optional<pybind11::gil_scoped_release> no_gil;
  if (PyGILState_Check() != 0) no_gil.emplace();
  const std::string& name = group_->name();
  if ((shrink_flags & kShrinkAbort) != 0)
    group_->abort("shrink_group(SHRINK_ABORT) was called on rank " + std::to_string(rank_));
  const std::vector<int32_t> excluded(ranks_to_exclude.begin(), ranks_to_exclude.end());
  dc_shrink* begun = nullptr;
  int code = dc_shrink_begin(group_->comm("shrink"), excluded.data(), excluded.size(),
                             group_->timeout_ms(), &begun);
  if (code != 0) throw_setup(code, name, "shrink", "");
  const std::unique_ptr<dc_shrink, void (*)(dc_shrink*)> held(begun, &dc_shrink_end);
  dc_store store{};
  dc_shrink_store(begun, &store);
  for (;;) {
    const std::vector<int> left = ranks_left(begun, size_);
    check_excluded(left, excluded, size_, name);
    auto options = options_of_part(left, opts_override);
    options->group_name = name + " without " + list_of({excluded.begin(), excluded.end()});
    const auto rank = static_cast<int>(std::find(left.begin(), left.end(), rank_) - left.begin());
    try {
      return join(&store, "", rank, static_cast<int>(left.size()), options);
    } catch (const pybind11::error_already_set&) {
      throw;  // Ctrl-C
    } catch (const std::exception&) {
      code = dc_shrink_retry(begun);
      if (code == 0) throw;
    }
    if (code < 0) throw_setup(code, name, "shrink", "");
  }
}

}  // namespace distos_coll::torch_door
