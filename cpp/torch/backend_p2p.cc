// Send and receive.

#include <utility>

#include "torch/backend.h"

namespace distos_coll::torch_door {

using c10d::OpType;

namespace {

void check_peer(const Group& group, const char* operation, int peer) {
  TORCH_CHECK_VALUE(peer >= 0 && peer < group.size(), operation, ": rank ", peer,
                    " is not in group '", group.name(), "', which has ", group.size(), " ranks");
  TORCH_CHECK_VALUE(peer != group.rank(), operation, ": rank ", peer,
                    " is this rank; a rank cannot ", operation,
                    " to or from itself, use Tensor.copy_()");
}

}  // namespace

ProcessGroupDistos::WorkPtr ProcessGroupDistos::send(Tensors& tensors, int peer, int tag) {
  const Operation operation{"send", "distos:send", OpType::SEND};
  const at::Tensor& tensor = only_tensor(*group_, operation.name, tensors);
  check_peer(*group_, operation.name, peer);
  const at::Tensor source = plain_input(tensor);
  Holdings holdings;
  holdings.inputs = tensors;
  holdings.outputs = tensors;
  holdings.staging.push_back(source);
  auto work =
      c10::make_intrusive<DistosWork>(group_, operation, std::move(holdings), at::hasCallbacks());
  if (hasHooks()) work->set_hook(onCompletionHook_);
  work->send(source, peer, tag);
  return publish(std::move(work), operation);
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::receive(Tensors& tensors, int peer, int tag,
                                                        const Operation& operation) {
  const at::Tensor& tensor = only_tensor(*group_, operation.name, tensors);
  Holdings holdings;
  const at::Tensor target = plain_output(tensor, false, holdings);
  holdings.inputs = tensors;
  holdings.outputs = tensors;
  holdings.staging.push_back(target);
  auto work =
      c10::make_intrusive<DistosWork>(group_, operation, std::move(holdings), at::hasCallbacks());
  if (hasHooks()) work->set_hook(onCompletionHook_);
  work->receive(target, peer, tag);
  return publish(std::move(work), operation);
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::recv(Tensors& tensors, int peer, int tag) {
  check_peer(*group_, "recv", peer);
  return receive(tensors, peer, tag, Operation{"recv", "distos:recv", OpType::RECV});
}

ProcessGroupDistos::WorkPtr ProcessGroupDistos::recvAnysource(Tensors& tensors, int tag) {
  return receive(tensors, -1, tag,
                 Operation{"recv from any source", "distos:recvAnySource", OpType::RECVANYSOURCE});
}

}  // namespace distos_coll::torch_door
