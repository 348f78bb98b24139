// Shared memory between processes: a sealed memfd and its mapping. Sealed, because a peer that
// could shrink the file would kill us with SIGBUS; not inherited by forked children, which must
// neither hold nor touch it.
#pragma once

#include <cstddef>

#include "core/fd.h"

namespace distos_coll {

class Mapping {
 public:
  // Zeroed memory of `bytes`; `*memory` receives the descriptor to pass on. `name` shows in
  // /proc/PID/maps.
  static Mapping create(const char* name, size_t bytes, Fd* memory);
  // A peer's memory. Throws Error unless the file is sealed against resizing and has exactly
  // `bytes`.
  static Mapping attach(const Fd& memory, size_t bytes);

  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  Mapping(int fd, size_t bytes);

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace distos_coll
