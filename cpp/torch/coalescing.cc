#include "torch/coalescing.h"

#include <ATen/core/ivalue.h>

#include <utility>

namespace distos_coll::torch_door {

CoalescedWork::CoalescedWork(int rank, std::vector<c10::intrusive_ptr<DistosWork>> members)
    : Work(rank, c10d::OpType::COALESCED), members_(std::move(members)) {}

bool CoalescedWork::isCompleted() {
  for (const auto& member : members_) {
    if (!member->isCompleted()) return false;
  }
  return true;
}

bool CoalescedWork::isSuccess() const {
  for (const auto& member : members_) {
    if (!member->isSuccess()) return false;
  }
  return true;
}

std::exception_ptr CoalescedWork::exception() const {
  for (const auto& member : members_) {
    if (std::exception_ptr error = member->exception()) return error;
  }
  return nullptr;
}

std::vector<at::Tensor> CoalescedWork::result() {
  std::vector<at::Tensor> all;
  for (const auto& member : members_) {
    for (const at::Tensor& tensor : member->result()) all.push_back(tensor);
  }
  return all;
}

bool CoalescedWork::wait(std::chrono::milliseconds timeout) {
  const bool limited = timeout > kNoTimeout;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (const auto& member : members_) {
    auto left = kNoTimeout;
    if (limited) {
      left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left < std::chrono::milliseconds(1)) left = std::chrono::milliseconds(1);
    }
    member->wait(left);
  }
  return true;
}

c10::intrusive_ptr<c10::ivalue::Future> CoalescedWork::getFuture() {
  const c10::TypePtr tensors = c10::ListType::create(c10::TensorType::get());
  c10::List<c10::intrusive_ptr<c10::ivalue::Future>> futures(c10::FutureType::create(tensors));
  for (const auto& member : members_) futures.push_back(member->getFuture());
  auto members = members_;
  return c10::collectAll(futures)->then(
      [members = std::move(members)](c10::ivalue::Future& all) -> c10::IValue {
        all.waitAndThrow();
        std::vector<at::Tensor> outputs;
        for (const auto& member : members) {
          outputs.insert(outputs.end(), member->outputs().begin(), member->outputs().end());
        }
        return outputs;
      },
      tensors);
}

uint64_t CoalescedWork::getSequencenumber() const {
  return members_.empty() ? 0 : members_.back()->getSequencenumber();
}

}  // namespace distos_coll::torch_door
