// ProcessGroupDistos: tensors in registered memory, which DDP and FSDP2 ask for.
#include <torch/csrc/distributed/c10d/Utils.hpp>

#include <algorithm>

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
  return at::from_blob(
      dc_memory_data(memory), {size}, [memory](void*) { dc_memory_free(memory); }, options);
}

}  // namespace distos_coll::torch_door
