// Collectives on lists of tensors. Where the list lies in one piece the core works in place; where
// the sizes differ it gets the distances between the pieces; what is left goes through one flat
// copy.

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "torch/backend.h"

namespace distos_coll::torch_door {

using c10d::OpType;

namespace {

void check_list_length(const Group& group, const Operation& operation, size_t length) {
  TORCH_CHECK_VALUE(length == static_cast<size_t>(group.size()), operation.name,
                    ": needs one tensor for each of the ", group.size(), " ranks, got ", length);
}

// The tensors themselves where plain, else plain ones that are copied back.
std::vector<at::Tensor> plain_outputs(const std::vector<at::Tensor>& tensors, Holdings& holdings) {
  std::vector<at::Tensor> plain;
  plain.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) plain.push_back(plain_output(tensor, false, holdings));
  return plain;
}

std::vector<at::Tensor> plain_inputs(const std::vector<at::Tensor>& tensors, Holdings& holdings) {
  std::vector<at::Tensor> plain;
  plain.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) {
    plain.push_back(plain_input(tensor));
    holdings.staging.push_back(plain.back());
  }
  return plain;
}

// One flat tensor that holds all parts in order: the parts' own memory when they lie so, else a
// copy.
at::Tensor flat_input(const std::vector<at::Tensor>& parts, Holdings& holdings) {
  if (is_one_run(parts)) return parts.front();
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> pieces;
  pieces.reserve(parts.size());
  for (const at::Tensor& part : parts) pieces.push_back(plain_input(part).reshape({-1}));
  at::Tensor flat = at::cat(pieces);
  holdings.staging.push_back(flat);
  return flat;
}

at::Tensor flat_output(const std::vector<at::Tensor>& parts, Holdings& holdings) {
  if (is_one_run(parts)) return parts.front();
  int64_t total = 0;
  for (const at::Tensor& part : parts) total += part.numel();
  at::Tensor flat = at::empty({total}, parts.front().options());
  holdings.staging.push_back(flat);
  append_epilogue(holdings, [parts, flat] {
    int64_t at = 0;
    for (const at::Tensor& part : parts) {
      part.copy_(flat.narrow(0, at, part.numel()).view(part.sizes()));
      at += part.numel();
    }
  });
  return flat;
}

// Elements that each rank's share of dimension 0 takes, from torch's split sizes; empty means even.
std::vector<int64_t> split_lengths(const Operation& operation, const char* which,
                                   const at::Tensor& tensor, const std::vector<int64_t>& splits,
                                   int size) {
  const int64_t rows = tensor.dim() > 0 ? tensor.size(0) : 0;
  std::vector<int64_t> sizes = splits;
  if (sizes.empty()) {
    TORCH_CHECK_VALUE(rows % size == 0, operation.name, ": dimension 0 of the ", which, " (", rows,
                      ") is not a multiple of the group's ", size, " ranks; give split sizes");
    sizes.assign(size, rows / size);
  }
  TORCH_CHECK_VALUE(sizes.size() == static_cast<size_t>(size), operation.name, ": needs one ",
                    which, " split size for each of the ", size, " ranks, got ", sizes.size());
  int64_t total = 0;
  for (int64_t rows_of_rank : sizes) {
    TORCH_CHECK_VALUE(rows_of_rank >= 0, operation.name, ": a ", which,
                      " split size is negative: ", rows_of_rank);
    total += rows_of_rank;
  }
  TORCH_CHECK_VALUE(total == rows, operation.name, ": the ", which, " split sizes add up to ",
                    total, ", dimension 0 has ", rows);
  const int64_t row_bytes = rows == 0 ? 0 : static_cast<int64_t>(tensor.nbytes()) / rows;
  for (int64_t& value : sizes) value *= row_bytes;
  return sizes;
}

std::vector<int64_t> running_offsets(const std::vector<int64_t>& counts) {
  std::vector<int64_t> offsets(counts.size());
  for (size_t i = 1; i < counts.size(); i++) offsets[i] = offsets[i - 1] + counts[i - 1];
  return offsets;
}

}  // namespace

