// From torch's tensors, dtypes and reduce ops to the core's: what is accepted, what is refused and
// why, and how a tensor that the core cannot use as it is gets a plain copy.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/Types.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "distos_coll/c_api.h"
#include "torch/group.h"
#include "torch/work.h"

namespace distos_coll::torch_door {

// The C ABI's 0 means the group's own.
inline int64_t milliseconds(std::chrono::milliseconds timeout) {
  return timeout == c10d::kUnsetTimeout ? 0 : timeout.count();
}

template <typename Opts>
Operation operation_for(const char* name, const char* title, c10d::OpType type, const Opts& opts) {
  return Operation{name, title, type, milliseconds(opts.timeout), opts.asyncOp};
}

// A call that moves bytes; what reduces sets dtype and op.
inline dc_call call_of(dc_collective collective) {
  dc_call call{};
  call.collective = collective;
  call.dtype = DC_UINT8;
  call.op = DC_SUM;
  return call;
}

// How to reduce a tensor of one dtype.
struct Reduction {
  int32_t dtype = DC_UINT8;
  int32_t op = DC_SUM;
  bool scaled = false;  // premul-sum: multiply the input first
  double factor = 1.0;
  at::Tensor factor_tensor;
};

// Throws TypeError or ValueError with the reason when the pair has no meaning.
Reduction reduction_for(const char* operation, at::ScalarType dtype, const c10d::ReduceOp& op);

// A dense tensor in this process's memory; throws otherwise, naming torch's routing for a wrong
// device.
void check_tensor(const Group& group, const char* operation, const at::Tensor& tensor);
void check_tensors(const Group& group, const char* operation,
                   const std::vector<at::Tensor>& tensors);
// The single tensor of torch's list-shaped arguments.
const at::Tensor& only_tensor(const Group& group, const char* operation,
                              const std::vector<at::Tensor>& tensors);
void check_same_dtype(const char* operation, const at::Tensor& a, const at::Tensor& b);
void check_root(const Group& group, const char* operation, int64_t root);

// The memory order of the tensor is the order of its elements, and nothing (conjugation, negation)
// is pending.
inline bool is_plain(const at::Tensor& tensor) {
  return tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg();
}

// A plain tensor with the same elements: the tensor itself if it is one.
at::Tensor plain_input(const at::Tensor& tensor);
// A plain tensor that receives a result for `tensor`: itself, or a new one whose copy back is
// appended to `holdings`. keep_contents when the operation also reads it.
at::Tensor plain_output(const at::Tensor& tensor, bool keep_contents, Holdings& holdings);

// Runs what plain_output() and others appended, in any thread, without autograd. At most once.
void run_epilogue(Holdings& holdings);
// Appends to it.
void append_epilogue(Holdings& holdings, std::function<void()> step);

// The same memory as numbers that the core can add: complex becomes pairs.
at::Tensor real_view(const at::Tensor& tensor);

// input * factor as premul-sum means it, or the plain input when the reduction is not scaled.
at::Tensor scaled_input(const Reduction& reduction, const at::Tensor& plain);

// Where the parts of a list lie, in elements of `element_bytes` from one base pointer. Separate
// allocations are fine: the core only ever adds an offset to the base.
struct Parts {
  std::byte* base = nullptr;
  std::vector<int64_t> counts;
  std::vector<int64_t> offsets;
};
// All plain, of one dtype. False when a distance between two parts is not a whole number of
// elements.
bool locate_parts(const std::vector<at::Tensor>& parts, int64_t element_bytes, Parts* out);

// All parts have the same number of elements.
bool all_equal_sizes(const std::vector<at::Tensor>& parts);
// The plain parts lie one after the other in memory, in order.
bool is_one_run(const std::vector<at::Tensor>& parts);

}  // namespace distos_coll::torch_door
