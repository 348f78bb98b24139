#include "core/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/status.h"

namespace distos_coll {

Mapping::Mapping(int fd, size_t bytes) : size_(bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    throw_errno(
        strf(
            "cannot map %zu bytes of shared memory (is the memory limit of the container too low?)",
            bytes),
        errno);
  }
  data_ = static_cast<std::byte*>(at);
  if (madvise(at, bytes, MADV_DONTFORK) != 0) {
    const int error = errno;
    munmap(at, bytes);
    throw_errno("madvise(MADV_DONTFORK)", error);
  }
}

Mapping Mapping::create(const char* name, size_t bytes, Fd* memory) {
  Fd fd = open_fd([&] { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); });
  if (!fd.valid()) throw_errno("memfd_create", errno);
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    throw_errno(strf("cannot size shared memory to %zu bytes", bytes), errno);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw_errno("cannot seal shared memory", errno);
  }
  Mapping mapping(fd.get(), bytes);
  *memory = std::move(fd);
  return mapping;
}

Mapping Mapping::attach(const Fd& memory, size_t bytes) {
  const int seals = fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_GROW) == 0) {
    throw Error(Code::kInvalid, "the peer's shared memory is not sealed against resizing");
  }
  struct stat info{};
  if (fstat(memory.get(), &info) != 0) throw_errno("fstat of the peer's shared memory", errno);
  if (info.st_size < 0 || static_cast<size_t>(info.st_size) != bytes) {
    throw Error(Code::kInvalid, strf("the peer's shared memory has %lld bytes, expected %zu",
                                     static_cast<long long>(info.st_size), bytes));
  }
  return Mapping(memory.get(), bytes);
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  // In a forked child the range is not mapped (MADV_DONTFORK), and may hold something of the
  // child's by now.
  if (data_ != nullptr && !in_forked_child()) munmap(data_, size_);
}

}  // namespace distos_coll
