// How much CPU time some processes use while another thread stands aside for them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace distos_coll {

class CpuUse {
 public:
  // From now on counts what this process uses, too. One that cannot be seen (another pid namespace,
  // ended) counts nothing, nor does one too many.
  void add(int64_t pid);
  // By all of them together, each since it was added.
  int64_t used_ns() const;

 private:
  struct Counted {
    int clock = 0;
    int64_t from_ns = 0;
  };
  std::array<Counted, 16> counted_{};
  size_t n_ = 0;
};

}  // namespace distos_coll
