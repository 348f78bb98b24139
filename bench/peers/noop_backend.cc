// A torch.distributed backend that does nothing: what a call through torch costs, whoever answers.
// Its results are no results.
#include <pybind11/chrono.h>
#include <torch/csrc/utils/pybind.h>

#include <chrono>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <torch/csrc/distributed/c10d/Work.hpp>
#include <vector>

namespace {

using Tensors = std::vector<at::Tensor>;
using Reply = c10::intrusive_ptr<c10d::Work>;

class Done final : public c10d::Work {
 public:
  bool isCompleted() override { return true; }
  bool isSuccess() const override { return true; }
  bool wait(std::chrono::milliseconds /*timeout*/) override { return true; }
};

class Noop final : public c10d::Backend {
 public:
  Noop(int rank, int size) : Backend(rank, size) {}
  const std::string getBackendName() const override { return "noop"; }

  Reply allreduce(Tensors& /*tensors*/, const c10d::AllreduceOptions& /*options*/) override {
    return done();
  }
  Reply reduce(Tensors& /*tensors*/, const c10d::ReduceOptions& /*options*/) override {
    return done();
  }
  Reply broadcast(Tensors& /*tensors*/, const c10d::BroadcastOptions& /*options*/) override {
    return done();
  }
  Reply _allgather_base(at::Tensor& /*out*/, at::Tensor& /*in*/,
                        const c10d::AllgatherOptions& /*options*/) override {
    return done();
  }
  Reply _reduce_scatter_base(at::Tensor& /*out*/, at::Tensor& /*in*/,
                             const c10d::ReduceScatterOptions& /*options*/) override {
    return done();
  }
  Reply alltoall_base(at::Tensor& /*out*/, at::Tensor& /*in*/, std::vector<int64_t>& /*out_parts*/,
                      std::vector<int64_t>& /*in_parts*/,
                      const c10d::AllToAllOptions& /*options*/) override {
    return done();
  }
  Reply barrier(const c10d::BarrierOptions& /*options*/) override { return done(); }

 private:
  static Reply done() { return c10::make_intrusive<Done>(); }
};

}  // namespace

PYBIND11_MODULE(noop_backend, module) {
  py::module::import("torch._C._distributed_c10d");
  module.def("create", [](const c10::intrusive_ptr<c10d::Store>& /*store*/, int rank, int size,
                          std::chrono::milliseconds /*timeout*/) {
    return c10::static_intrusive_pointer_cast<c10d::Backend>(c10::make_intrusive<Noop>(rank, size));
  });
}
