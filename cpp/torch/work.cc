#include "torch/work.h"

#include <ATen/core/ivalue.h>

#include <utility>

#include "torch/arguments.h"
#include "torch/callbacks.h"

namespace distos_coll::torch_door {

namespace {

// The profiler's record is costly to make, so the caller says whether one is listening.
const char* title_if(bool profile, const Operation& operation) {
  return profile ? operation.title : nullptr;
}

std::optional<std::vector<at::Tensor>> inputs_if(bool profile, const Holdings& holdings) {
  if (!profile) return std::nullopt;
  return holdings.inputs;
}

c10::intrusive_ptr<c10::ivalue::Future> tensors_future() {
  return c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()));
}

}  // namespace

DistosWork::DistosWork(std::shared_ptr<Group> group, const Operation& operation, Holdings holdings,
                       bool profile)
    : Work(group->rank(), operation.type, title_if(profile, operation),
           inputs_if(profile, holdings)),
      group_(std::move(group)),
      operation_(operation),
      holdings_(std::move(holdings)),
      sequence_(c10d::isP2POp(operation.type) ? group_->sequence() : group_->next_sequence()),
      started_(std::chrono::steady_clock::now()) {
  group_->work_started();
}

DistosWork::~DistosWork() {
  // One that was never sealed (a call of it was refused) counts as pending no longer.
  if (!isCompleted()) group_->work_finished();
  for (dc_work* handle : handles_) dc_work_release(handle);
}

dc_call DistosWork::prepared(const dc_call& call) {
  dc_call copy = call;
  copy.struct_size = sizeof(dc_call);
  copy.timeout_ms = operation_.timeout_ms;
  copy.on_done = &DistosWork::on_done;
  copy.on_done_ctx = this;
  // The core now owns one reference, which on_done takes back.
  c10::raw::intrusive_ptr::incref(this);
  pending_.fetch_add(1, std::memory_order_relaxed);
  // Its place; finish() cannot look at it before seal().
  handles_.push_back(nullptr);
  return copy;
}

void DistosWork::started(int code, dc_work* handle) {
  if (code == 0) {
    handles_.back() = handle;
    return;
  }
  const std::exception_ptr error =
      group_->failure(code, operation_.name, operation_.timeout_ms, dc_last_error());
  handles_.pop_back();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!exception_) exception_ = error;
  }
  arrive(0);  // the call that never started
  arrive(0);  // the builder, who will not come to seal()
  c10::raw::intrusive_ptr::decref(this);
  std::rethrow_exception(error);
}

void DistosWork::enqueue(const dc_call& call) {
  dc_comm* comm = group_->comm(operation_.name);
  const dc_call copy = prepared(call);
  dc_work* handle = nullptr;
  const int code = dc_comm_enqueue(comm, &copy, &handle);
  started(code, handle);
}

void DistosWork::send(const at::Tensor& tensor, int peer, int64_t tag) {
  dc_comm* comm = group_->comm(operation_.name);
  const dc_call copy = prepared(dc_call{});
  dc_work* handle = nullptr;
  const int code = dc_comm_send(comm, tensor.const_data_ptr(),
                                static_cast<int64_t>(tensor.nbytes()), peer, tag, &copy, &handle);
  started(code, handle);
}

void DistosWork::receive(const at::Tensor& tensor, int peer, int64_t tag) {
  dc_comm* comm = group_->comm(operation_.name);
  source_ = peer;
  const dc_call copy = prepared(dc_call{});
  dc_work* handle = nullptr;
  const int code =
      dc_comm_recv(comm, tensor.mutable_data_ptr(), static_cast<int64_t>(tensor.nbytes()),
                   peer < 0 ? DC_ANY_SOURCE : peer, tag, &copy, &handle);
  started(code, handle);
}

void DistosWork::seal() { arrive(0); }

void DistosWork::on_done(void* context, int code) {
  auto self = c10::intrusive_ptr<DistosWork>::reclaim(static_cast<DistosWork*>(context));
  try {
    self->arrive(positive(code));
  } catch (const std::exception& error) {
    // Somebody's hook. The core's threads are not the place for its exception.
    TORCH_WARN("distos: a hook of ", self->operation_.name, " failed: ", error.what());
  }
}

void DistosWork::arrive(int code) {
  int none = 0;
  if (code != 0) first_error_.compare_exchange_strong(none, code, std::memory_order_relaxed);
  if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) finish();
}

void DistosWork::finish() {
  std::exception_ptr error = exception_;  // set by started() only, before the builder's arrival
  const int code = first_error_.load(std::memory_order_relaxed);
  if (!error && code != 0) {
    const char* sentence = nullptr;
    for (const dc_work* handle : handles_) {
      if (positive(dc_work_code(handle)) == code) sentence = dc_work_error(handle);
    }
    error = group_->failure(code, operation_.name, operation_.timeout_ms, sentence);
  }
  if (!error && source_ < 0 && !handles_.empty()) source_ = dc_work_source(handles_.front());
  if (!error) {
    try {
      run_epilogue(holdings_);
    } catch (...) {
      error = std::current_exception();
    }
  }
  holdings_.epilogue = nullptr;
  holdings_.inputs.clear();
  holdings_.staging.clear();
  finished_ = std::chrono::steady_clock::now();
  Work::finish(error);
  done_.store(true, std::memory_order_release);
  tell_futures();
  group_->work_finished();
  if (hook_) {
    hook_(std::make_shared<c10d::WorkInfo>(operation_.type, sequence_, started_, finished_,
                                           finished_ - started_));
    hook_ = nullptr;
  }
}

