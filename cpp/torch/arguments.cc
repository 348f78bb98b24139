#include "torch/arguments.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

namespace distos_coll::torch_door {

namespace {

using RedOp = c10d::ReduceOp::RedOpType;

const char* op_name(RedOp op) {
  switch (op) {
    case RedOp::SUM:
      return "SUM";
    case RedOp::AVG:
      return "AVG";
    case RedOp::PRODUCT:
      return "PRODUCT";
    case RedOp::MIN:
      return "MIN";
    case RedOp::MAX:
      return "MAX";
    case RedOp::BAND:
      return "BAND";
    case RedOp::BOR:
      return "BOR";
    case RedOp::BXOR:
      return "BXOR";
    case RedOp::PREMUL_SUM:
      return "PREMUL_SUM";
    default:
      return "UNUSED";
  }
}

bool is_bitwise(RedOp op) { return op == RedOp::BAND || op == RedOp::BOR || op == RedOp::BXOR; }

int32_t core_op(RedOp op) {
  switch (op) {
    case RedOp::AVG:
      return DC_AVERAGE;
    case RedOp::PRODUCT:
      return DC_PRODUCT;
    case RedOp::MIN:
      return DC_MIN;
    case RedOp::MAX:
      return DC_MAX;
    case RedOp::BAND:
      return DC_BAND;
    case RedOp::BOR:
      return DC_BOR;
    case RedOp::BXOR:
      return DC_BXOR;
    default:
      return DC_SUM;
  }
}

// uint16, uint32 and uint64 have no kernels of their own. Two's complement sums, products and bit
// operations are the same for signed numbers of their width; order and division are not.
int32_t dtype_of_unsigned(const char* operation, at::ScalarType dtype, RedOp op) {
  TORCH_CHECK_TYPE(op == RedOp::SUM || op == RedOp::PRODUCT || is_bitwise(op), operation,
                   ": ReduceOp.", op_name(op), " is not offered for ", dtype,
                   " (SUM, PRODUCT and the bitwise operations are); convert to a signed "
                   "dtype first");
  if (dtype == at::kUInt16) return DC_INT16;
  return dtype == at::kUInt32 ? DC_INT32 : DC_INT64;
}

int32_t core_dtype(const char* operation, at::ScalarType dtype, RedOp op) {
  switch (dtype) {
    case at::kChar:
      return DC_INT8;
    case at::kByte:
      return DC_UINT8;
    case at::kShort:
      return DC_INT16;
    case at::kInt:
      return DC_INT32;
    case at::kLong:
      return DC_INT64;
    case at::kHalf:
      return DC_FLOAT16;
    case at::kBFloat16:
      return DC_BFLOAT16;
    case at::kFloat:
      return DC_FLOAT32;
    case at::kDouble:
      return DC_FLOAT64;
    case at::kBool:
      return DC_BOOL;
    case at::kUInt16:
    case at::kUInt32:
    case at::kUInt64:
      return dtype_of_unsigned(operation, dtype, op);
    default:
      TORCH_CHECK_TYPE(false, operation, ": reductions are not offered for ", dtype,
                       "; convert to float16, bfloat16 or float32 first (collectives that only "
                       "move data take any dtype)");
  }
}

void apply_factor(const char* operation, at::ScalarType dtype, const c10d::ReduceOp& op,
                  Reduction& reduction) {
  TORCH_CHECK_TYPE(at::isFloatingType(dtype), operation,
                   ": PREMUL_SUM needs a floating or complex dtype, not ", dtype);
  // Named so in torch 2.11; later releases keep the name as an alias.
  const auto* supplement = dynamic_cast<c10d::NCCLPreMulSumSupplement*>(op.supplement_.get());
  TORCH_CHECK_VALUE(
      supplement != nullptr, operation,
      ": PREMUL_SUM has no factor; make it with torch.distributed._make_nccl_premul_sum(factor)");
  reduction.scaled = true;
  reduction.factor = supplement->double_factor;
  reduction.factor_tensor = supplement->tensor_factor;
}

}  // namespace

Reduction reduction_for(const char* operation, at::ScalarType dtype, const c10d::ReduceOp& op) {
  const RedOp kind = op;
  TORCH_CHECK_VALUE(kind != RedOp::UNUSED, operation, ": ReduceOp.UNUSED is not a reduction");
  if (at::isComplexType(dtype)) {
    TORCH_CHECK_VALUE(kind == RedOp::SUM || kind == RedOp::AVG || kind == RedOp::PREMUL_SUM,
                      operation, ": ReduceOp.", op_name(kind), " is not offered for ", dtype,
                      ": complex numbers are reduced as pairs of reals, which is right for SUM, "
                      "AVG and PREMUL_SUM only");
    dtype = at::toRealValueType(dtype);
  }
  TORCH_CHECK_TYPE(
      !(dtype == at::kBool && kind == RedOp::AVG), operation,
      ": Cannot use ReduceOp.AVG with Boolean inputs: the average of truth values is not one; "
      "convert to a floating dtype first");
  TORCH_CHECK_VALUE(!(is_bitwise(kind) && at::isFloatingType(dtype)), operation,
                    ": Cannot use ReduceOp.", op_name(kind), " with non-integral dtype ", dtype);
  Reduction reduction;
  reduction.dtype = core_dtype(operation, dtype, kind);
  reduction.op = core_op(kind);
  if (kind == RedOp::PREMUL_SUM) apply_factor(operation, dtype, op, reduction);
  return reduction;
}

void check_tensor(const Group& group, const char* operation, const at::Tensor& tensor) {
  TORCH_CHECK_VALUE(tensor.defined(), operation, ": got an undefined tensor");
  if (C10_LIKELY(tensor.device().is_cpu() && tensor.layout() == at::kStrided)) return;
  TORCH_CHECK_VALUE(tensor.device().is_cpu(), "distos ", operation, " on group '", group.name(),
                    "': the tensor is on ", tensor.device(),
                    ", and this group moves CPU tensors only. torch picks one backend per device "
                    "type from the string given to "
                    "init_process_group or new_group, by the device of the first tensor: name "
                    "another backend for ",
                    tensor.device().type(),
                    " there (for example \"cpu:distos,cuda:nccl\"), or move the tensor to the CPU");
  TORCH_CHECK_VALUE(
      false, operation, ": the tensor has layout ", tensor.layout(),
      "; only all_reduce takes sparse tensors (COO), everything else needs a dense one");
}

void check_tensors(const Group& group, const char* operation,
                   const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) check_tensor(group, operation, tensor);
}

