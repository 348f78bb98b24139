#include "comm/memory.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "comm/communicator.h"

namespace distos_coll {

Code read_peer_memory(const Peer& peer, uint64_t address, void* dst, size_t bytes) {
  if (bytes == 0) return Code::kOk;
#ifndef __SANITIZE_THREAD__
  // Ranks that are threads of one process share the address space. ThreadSanitizer cannot see that
  // the window orders them: each rank maps it at another address.
  if (peer.pid() == getpid()) {
    std::memcpy(dst, reinterpret_cast<const void*>(address), bytes);
    return Code::kOk;
  }
#endif
  // The kernel pins pages piece by piece anyway; one call moves at most 2 GiB.
  constexpr size_t kMaxCall = size_t{1} << 30;
  auto* to = static_cast<char*>(dst);
  while (bytes > 0) {
    iovec local{to, std::min(bytes, kMaxCall)};
    iovec remote{reinterpret_cast<void*>(address), local.iov_len};
    const ssize_t got = process_vm_readv(static_cast<pid_t>(peer.pid()), &local, 1, &remote, 1, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == ESRCH ? Code::kPeerDied : Code::kSystem;
    if (got == 0) return Code::kSystem;
    to += got;
    address += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
  return Code::kOk;
}

MemoryUse Communicator::memory_use() {
  MemoryUse use;
  use.window = window_->own_bytes();
  use.window_touched = window_->own_bytes_touched();
  use.scratch = scratch_bytes_.load(std::memory_order_relaxed);
  use.queued = inbox_->queued_bytes() + matcher_->queued_bytes();
  use.registered = runtime_.regions()->bytes();
  return use;
}

}  // namespace distos_coll
