// An operation as its caller sees it: pending, then finished with a code and, on failure, a
// sentence. Reference-counted by hand, because the C ABI hands it out.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/status.h"

namespace distos_coll {

class Communicator;

class Work {
 public:
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  virtual ~Work() = default;

  bool done() const { return done_.load(std::memory_order_acquire); }
  // Valid once done.
  Code code() const { return code_; }
  const std::string& error() const { return error_; }
  int source() const { return source_; }
  const char* algorithm() const { return algorithm_; }

  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // Somebody else holds a reference, too.
  bool shared() const { return references_.load(std::memory_order_acquire) > 1; }

  // Exactly once, with no lock held. The callback runs before the work counts as done, so that
  // whoever sees it done also sees what the callback wrote.
  void finish(Code code, std::string error) {
    code_ = code;
    error_ = std::move(error);
    if (on_done_ != nullptr) on_done_(on_done_ctx_, static_cast<int>(code));
    done_.store(true, std::memory_order_release);
  }

  void set_callback(void (*on_done)(void*, int), void* ctx) {
    on_done_ = on_done;
    on_done_ctx_ = ctx;
  }

  int64_t deadline_ns = 0;
  // Who progresses it; gone once the group is closed, and then the work is done.
  std::weak_ptr<Communicator> communicator;

 protected:
  Work() = default;
  // Once nobody but its owner knows it any more.
  void reopen() { done_.store(false, std::memory_order_relaxed); }
  int source_ = -1;
  const char* algorithm_ = "";

 private:
  std::atomic<int> references_{1};
  std::atomic<bool> done_{false};
  Code code_ = Code::kOk;
  std::string error_;
  void (*on_done_)(void*, int) = nullptr;
  void* on_done_ctx_ = nullptr;
};

// Owns one reference.
template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* adopted) : pointer_(adopted) {}
  Ref(const Ref& other) : pointer_(other.pointer_) {
    if (pointer_ != nullptr) pointer_->retain();
  }
  Ref(Ref&& other) noexcept : pointer_(std::exchange(other.pointer_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(pointer_, other.pointer_);
    return *this;
  }
  ~Ref() {
    if (pointer_ != nullptr) pointer_->release();
  }

  T* get() const { return pointer_; }
  T* operator->() const { return pointer_; }
  T& operator*() const { return *pointer_; }
  explicit operator bool() const { return pointer_ != nullptr; }
  // The caller takes the reference.
  T* detach() { return std::exchange(pointer_, nullptr); }

 private:
  T* pointer_ = nullptr;
};

}  // namespace distos_coll
