// Owned file descriptors, and the registry that lets a forked child close every one of them: a
// DataLoader worker must not keep its parent's sockets open, or peers would not see the parent die.
#pragma once

#include <utility>

namespace distos_coll {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd);  // takes ownership and registers it; negative stays invalid
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Closes. In a forked child it only forgets: the at-fork handler has closed the descriptor
  // already, and the number may belong to somebody else by now.
  void reset();

 private:
  int fd_ = -1;
};

// Holds off fork() between the call that makes a descriptor and its registration, or a child forked
// in between would inherit a descriptor that nobody closes.
class ForkGuard {
 public:
  ForkGuard();
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
};

// Fd(make()) under a ForkGuard; `make` must not block. errno is make's.
template <typename Make>
Fd open_fd(Make make) {
  const ForkGuard guard;
  return Fd(make());
}

// Installs the at-fork handlers once. After a fork the child has none of our descriptors, and
// in_forked_child() is true there for good.
void guard_against_fork();
bool in_forked_child();

}  // namespace distos_coll