bool DistosWork::isCompleted() {
  if (done_.load(std::memory_order_acquire)) return true;
  for (dc_work* handle : handles_) {
    if (dc_work_test(handle) == 0) return false;
  }
  // The core is done; the callback that says so may still be on its way.
  std::lock_guard<std::mutex> lock(mutex_);
  return completed_;
}

bool DistosWork::isSuccess() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return completed_ && !exception_;
}

std::exception_ptr DistosWork::exception() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return exception_;
}

int DistosWork::sourceRank() const {
  TORCH_CHECK(
      operation_.type == c10d::OpType::RECV || operation_.type == c10d::OpType::RECVANYSOURCE,
      "sourceRank() belongs to a receive; this work is ", operation_.name);
  return source_;
}

std::vector<at::Tensor> DistosWork::result() {
  TORCH_CHECK(isCompleted(), operation_.name,
              ": result() was called before the operation completed; call wait() first");
  return holdings_.outputs;
}

bool DistosWork::wait_done(std::chrono::milliseconds timeout) {
  const bool limited = timeout > kNoTimeout;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (dc_work* handle : handles_) {
    int64_t left = 0;
    if (limited) {
      left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
              .count();
      if (left < 1) left = 1;
    }
    const int code = dc_work_wait(handle, left);
    if (limited && positive(code) == DC_TIMEOUT && dc_work_test(handle) == 0) return false;
  }
  std::unique_lock<std::mutex> lock(mutex_);
  cv_.wait(lock, [&] { return completed_; });
  return true;
}

bool DistosWork::wait(std::chrono::milliseconds timeout) {
  if (!done_.load(std::memory_order_acquire) && !wait_done(timeout)) throw_waited(timeout);
  std::exception_ptr error = exception();
  if (!error) return true;
  if (first_error_.load(std::memory_order_relaxed) == DC_ABORTED) Group::throw_interrupt();
  std::rethrow_exception(error);
}

void DistosWork::throw_waited(std::chrono::milliseconds timeout) {
  C10_THROW_ERROR(DistBackendError,
                  c10::str("distos ", operation_.name, " on group '", group_->name(), "' (rank ",
                           rank_, " of ", group_->size(), "): Timed out waiting ", timeout.count(),
                           "ms in Work.wait(); the operation itself goes on until its own deadline "
                           "and may be waited for again"));
}

void DistosWork::abort() {
  TORCH_CHECK(false, operation_.name,
              ": a single operation cannot be aborted, other ranks take part in it; abort the "
              "group instead");
}

c10::intrusive_ptr<c10::ivalue::Future> DistosWork::getFuture() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!future_) future_ = tensors_future();
  auto future = future_;
  const bool completed = completed_;
  lock.unlock();
  // Nothing is attached to it yet, and the caller should find it completed.
  if (completed) complete_futures();
  return future;
}

c10::intrusive_ptr<c10::ivalue::Future> DistosWork::getFutureResult() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!result_future_)
    result_future_ = c10::make_intrusive<c10::ivalue::Future>(c10::IntType::get());
  auto future = result_future_;
  const bool completed = completed_;
  lock.unlock();
  if (completed) complete_futures();
  return future;
}

void DistosWork::tell_futures() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!future_ && !result_future_) return;
  }
  auto self = c10::intrusive_ptr<DistosWork>::unsafe_reclaim_from_nonowning(this);
  run_callback([self = std::move(self)] {
    try {
      self->complete_futures();
    } catch (const std::exception& error) {
      TORCH_WARN("distos: a callback of ", self->operation_.name, " failed: ", error.what());
    }
  });
}

// Both the finishing thread and a late getFuture() may come here: whoever sets the flag first
// completes the future.
void DistosWork::complete_futures() {
  c10::intrusive_ptr<c10::ivalue::Future> future, result_future;
  std::exception_ptr error;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (future_ && !std::exchange(future_told_, true)) future = future_;
    if (result_future_ && !std::exchange(result_told_, true)) result_future = result_future_;
    error = exception_;
  }
  if (future) {
    if (error) {
      future->setError(error);
    } else {
      future->markCompleted(c10::IValue(holdings_.outputs));
    }
  }
  if (result_future) {
    const auto outcome = !error                              ? c10d::WorkResult::SUCCESS
                         : first_error_.load() == DC_TIMEOUT ? c10d::WorkResult::TIMEOUT
                                                             : c10d::WorkResult::COMM_ERROR;
    result_future->markCompleted(c10::IValue(static_cast<int64_t>(outcome)));
  }
}

float DistosWork::getDuration() const {
  TORCH_CHECK(done_.load(std::memory_order_acquire), operation_.name,
              ": getDuration() needs a completed operation");
  return std::chrono::duration<float, std::milli>(finished_ - started_).count();
}

}  // namespace distos_coll::torch_door
