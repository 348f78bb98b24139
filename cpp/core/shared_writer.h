// Copies into memory that another core has read and will read again.
//
// An ordinary store must first take the line from the cache of whoever read it. Where two cores
// share a cache that is the fastest way. Where they do not (other cores of an EPYC, another socket)
// it runs at 2.3 GB/s on the machine that docs/results/stores.md was measured on, and stores that
// go past the caches at 48 GB/s, while what they cost the reader is the same. Nobody says which
// cores a process runs on, least of all on a virtual machine, and it changes while it runs. So each
// writer times its own stores and keeps to what is faster now.
#pragma once

#include <cstddef>
#include <cstdint>

namespace distos_coll {

class SharedWriter {
 public:
  // The first guess.
  explicit SharedWriter(bool streams = false) : streams_(streams) {}

  // Ordered before a later release store, whichever way it goes.
  void copy(void* dst, const void* src, size_t bytes);

 private:
  void copy_and_time(std::byte* dst, const std::byte* src, size_t bytes);
  void judge(size_t bytes, int64_t ns);

  bool streams_;
  int slow_ = 0;         // ordinary copies that were, one after the other
  uint32_t copies_ = 0;  // that were streamed, but for the tries among them
};

}  // namespace distos_coll
