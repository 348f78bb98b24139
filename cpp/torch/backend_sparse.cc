// All-reduce of sparse COO tensors: every rank's entries are gathered and added up in rank order,
// so the result is bit-identical everywhere.

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "torch/backend.h"

namespace distos_coll::torch_door {

using c10d::OpType;

namespace {

constexpr const char* kName = "all_reduce of a sparse tensor";
constexpr int64_t kMaxDims = 24;
// Words of the first exchange: sparse dims, dense dims, entries, then the sizes.
constexpr int64_t kMetaWords = 3 + kMaxDims;

at::Tensor describe(const at::Tensor& sparse) {
  at::Tensor meta = at::zeros({kMetaWords}, at::kLong);
  auto* words = meta.mutable_data_ptr<int64_t>();
  words[0] = sparse.sparse_dim();
  words[1] = sparse.dense_dim();
  words[2] = sparse._nnz();
  std::copy(sparse.sizes().begin(), sparse.sizes().end(), words + 3);
  return meta;
}

// Entries of each rank, after checking that all ranks have the same shape.
std::vector<int64_t> entries_of_ranks(const at::Tensor& all, int rank, int size) {
  const auto* words = all.const_data_ptr<int64_t>();
  const auto* own = words + rank * kMetaWords;
  std::vector<int64_t> entries;
  for (int r = 0; r < size; r++) {
    const auto* theirs = words + r * kMetaWords;
    entries.push_back(theirs[2]);
    for (int64_t i = 0; i < kMetaWords; i++) {
      TORCH_CHECK_VALUE(
          i == 2 || theirs[i] == own[i], kName, ": rank ", r, " has another shape than rank ", rank,
          "; all ranks must pass the same sizes and the same number of sparse dimensions");
    }
  }
  return entries;
}

// An uneven all-gather of rows that lie one after the other in `target`.
dc_call gather_rows(const at::Tensor& source, const at::Tensor& target, int64_t row_bytes,
                    const std::vector<int64_t>& rows, Parts& parts) {
  int64_t offset = 0;
  for (int64_t count : rows) {
    parts.counts.push_back(count * row_bytes);
    parts.offsets.push_back(offset);
    offset += count * row_bytes;
  }
  dc_call call = call_of(DC_ALL_GATHER_V);
  call.count = *std::max_element(parts.counts.begin(), parts.counts.end());
  call.input = source.const_data_ptr();
  call.output = target.mutable_data_ptr();
  call.recv_counts = parts.counts.data();
  call.recv_offsets = parts.offsets.data();
  return call;
}

}  // namespace

ProcessGroupDistos::WorkPtr ProcessGroupDistos::allreduce_sparse(
    Tensors& tensors, const c10d::AllreduceOptions& opts) {
  Operation operation =
      operation_for(kName, "distos:sparse_all_reduce", OpType::_ALLREDUCE_SPARSE, opts);
  TORCH_CHECK_VALUE(tensors.size() == 1, kName, ": takes one tensor per rank, got ",
                    tensors.size());
  at::Tensor tensor = tensors.front();
  TORCH_CHECK_VALUE(tensor.layout() == at::kSparse && tensor.device().is_cpu(), kName,
                    ": takes COO tensors on the CPU, got layout ", tensor.layout(), " on ",
                    tensor.device());
  TORCH_CHECK_VALUE(opts.reduceOp == c10d::ReduceOp::SUM, kName, ": only ReduceOp.SUM is offered");
  TORCH_CHECK_VALUE(tensor.dim() <= kMaxDims, kName, ": at most ", kMaxDims,
                    " dimensions are offered, got ", tensor.dim());
  at::NoGradGuard no_grad;
  const at::Tensor own = tensor.coalesce();

  // The sizes must be known before the entries can be received, and a second operation may only be
  // enqueued from here, in program order. So this first, small exchange blocks even when the call
  // is asynchronous.
  const at::Tensor meta = describe(own);
  const at::Tensor all_meta = at::empty({size_ * kMetaWords}, at::kLong);
  dc_call exchange = call_of(DC_ALL_GATHER);
  exchange.count = static_cast<int64_t>(meta.nbytes());
  exchange.input = meta.const_data_ptr();
  exchange.output = all_meta.mutable_data_ptr();
  run_inline(operation, exchange);
  const std::vector<int64_t> entries = entries_of_ranks(all_meta, rank_, size_);
  int64_t total = 0;
  for (int64_t count : entries) total += count;

  // Entries as rows: indices are stored dimension by dimension, so they are transposed for the
  // journey.
  Holdings holdings;
  const at::Tensor indices = own.indices().t().contiguous();
  const at::Tensor values = plain_input(own.values());
  const at::Tensor all_indices = at::empty({total, indices.size(1)}, indices.options());
  std::vector<int64_t> value_sizes = values.sizes().vec();
  value_sizes[0] = total;
  const at::Tensor all_values = at::empty(value_sizes, values.options());
  int64_t value_bytes = static_cast<int64_t>(values.element_size());
  for (size_t i = 1; i < value_sizes.size(); i++) value_bytes *= value_sizes[i];

  Parts index_parts;
  Parts value_parts;
  const dc_call calls[] = {
      gather_rows(indices, all_indices, indices.size(1) * 8, entries, index_parts),
      gather_rows(values, all_values, value_bytes, entries, value_parts),
  };
  append_epilogue(holdings, [tensor, all_indices, all_values] {
    at::Tensor sum = at::sparse_coo_tensor(all_indices.t(), all_values, tensor.sizes()).coalesce();
    tensor.copy_(sum);
  });
  holdings.inputs = tensors;
  holdings.outputs = tensors;
  holdings.staging = {own, indices, values, all_indices, all_values};
  return run(operation, calls, 2, std::move(holdings));
}

}  // namespace distos_coll::torch_door
