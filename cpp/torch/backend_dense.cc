// Collectives on one tensor a rank.

#include <utility>

#include "torch/backend.h"

namespace distos_coll::torch_door {

using c10d::OpType;

dc_call ProcessGroupDistos::all_reduce_call(const Operation& operation, const at::Tensor& tensor,
                                            const c10d::ReduceOp& op, Holdings& holdings) {
  const Reduction reduction = reduction_for(operation.name, tensor.scalar_type(), op);
  const at::Tensor output = real_view(plain_output(tensor, true, holdings));
  dc_call call = call_of(DC_ALL_REDUCE);
  call.dtype = reduction.dtype;
  call.op = reduction.op;
  call.count = output.numel();
  call.flags = wire_flags();
  call.input = output.const_data_ptr();
  call.output = output.mutable_data_ptr();
  if (reduction.scaled) {
    holdings.staging.push_back(scaled_input(reduction, output));
    call.input = holdings.staging.back().const_data_ptr();
  }
  return call;
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::allreduce(Tensors& tensors,
                                                          const c10d::AllreduceOptions& opts) {
  if (tensors.size() == 1 && tensors.front().layout() == at::kSparse)
    return allreduce_sparse(tensors, opts);
  const Operation operation =
      operation_for("all_reduce", "distos:all_reduce", OpType::ALLREDUCE, opts);
  const at::Tensor& tensor = only_tensor(*group_, operation.name, tensors);
  Holdings holdings;
  const dc_call call = all_reduce_call(operation, tensor, opts.reduceOp, holdings);
  if (!needs_work(operation)) {
    run_inline(operation, call);
    run_epilogue(holdings);
    return {};
  }
  holdings.inputs = tensors;
  holdings.outputs = tensors;
  return run(operation, call, std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::allreduce_coalesced(
    Tensors& tensors, const c10d::AllreduceCoalescedOptions& opts) {
  const Operation operation =
      operation_for("all_reduce_coalesced", "distos:all_reduce", OpType::ALLREDUCE_COALESCED, opts);
  check_tensors(*group_, operation.name, tensors);
  Holdings holdings;
  std::vector<dc_call> calls;
  for (const at::Tensor& tensor : tensors) {
    calls.push_back(all_reduce_call(operation, tensor, opts.reduceOp, holdings));
  }
  holdings.inputs = tensors;
  holdings.outputs = tensors;
  return run(operation, calls.data(), calls.size(), std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::reduce(Tensors& tensors,
                                                       const c10d::ReduceOptions& opts) {
  const Operation operation = operation_for("reduce", "distos:reduce", OpType::REDUCE, opts);
  const at::Tensor& tensor = only_tensor(*group_, operation.name, tensors);
  check_root(*group_, operation.name, opts.rootRank);
  const bool is_root = opts.rootRank == rank_;
  const Reduction reduction = reduction_for(operation.name, tensor.scalar_type(), opts.reduceOp);
  Holdings holdings;
  const at::Tensor plain =
      real_view(is_root ? plain_output(tensor, true, holdings) : plain_input(tensor));
  const at::Tensor input = scaled_input(reduction, plain);
  dc_call call = call_of(DC_REDUCE);
  call.dtype = reduction.dtype;
  call.op = reduction.op;
  call.root = static_cast<int32_t>(opts.rootRank);
  call.count = plain.numel();
  call.flags = wire_flags();
  call.input = input.const_data_ptr();
  call.output = is_root ? plain.mutable_data_ptr() : nullptr;
  holdings.inputs = tensors;
  holdings.outputs = tensors;
  holdings.staging.insert(holdings.staging.end(), {plain, input});
  return run(operation, call, std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::broadcast(Tensors& tensors,
                                                          const c10d::BroadcastOptions& opts) {
  const Operation operation =
      operation_for("broadcast", "distos:broadcast", OpType::BROADCAST, opts);
  const at::Tensor& tensor = only_tensor(*group_, operation.name, tensors);
  check_root(*group_, operation.name, opts.rootRank);
  TORCH_CHECK_VALUE(opts.rootTensor == 0,
                    "broadcast: takes one tensor per rank, so rootTensor must be 0");
  Holdings holdings;
  const at::Tensor plain =
      opts.rootRank == rank_ ? plain_input(tensor) : plain_output(tensor, false, holdings);
  dc_call call = call_of(DC_BROADCAST);
  call.root = static_cast<int32_t>(opts.rootRank);
  call.count = static_cast<int64_t>(plain.nbytes());
  call.input = plain.data_ptr();
  call.output = plain.data_ptr();
  holdings.inputs = tensors;
  holdings.outputs = tensors;
  holdings.staging.push_back(plain);
  return run(operation, call, std::move(holdings));
}

dc_call ProcessGroupDistos::all_gather_call(const Operation& operation, const at::Tensor& output,
                                            const at::Tensor& input, Holdings& holdings) {
  check_tensor(*group_, operation.name, output);
  check_tensor(*group_, operation.name, input);
  check_same_dtype(operation.name, output, input);
  TORCH_CHECK_VALUE(output.numel() == input.numel() * size_, operation.name,
                    ": the output must hold ", size_, " times the input's ", input.numel(),
                    " elements, it has ", output.numel());
  const at::Tensor source = plain_input(input);
  const at::Tensor target = plain_output(output, false, holdings);
  dc_call call = call_of(DC_ALL_GATHER);
  call.count = static_cast<int64_t>(source.nbytes());
  call.input = source.const_data_ptr();
  call.output = target.mutable_data_ptr();
  holdings.staging.insert(holdings.staging.end(), {source, target});
  return call;
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::_allgather_base(
    at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions& opts) {
  const Operation operation = operation_for("all_gather_into_tensor", "distos:_all_gather_base",
                                            OpType::_ALLGATHER_BASE, opts);
  Holdings holdings;
  const dc_call call = all_gather_call(operation, output, input, holdings);
  holdings.inputs = {input};
  holdings.outputs = {output};
  return run(operation, call, std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::allgather_into_tensor_coalesced(
    Tensors& outputs, Tensors& inputs, const c10d::AllgatherOptions& opts) {
  const Operation operation = operation_for("all_gather_into_tensor_coalesced",
                                            "distos:all_gather_coalesced", OpType::COALESCED, opts);
  TORCH_CHECK_VALUE(outputs.size() == inputs.size(), operation.name, ": got ", outputs.size(),
                    " outputs for ", inputs.size(), " inputs");
  Holdings holdings;
  std::vector<dc_call> calls;
  for (size_t i = 0; i < inputs.size(); i++) {
    calls.push_back(all_gather_call(operation, outputs[i], inputs[i], holdings));
  }
  holdings.inputs = inputs;
  holdings.outputs = outputs;
  return run(operation, calls.data(), calls.size(), std::move(holdings));
}

dc_call ProcessGroupDistos::reduce_scatter_call(const Operation& operation,
                                                const at::Tensor& output, const at::Tensor& input,
                                                const c10d::ReduceOp& op, Holdings& holdings) {
  check_tensor(*group_, operation.name, output);
  check_tensor(*group_, operation.name, input);
  check_same_dtype(operation.name, output, input);
  TORCH_CHECK_VALUE(input.numel() == output.numel() * size_, operation.name,
                    ": the input must hold ", size_, " times the output's ", output.numel(),
                    " elements, it has ", input.numel());
  const Reduction reduction = reduction_for(operation.name, output.scalar_type(), op);
  const at::Tensor source = scaled_input(reduction, real_view(plain_input(input)));
  const at::Tensor target = real_view(plain_output(output, false, holdings));
  dc_call call = call_of(DC_REDUCE_SCATTER);
  call.dtype = reduction.dtype;
  call.op = reduction.op;
  call.count = target.numel();
  call.flags = wire_flags();
  call.input = source.const_data_ptr();
  call.output = target.mutable_data_ptr();
  holdings.staging.insert(holdings.staging.end(), {source, target});
  return call;
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::_reduce_scatter_base(
    at::Tensor& output, at::Tensor& input, const c10d::ReduceScatterOptions& opts) {
  const Operation operation = operation_for("reduce_scatter_tensor", "distos:_reduce_scatter_base",
                                            OpType::_REDUCE_SCATTER_BASE, opts);
  Holdings holdings;
  const dc_call call = reduce_scatter_call(operation, output, input, opts.reduceOp, holdings);
  holdings.inputs = {input};
  holdings.outputs = {output};
  return run(operation, call, std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::reduce_scatter_tensor_coalesced(
    Tensors& outputs, Tensors& inputs, const c10d::ReduceScatterOptions& opts) {
  const Operation operation =
      operation_for("reduce_scatter_tensor_coalesced", "distos:reduce_scatter_tensor_coalesced",
                    OpType::COALESCED, opts);
  TORCH_CHECK_VALUE(outputs.size() == inputs.size(), operation.name, ": got ", outputs.size(),
                    " outputs for ", inputs.size(), " inputs");
  Holdings holdings;
  std::vector<dc_call> calls;
  for (size_t i = 0; i < inputs.size(); i++) {
    calls.push_back(reduce_scatter_call(operation, outputs[i], inputs[i], opts.reduceOp, holdings));
  }
  holdings.inputs = inputs;
  holdings.outputs = outputs;
  return run(operation, calls.data(), calls.size(), std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::barrier(const c10d::BarrierOptions& opts) {
  const Operation operation = operation_for("barrier", "distos:barrier", OpType::BARRIER, opts);
  return run(operation, call_of(DC_BARRIER), Holdings{});
}

void ProcessGroupDistos::monitoredBarrier(const c10d::BarrierOptions& opts, bool wait_all_ranks) {
  const int64_t timeout_ms = milliseconds(opts.timeout);
  const int code = dc_comm_monitored_barrier(group_->comm("monitored_barrier"),
                                             timeout_ms > 0 ? timeout_ms : group_->timeout_ms(),
                                             wait_all_ranks ? 1 : 0);
  if (code != 0) group_->raise(code, "monitored_barrier", timeout_ms, dc_last_error());
}

}  // namespace distos_coll::torch_door
