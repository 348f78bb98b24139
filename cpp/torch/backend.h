// The torch.distributed backend "distos": translates c10d's calls into the core's and back, and
// decides nothing.
//
// A call with asyncOp == false runs in the caller's thread and returns no work, which torch allows
// ("backends that sync at CPP level"); with a profiler, a hook or coalescing listening it takes the
// asynchronous path like everything else.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "distos_coll/c_api.h"
#include "torch/arguments.h"
#include "torch/group.h"
#include "torch/work.h"

namespace distos_coll::torch_door {

// A group, and what its plan is made from; see dc_comm_topology.
struct PlanRequest {
  std::string name;
  int rank;
  int size;
  std::vector<int32_t> domain_of;
  std::vector<int32_t> domain_bits;
  std::string profile;             // what rank 0 told, see Planner
  std::vector<std::string> hosts;  // what the host of each rank is called
};
// Both are called without the GIL, once per group.
struct Planner {
  // On rank 0: what it tells the others of its measurements (distos_coll/profiles.py).
  std::function<std::string(int size)> profile;
  // Returns a PlanTable, or nothing for the core's own default.
  std::function<std::string(const PlanRequest&)> plan;
};
void set_planner(Planner planner);

class ProcessGroupDistos final : public c10d::Backend {
 public:
  using WorkPtr = c10::intrusive_ptr<c10d::Work>;
  using Tensors = std::vector<at::Tensor>;
  using TensorLists = std::vector<std::vector<at::Tensor>>;

  struct Options final : c10d::Backend::Options {
    explicit Options(std::chrono::milliseconds timeout = kBackendDefaultTimeout)
        : Backend::Options("distos", timeout) {}
    // Since torch 2.14 split_group() copies options through this.
    c10::intrusive_ptr<Backend::Options> clone() const {
      return c10::make_intrusive<Options>(*this);
    }
    // Half precision travels as float32 between domains: slower there, one rounding in all.
    bool float32_on_wire = false;
  };

  // Collective over the ranks of the store. Throws naming the ranks that did not come.
  static c10::intrusive_ptr<ProcessGroupDistos> create(const c10::intrusive_ptr<c10d::Store>& store,
                                                       int rank, int size,
                                                       const c10::intrusive_ptr<Options>& options);
  ~ProcessGroupDistos() override;

  const std::string getBackendName() const override { return "distos"; }
  c10::intrusive_ptr<Backend::Options> getBackendOptions() override { return options_; }
  bool supportsSplitting() const override { return true; }
  bool supportsShrinking() const override { return true; }
  bool supportsCoalescing() const override { return true; }
  void setTimeout(std::chrono::milliseconds timeout) override;
  void setSequenceNumberForGroup() override {}  // counted from the start on every rank
  uint64_t getSequenceNumberForGroup() override { return group_->sequence(); }
  c10d::ErrorType getError() override { return group_->error(); }
  void abort() override;
  void shutdown() override;
  void registerOnCompletionHook(
      std::function<void(std::shared_ptr<c10d::WorkInfo>)>&& hook) override;
  void waitForPendingWorks() override { group_->wait_for_pending(); }
  void enableCollectivesTiming() override {}  // every work is timed
  c10::intrusive_ptr<Backend> split(const c10::intrusive_ptr<c10d::Store>& store,
                                    const std::vector<int>& ranks,
                                    const c10::intrusive_ptr<Backend::Options>& options) override;
  c10::intrusive_ptr<Backend> shrink(
      const std::vector<int64_t>& ranks_to_exclude, int shrink_flags,
      const c10::intrusive_ptr<Backend::Options>& opts_override) override;
  bool supportsTensorAlloc(c10::DeviceIndex device) override;
  // NOLINTNEXTLINE(google-runtime-int): torch's signature
  at::Tensor allocateTensor(long size, at::TensorOptions options) override;
  void startCoalescing() override;
  WorkPtr endCoalescing() override;
  // The algorithm that a call of this many bytes would run, for explanation.
  std::string choice(int collective, int64_t bytes) const;
  const PlanRequest& topology() const { return topology_; }