const at::Tensor& only_tensor(const Group& group, const char* operation,
                              const std::vector<at::Tensor>& tensors) {
  TORCH_CHECK_VALUE(tensors.size() == 1, operation, ": takes one tensor per rank, got ",
                    tensors.size());
  check_tensor(group, operation, tensors.front());
  return tensors.front();
}

void check_same_dtype(const char* operation, const at::Tensor& a, const at::Tensor& b) {
  TORCH_CHECK_TYPE(a.scalar_type() == b.scalar_type(), operation,
                   ": input and output differ in dtype: ", a.scalar_type(), " and ",
                   b.scalar_type());
}

void check_root(const Group& group, const char* operation, int64_t root) {
  TORCH_CHECK_VALUE(root >= 0 && root < group.size(), operation, ": root ", root,
                    " is not a rank of group '", group.name(), "', which has ", group.size());
}

at::Tensor plain_input(const at::Tensor& tensor) {
  if (is_plain(tensor)) return tensor;
  at::NoGradGuard no_grad;
  return tensor.contiguous().resolve_conj().resolve_neg();
}

at::Tensor plain_output(const at::Tensor& tensor, bool keep_contents, Holdings& holdings) {
  if (is_plain(tensor)) return tensor;
  at::Tensor staged =
      keep_contents ? plain_input(tensor) : at::empty(tensor.sizes(), tensor.options());
  // contiguous() and resolve_*() return the tensor itself when they have nothing to do, which
  // is_plain() excluded.
  holdings.staging.push_back(staged);
  append_epilogue(holdings, [tensor, staged] { tensor.copy_(staged); });
  return staged;
}

void append_epilogue(Holdings& holdings, std::function<void()> step) {
  if (!holdings.epilogue) {
    holdings.epilogue = std::move(step);
    return;
  }
  holdings.epilogue = [before = std::move(holdings.epilogue), step = std::move(step)] {
    before();
    step();
  };
}

void run_epilogue(Holdings& holdings) {
  if (!holdings.epilogue) return;
  // Any thread may be the one that finishes: none of its autograd state must matter to a plain
  // copy.
  at::NoGradGuard no_grad;
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  std::exchange(holdings.epilogue, nullptr)();
}

at::Tensor real_view(const at::Tensor& tensor) {
  return tensor.is_complex() ? at::view_as_real(tensor) : tensor;
}

at::Tensor scaled_input(const Reduction& reduction, const at::Tensor& plain) {
  if (!reduction.scaled) return plain;
  at::NoGradGuard no_grad;
  if (!reduction.factor_tensor.defined()) return at::mul(plain, reduction.factor);
  return at::mul(plain, reduction.factor_tensor.reshape({}).to(plain.options()));
}

bool locate_parts(const std::vector<at::Tensor>& parts, int64_t element_bytes, Parts* out) {
  std::byte* base = nullptr;
  for (const at::Tensor& part : parts) {
    auto* data = static_cast<std::byte*>(part.data_ptr());
    if (part.nbytes() > 0 && (base == nullptr || data < base)) base = data;
  }
  out->base = base;
  out->counts.clear();
  out->offsets.clear();
  for (const at::Tensor& part : parts) {
    const auto bytes = static_cast<int64_t>(part.nbytes());
    const int64_t distance = bytes == 0 ? 0 : static_cast<std::byte*>(part.data_ptr()) - base;
    if (distance % element_bytes != 0) return false;
    out->counts.push_back(bytes / element_bytes);
    out->offsets.push_back(distance / element_bytes);
  }
  return true;
}

bool all_equal_sizes(const std::vector<at::Tensor>& parts) {
  return std::all_of(parts.begin(), parts.end(),
                     [&](const at::Tensor& part) { return part.numel() == parts.front().numel(); });
}

bool is_one_run(const std::vector<at::Tensor>& parts) {
  const auto* next = static_cast<const std::byte*>(parts.front().const_data_ptr());
  for (const at::Tensor& part : parts) {
    if (!is_plain(part) || part.const_data_ptr() != next) return false;
    next += part.nbytes();
  }
  return true;
}

}  // namespace distos_coll::torch_door
