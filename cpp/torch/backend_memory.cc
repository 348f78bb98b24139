// ProcessGroupDistos: tensors in registered memory, which DDP and FSDP2 ask for.
#include <torch/csrc/distributed/c10d/Utils.hpp>

#include <algorithm>
#include <memory>
#include <utility>

#include "distos_coll/c_api_memory.h"
#include "torch/backend.h"

namespace distos_coll::torch_door {

// Of CPU tensors, whose device has no index; and only where all ranks share memory, or it would not
// be used.
bool ProcessGroupDistos::supportsTensorAlloc(c10::DeviceIndex device) {
  const auto& domains = topology_.domain_of;
  const bool together =
      std::all_of(domains.begin(), domains.end(), [&](int32_t each) { return each == domains[0]; });
  return device < 0 && size_ > 1 && together;
}

// NOLINTNEXTLINE(google-runtime-int): torch's signature
at::Tensor ProcessGroupDistos::allocateTensor(long size, at::TensorOptions options) {
  dc_comm* comm = group_->comm("allocate_tensor");
  dc_memory* memory = nullptr;
  if (size > 0 && options.device().is_cpu()) {
    const size_t bytes = static_cast<size_t>(size) * options.dtype().itemsize();
    const int code = dc_memory_allocate(comm, bytes, &memory);
    if (code != 0) group_->raise(code, "allocate_tensor", 0, dc_last_error());
  }
  if (memory == nullptr) return at::empty({size}, options);
  std::shared_ptr<dc_memory> owner(memory, dc_memory_free);
  // "cpu:0" is the same as "cpu", but from_blob() takes memory to have no index.
  return at::from_blob(
      dc_memory_data(memory), {size}, [owner = std::move(owner)](void*) {},
      options.device(at::kCPU));
}

}  // namespace distos_coll::torch_door
