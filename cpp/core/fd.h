// Owned file descriptors, and the registry that lets a forked child close every one of them: a DataLoader worker must
// not keep its parent's sockets open, or peers would not see the parent die.
#pragma once

#include <utility>

namespace distos_coll {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd);  // takes ownership and registers it
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
  void reset();

 private:
  int fd_ = -1;
};

// Installs the at-fork child handler once. After a fork the child has none of our descriptors, and in_forked_child()
// is true there for good.
void guard_against_fork();
bool in_forked_child();

}  // namespace distos_coll
