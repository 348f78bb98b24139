// What endCoalescing() returns: the operations issued since startCoalescing(), completing as one.
// The core runs them from the moment they are issued, so a group of sends and receives needs no
// order.
#pragma once

#include <torch/csrc/distributed/c10d/Work.hpp>

#include <vector>

#include "torch/work.h"

namespace distos_coll::torch_door {

class CoalescedWork final : public c10d::Work {
 public:
  CoalescedWork(int rank, std::vector<c10::intrusive_ptr<DistosWork>> members);

  bool isCompleted() override;
  bool isSuccess() const override;
  std::exception_ptr exception() const override;
  std::vector<at::Tensor> result() override;
  void synchronize() override {}
  bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
  void blockCurrentStream() override {}
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;
  uint64_t getSequencenumber() const override;

 private:
  const std::vector<c10::intrusive_ptr<DistosWork>> members_;
};

}  // namespace distos_coll::torch_door