dc_call ProcessGroupDistos::all_gather_list_call(const Operation& operation, const Tensors& outputs,
                                                 const at::Tensor& input, Holdings& holdings,
                                                 Parts& parts) {
  check_list_length(*group_, operation, outputs.size());
  check_tensors(*group_, operation.name, outputs);
  check_tensor(*group_, operation.name, input);
  for (const at::Tensor& output : outputs) check_same_dtype(operation.name, output, input);
  TORCH_CHECK_VALUE(outputs[rank_].numel() == input.numel(), operation.name,
                    ": this rank's place in the output list has ", outputs[rank_].numel(),
                    " elements, its input has ", input.numel());
  const at::Tensor source = plain_input(input);
  holdings.staging.push_back(source);
  // Every rank knows all sizes, so all take the same branch. How its own lists lie in memory is a
  // rank's own affair.
  if (all_equal_sizes(outputs)) {
    dc_call call = call_of(DC_ALL_GATHER);
    call.count = static_cast<int64_t>(source.nbytes());
    call.input = source.const_data_ptr();
    call.output = flat_output(outputs, holdings).mutable_data_ptr();
    return call;
  }
  locate_parts(plain_outputs(outputs, holdings), 1, &parts);
  dc_call call = call_of(DC_ALL_GATHER_V);
  call.count = *std::max_element(parts.counts.begin(), parts.counts.end());
  call.input = source.const_data_ptr();
  call.output = parts.base;
  call.recv_counts = parts.counts.data();
  call.recv_offsets = parts.offsets.data();
  return call;
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::allgather(TensorLists& outputs, Tensors& inputs,
                                                          const c10d::AllgatherOptions& opts) {
  const Operation operation =
      operation_for("all_gather", "distos:all_gather", OpType::ALLGATHER, opts);
  const at::Tensor& input = only_tensor(*group_, operation.name, inputs);
  TORCH_CHECK_VALUE(outputs.size() == 1, operation.name, ": takes one list of outputs, got ",
                    outputs.size());
  Holdings holdings;
  Parts parts;
  const dc_call call = all_gather_list_call(operation, outputs.front(), input, holdings, parts);
  holdings.inputs = inputs;
  holdings.outputs = outputs.front();
  return run(operation, call, std::move(holdings));
}

// torch's order here: outputs[rank][tensor].
ProcessGroupDistos::WorkPtr ProcessGroupDistos::allgather_coalesced(
    TensorLists& outputs, Tensors& inputs, const c10d::AllgatherOptions& opts) {
  const Operation operation =
      operation_for("all_gather_coalesced", "distos:all_gather", OpType::ALLGATHER_COALESCED, opts);
  check_list_length(*group_, operation, outputs.size());
  Holdings holdings;
  std::vector<Parts> parts(inputs.size());
  std::vector<dc_call> calls;
  for (size_t i = 0; i < inputs.size(); i++) {
    Tensors column;
    for (const Tensors& of_rank : outputs) {
      TORCH_CHECK_VALUE(of_rank.size() == inputs.size(), operation.name, ": an output list has ",
                        of_rank.size(), " tensors, there are ", inputs.size(), " inputs");
      column.push_back(of_rank[i]);
      holdings.outputs.push_back(of_rank[i]);
    }
    calls.push_back(all_gather_list_call(operation, column, inputs[i], holdings, parts[i]));
  }
  holdings.inputs = inputs;
  return run(operation, calls.data(), calls.size(), std::move(holdings));
}

dc_call ProcessGroupDistos::reduce_scatter_list_call(const Operation& operation,
                                                     const at::Tensor& output,
                                                     const Tensors& inputs,
                                                     const c10d::ReduceOp& op, Holdings& holdings,
                                                     Parts& parts) {
  check_list_length(*group_, operation, inputs.size());
  check_tensors(*group_, operation.name, inputs);
  check_tensor(*group_, operation.name, output);
  for (const at::Tensor& input : inputs) check_same_dtype(operation.name, output, input);
  TORCH_CHECK_VALUE(inputs[rank_].numel() == output.numel(), operation.name,
                    ": this rank's place in the input list has ", inputs[rank_].numel(),
                    " elements, its output has ", output.numel());
  const Reduction reduction = reduction_for(operation.name, output.scalar_type(), op);
  const at::Tensor target = real_view(plain_output(output, false, holdings));
  dc_call call = call_of(DC_REDUCE_SCATTER);
  call.dtype = reduction.dtype;
  call.op = reduction.op;
  call.flags = wire_flags();
  call.count = target.numel();
  call.output = target.mutable_data_ptr();
  const bool equal = all_equal_sizes(inputs);
  Tensors plain = plain_inputs(inputs, holdings);
  const int64_t element_bytes =
      output.is_complex() ? output.element_size() / 2 : output.element_size();
  if (equal || reduction.scaled || !locate_parts(plain, element_bytes, &parts)) {
    const at::Tensor flat = scaled_input(reduction, real_view(flat_input(plain, holdings)));
    holdings.staging.push_back(flat);
    call.input = flat.const_data_ptr();
    parts.counts.clear();
    for (const at::Tensor& part : plain)
      parts.counts.push_back(static_cast<int64_t>(part.nbytes()) / element_bytes);
    parts.offsets = running_offsets(parts.counts);
  } else {
    call.input = parts.base;
  }
  holdings.staging.push_back(target);
  if (!equal) {
    call.collective = DC_REDUCE_SCATTER_V;
    call.count = *std::max_element(parts.counts.begin(), parts.counts.end());
    call.send_counts = parts.counts.data();
    call.send_offsets = parts.offsets.data();
  }
  return call;
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::reduce_scatter(
    Tensors& outputs, TensorLists& inputs, const c10d::ReduceScatterOptions& opts) {
  const Operation operation =
      operation_for("reduce_scatter", "distos:reduce_scatter", OpType::REDUCE_SCATTER, opts);
  const at::Tensor& output = only_tensor(*group_, operation.name, outputs);
  TORCH_CHECK_VALUE(inputs.size() == 1, operation.name, ": takes one list of inputs, got ",
                    inputs.size());
  Holdings holdings;
  Parts parts;
  const dc_call call =
      reduce_scatter_list_call(operation, output, inputs.front(), opts.reduceOp, holdings, parts);
  holdings.inputs = inputs.front();
  holdings.outputs = outputs;
  return run(operation, call, std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::gather(TensorLists& outputs, Tensors& inputs,
                                                       const c10d::GatherOptions& opts) {
  const Operation operation = operation_for("gather", "distos:gather", OpType::GATHER, opts);
  const at::Tensor& input = only_tensor(*group_, operation.name, inputs);
  check_root(*group_, operation.name, opts.rootRank);
  Holdings holdings;
  const at::Tensor source = plain_input(input);
  dc_call call = call_of(DC_GATHER);
  call.root = static_cast<int32_t>(opts.rootRank);
  call.count = static_cast<int64_t>(source.nbytes());
  call.input = source.const_data_ptr();
  if (opts.rootRank == rank_) {
    TORCH_CHECK_VALUE(outputs.size() == 1, operation.name,
                      ": the root takes one list of outputs, got ", outputs.size());
    const Tensors& list = outputs.front();
    check_list_length(*group_, operation, list.size());
    check_tensors(*group_, operation.name, list);
    for (const at::Tensor& output : list) {
      check_same_dtype(operation.name, output, input);
      TORCH_CHECK_VALUE(output.numel() == input.numel(), operation.name,
                        ": all tensors must have the same size; an output has ", output.numel(),
                        " elements, the input ", input.numel());
    }
    call.output = flat_output(list, holdings).mutable_data_ptr();
    holdings.outputs = list;
  } else {
    TORCH_CHECK_VALUE(outputs.empty(), operation.name, ": only the root (rank ", opts.rootRank,
                      ") takes outputs");
  }
  holdings.inputs = inputs;
  holdings.staging.push_back(source);
  return run(operation, call, std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::scatter(Tensors& outputs, TensorLists& inputs,
                                                        const c10d::ScatterOptions& opts) {
  const Operation operation = operation_for("scatter", "distos:scatter", OpType::SCATTER, opts);
  const at::Tensor& output = only_tensor(*group_, operation.name, outputs);
  check_root(*group_, operation.name, opts.rootRank);
  Holdings holdings;
  const at::Tensor target = plain_output(output, false, holdings);
  dc_call call = call_of(DC_SCATTER);
  call.root = static_cast<int32_t>(opts.rootRank);
  call.count = static_cast<int64_t>(target.nbytes());
  call.output = target.mutable_data_ptr();
  if (opts.rootRank == rank_) {
    TORCH_CHECK_VALUE(inputs.size() == 1, operation.name,
                      ": the root takes one list of inputs, got ", inputs.size());
    const Tensors& list = inputs.front();
    check_list_length(*group_, operation, list.size());
    check_tensors(*group_, operation.name, list);
    for (const at::Tensor& input : list) {
      check_same_dtype(operation.name, output, input);
      TORCH_CHECK_VALUE(input.numel() == output.numel(), operation.name,
                        ": all tensors must have the same size; an input has ", input.numel(),
                        " elements, the output ", output.numel());
    }
    const at::Tensor flat = flat_input(list, holdings);
    holdings.staging.push_back(flat);
    call.input = flat.const_data_ptr();
    holdings.inputs = list;
  } else {
    TORCH_CHECK_VALUE(inputs.empty(), operation.name, ": only the root (rank ", opts.rootRank,
                      ") takes inputs");
  }
  holdings.outputs = outputs;
  holdings.staging.push_back(target);
  return run(operation, call, std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::alltoall_base(at::Tensor& output, at::Tensor& input,
                                                              std::vector<int64_t>& output_splits,
                                                              std::vector<int64_t>& input_splits,
                                                              const c10d::AllToAllOptions& opts) {
  const Operation operation =
      operation_for("all_to_all_single", "distos:all_to_all", OpType::ALLTOALL_BASE, opts);
  check_tensor(*group_, operation.name, output);
  check_tensor(*group_, operation.name, input);
  check_same_dtype(operation.name, output, input);
  const std::vector<int64_t> send = split_lengths(operation, "input", input, input_splits, size_);
  const std::vector<int64_t> receive =
      split_lengths(operation, "output", output, output_splits, size_);
  Holdings holdings;
  const at::Tensor source = plain_input(input);
  const at::Tensor target = plain_output(output, false, holdings);
  const std::vector<int64_t> send_offsets = running_offsets(send);
  const std::vector<int64_t> receive_offsets = running_offsets(receive);
  TORCH_CHECK_VALUE(
      !input_splits.empty() || !output_splits.empty() || input.nbytes() == output.nbytes(),
      operation.name, ": without split sizes input and output must be equally large, they have ",
      input.numel(), " and ", output.numel(), " elements");
  // A rank with even shares cannot know whether the others have them too.
  dc_call call = call_of(DC_ALL_TO_ALL_V);
  call.input = source.const_data_ptr();
  call.output = target.mutable_data_ptr();
  call.send_counts = send.data();
  call.send_offsets = send_offsets.data();
  call.recv_counts = receive.data();
  call.recv_offsets = receive_offsets.data();
  holdings.inputs = {input};
  holdings.outputs = {output};
  holdings.staging.insert(holdings.staging.end(), {source, target});
  return run(operation, call, std::move(holdings));
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::alltoall(Tensors& outputs, Tensors& inputs,
                                                         const c10d::AllToAllOptions& opts) {
  const Operation operation =
      operation_for("all_to_all", "distos:all_to_all", OpType::ALLTOALL, opts);
  check_list_length(*group_, operation, outputs.size());
  check_list_length(*group_, operation, inputs.size());
  check_tensors(*group_, operation.name, outputs);
  check_tensors(*group_, operation.name, inputs);
  for (int i = 0; i < size_; i++) check_same_dtype(operation.name, outputs[i], inputs[i]);
  Holdings holdings;
  Parts send;
  Parts receive;
  locate_parts(plain_inputs(inputs, holdings), 1, &send);
  const Tensors targets = plain_outputs(outputs, holdings);
  locate_parts(targets, 1, &receive);
  dc_call call = call_of(DC_ALL_TO_ALL_V);
  call.input = send.base;
  call.output = receive.base;
  call.send_counts = send.counts.data();
  call.send_offsets = send.offsets.data();
  call.recv_counts = receive.counts.data();
  call.recv_offsets = receive.offsets.data();
  holdings.inputs = inputs;
  holdings.outputs = outputs;
  holdings.staging.insert(holdings.staging.end(), targets.begin(), targets.end());
  return run(operation, call, std::move(holdings));
}

}  // namespace distos_coll::torch_door