  WorkPtr allreduce(Tensors& tensors, const c10d::AllreduceOptions& opts) override;
  WorkPtr allreduce_sparse(Tensors& tensors, const c10d::AllreduceOptions& opts) override;
  WorkPtr allreduce_coalesced(Tensors& tensors,
                              const c10d::AllreduceCoalescedOptions& opts) override;
  WorkPtr reduce(Tensors& tensors, const c10d::ReduceOptions& opts) override;
  WorkPtr broadcast(Tensors& tensors, const c10d::BroadcastOptions& opts) override;
  WorkPtr allgather(TensorLists& outputs, Tensors& inputs,
                    const c10d::AllgatherOptions& opts) override;
  WorkPtr _allgather_base(at::Tensor& output, at::Tensor& input,
                          const c10d::AllgatherOptions& opts) override;
  WorkPtr allgather_coalesced(TensorLists& outputs, Tensors& inputs,
                              const c10d::AllgatherOptions& opts) override;
  WorkPtr allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                          const c10d::AllgatherOptions& opts) override;
  WorkPtr gather(TensorLists& outputs, Tensors& inputs, const c10d::GatherOptions& opts) override;
  WorkPtr scatter(Tensors& outputs, TensorLists& inputs, const c10d::ScatterOptions& opts) override;
  WorkPtr reduce_scatter(Tensors& outputs, TensorLists& inputs,
                         const c10d::ReduceScatterOptions& opts) override;
  WorkPtr _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                               const c10d::ReduceScatterOptions& opts) override;
  WorkPtr reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                          const c10d::ReduceScatterOptions& opts) override;
  WorkPtr alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>& output_splits,
                        std::vector<int64_t>& input_splits,
                        const c10d::AllToAllOptions& opts) override;
  WorkPtr alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& opts) override;
  WorkPtr send(Tensors& tensors, int peer, int tag) override;
  WorkPtr recv(Tensors& tensors, int peer, int tag) override;
  WorkPtr recvAnysource(Tensors& tensors, int tag) override;
  WorkPtr barrier(const c10d::BarrierOptions& opts) override;
  void monitoredBarrier(const c10d::BarrierOptions& opts, bool wait_all_ranks) override;

 private:
  ProcessGroupDistos(std::shared_ptr<Group> group, PlanRequest topology,
                     c10::intrusive_ptr<Options> options);

  // `trouble` is what the store itself said when it failed last.
  static c10::intrusive_ptr<ProcessGroupDistos> join(const dc_store* store,
                                                     const std::string& trouble, int rank, int size,
                                                     const c10::intrusive_ptr<Options>& options);
  // Of a group of some of this one's ranks, without its name.
  c10::intrusive_ptr<Options> options_of_part(
      const std::vector<int>& ranks, const c10::intrusive_ptr<Backend::Options>& wanted) const;

  // Runs the calls as one operation, in the caller's thread if nobody needs a work.
  WorkPtr run(const Operation& operation, const dc_call* calls, size_t count, Holdings holdings);
  WorkPtr run(const Operation& operation, const dc_call& call, Holdings holdings) {
    return run(operation, &call, 1, std::move(holdings));
  }
  void run_inline(const Operation& operation, const dc_call& call);
  bool needs_work(const Operation& operation) const;
  WorkPtr publish(c10::intrusive_ptr<DistosWork> work, const Operation& operation);
  WorkPtr receive(Tensors& tensors, int peer, int tag, const Operation& operation);
  WorkPtr finished_work(const Operation& operation, Holdings holdings);

  dc_call all_reduce_call(const Operation& operation, const at::Tensor& tensor,
                          const c10d::ReduceOp& op, Holdings& holdings);
  dc_call all_gather_call(const Operation& operation, const at::Tensor& output,
                          const at::Tensor& input, Holdings& holdings);
  dc_call reduce_scatter_call(const Operation& operation, const at::Tensor& output,
                              const at::Tensor& input, const c10d::ReduceOp& op,
                              Holdings& holdings);
  dc_call all_gather_list_call(const Operation& operation, const Tensors& outputs,
                               const at::Tensor& input, Holdings& holdings, Parts& parts);
  dc_call reduce_scatter_list_call(const Operation& operation, const at::Tensor& output,
                                   const Tensors& inputs, const c10d::ReduceOp& op,
                                   Holdings& holdings, Parts& parts);
  uint32_t wire_flags() const {
    return options_->float32_on_wire ? static_cast<uint32_t>(DC_WIDE) : 0U;
  }

  const std::shared_ptr<Group> group_;
  const PlanRequest topology_;
  const c10::intrusive_ptr<Options> options_;

  // Between startCoalescing() and endCoalescing(), for the thread that called it.
  std::atomic<std::thread::id> coalescing_thread_{};
  std::vector<c10::intrusive_ptr<DistosWork>> coalesced_;

  int64_t splits_ = 0;
  const c10d::Store* split_store_ = nullptr;
  c10::weak_intrusive_ptr<Backend> last_split_{c10::intrusive_ptr<Backend>()};
  std::vector<int> last_split_ranks_;
};

}  // namespace distos_coll::torch_door
