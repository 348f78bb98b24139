// Memory and comparisons for the tests of the reduction kernels.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "tests/reduce_oracle.h"

namespace distos_coll::oracle {

// Ends where mapped memory ends, so that a read or write too far faults in every build;
// AddressSanitizer does not look into masked vector instructions.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t usable = (bytes + page - 1) / page * page;
    mapped_bytes_ = usable + page;
    void* memory =
        mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mapped_ = static_cast<char*>(memory);
    data_ = mapped_ + usable - bytes;
    if (mprotect(mapped_ + usable, page, PROT_NONE) != 0) throw std::bad_alloc();
  }
  Buffer(Buffer&& other) noexcept
      : bytes_(other.bytes_),
        mapped_bytes_(other.mapped_bytes_),
        mapped_(std::exchange(other.mapped_, nullptr)),
        data_(other.data_) {}
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() {
    if (mapped_ != nullptr) munmap(mapped_, mapped_bytes_);
  }

  char* tail(size_t bytes) { return data_ + bytes_ - bytes; }
  char* data() { return data_; }
  const char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  size_t mapped_bytes_ = 0;
  char* mapped_ = nullptr;
  char* data_ = nullptr;
};

// Equal bits, or both NaN; of complex numbers each part by itself.
inline bool same(DType dtype, const char* a, const char* b) {
  if (is_complex(dtype)) {
    const DType part = part_of(dtype);
    const size_t size = dtype_bytes(part);
    return same(part, a, b) && same(part, a + size, b + size);
  }
  if (std::memcmp(a, b, dtype_bytes(dtype)) == 0) return true;
  return is_floating(dtype) && std::isnan(read_float(dtype, a)) && std::isnan(read_float(dtype, b));
}

inline std::string bytes_text(const char* data, size_t size) {
  std::string text;
  for (size_t i = size; i-- > 0;) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(data[i]));
    text += digits;
  }
  return text;
}

inline ::testing::AssertionResult equal(DType dtype, const char* got, const char* expected,
                                        size_t count) {
  const size_t size = dtype_bytes(dtype);
  for (size_t i = 0; i < count; ++i) {
    if (!same(dtype, got + i * size, expected + i * size)) {
      return ::testing::AssertionFailure()
             << "element " << i << " of " << count << ": got 0x" << bytes_text(got + i * size, size)
             << ", expected 0x" << bytes_text(expected + i * size, size);
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace distos_coll::oracle
