// An asynchronous operation as torch sees it: one or several calls of the core that complete as
// one. It holds its tensors, and itself, until the last call has finished, so that a caller may
// drop it at once.
#pragma once

#include <c10/util/SmallVector.h>
#include <torch/csrc/distributed/c10d/Work.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "distos_coll/c_api.h"
#include "torch/group.h"

namespace distos_coll::torch_door {

// What an operation is called and what it touches, independent of how it runs.
struct Operation {
  const char* name;   // "all_reduce", in sentences
  const char* title;  // "distos:all_reduce", in profiles
  c10d::OpType type;
  int64_t timeout_ms = 0;  // 0: the group's
  bool async = true;
};

// Memory that belongs to an operation beyond the caller's tensors.
struct Holdings {
  std::vector<at::Tensor> inputs;   // for the profiler, and kept alive
  std::vector<at::Tensor> outputs;  // the result, and kept alive
  std::vector<at::Tensor> staging;  // kept alive
  std::function<void()>
      epilogue;  // after success, before anybody is told: copies staged results back
};

class DistosWork final : public c10d::Work {
 public:
  using Hook = std::function<void(std::shared_ptr<c10d::WorkInfo>)>;

  DistosWork(std::shared_ptr<Group> group, const Operation& operation, Holdings holdings,
             bool profile);
  ~DistosWork() override;

  // Building: any number of calls, then seal(). When a call is refused the calls before it still
  // run; the exception is thrown and the work fails with it.
  void enqueue(const dc_call& call);
  void send(const at::Tensor& tensor, int peer, int64_t tag);
  void receive(const at::Tensor& tensor, int peer, int64_t tag);
  void seal();
  void set_hook(Hook hook) { hook_ = std::move(hook); }

  bool isCompleted() override;
  bool isSuccess() const override;
  std::exception_ptr exception() const override;
  int sourceRank() const override;
  std::vector<at::Tensor> result() override;
  void synchronize() override {}
  // kNoTimeout waits for the operation's own deadline. A shorter timeout that passes throws and
  // leaves it running.
  bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
  void blockCurrentStream() override {}
  void abort() override;
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;
  c10::intrusive_ptr<c10::ivalue::Future> getFutureResult() override;
  float getDuration() const override;
  uint64_t getSequencenumber() const override { return sequence_; }

  const std::vector<at::Tensor>& outputs() const { return holdings_.outputs; }

 private:
  static void on_done(void* context, int code);
  dc_call prepared(const dc_call& call);
  void started(int code, dc_work* handle);
  void arrive(int code);
  void finish();
  void tell_futures();
  void complete_futures();
  bool wait_done(std::chrono::milliseconds timeout);
  [[noreturn]] void throw_waited(std::chrono::milliseconds timeout);

  const std::shared_ptr<Group> group_;
  const Operation operation_;
  Holdings holdings_;
  Hook hook_;
  const uint64_t sequence_;
  const std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point finished_;

  // Written while building only; read by others after seal().
  c10::SmallVector<dc_work*, 1> handles_;
  std::atomic<int> pending_{1};  // calls in flight, and one for the builder
  std::atomic<int> first_error_{0};
  std::atomic<bool> done_{false};
  int source_ = -1;

  // Under c10d::Work::mutex_, like completed_ and exception_.
  c10::intrusive_ptr<c10::ivalue::Future> future_;
  c10::intrusive_ptr<c10::ivalue::Future> result_future_;
  bool future_told_ = false;
  bool result_told_ = false;
};

}  // namespace distos_coll::torch_door
