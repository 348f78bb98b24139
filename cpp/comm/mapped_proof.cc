#include "comm/mapped_proof.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/random.h"
#include "core/status.h"

namespace distos_coll {

UnixPeer identify_unix_peer(int socket) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0)
    throw_errno("SO_PEERCRED", errno);
  return {credentials.pid, credentials.uid, credentials.uid == geteuid()};
}

Fd open_pidfd(int64_t pid) {
  // Within one process (ranks as threads) it would fire only when nobody is left to see it.
  if (pid <= 0 || pid == getpid()) return Fd();
  return open_fd(
      [&] { return static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)); });
}

MappedProof::MappedProof(Mapping pair, size_t ring_bytes, int side)
    : pair_(std::move(pair)),
      ring_bytes_(ring_bytes),
      side_(side),
      mapped_secret_(random_u64()),
      private_secret_(std::make_unique<uint64_t>(random_u64())) {
  page()->nonce[side_].store(mapped_secret_, std::memory_order_release);
}

MappedProof MappedProof::create(size_t ring_bytes, Fd* memory) {
  return MappedProof(Mapping::create("distos_coll_pair", pair_bytes(ring_bytes), memory),
                     ring_bytes, 0);
}

MappedProof MappedProof::attach(const Fd& memory, size_t ring_bytes) {
  if (ring_bytes != usable_ring_bytes(ring_bytes)) {
    throw Error(Code::kInvalid, strf("a ring of %zu bytes is not possible", ring_bytes));
  }
  return MappedProof(Mapping::attach(memory, pair_bytes(ring_bytes)), ring_bytes, 1);
}

uint64_t MappedProof::read_mapped() const {
  return page()->nonce[1 - side_].load(std::memory_order_acquire);
}

std::optional<uint64_t> MappedProof::read_private(int64_t pid, uint64_t address) const {
  if (pid <= 0) return std::nullopt;
  uint64_t secret = 0;
  const iovec local{&secret, sizeof secret};
  const iovec remote{reinterpret_cast<void*>(address), sizeof secret};
  if (process_vm_readv(static_cast<pid_t>(pid), &local, 1, &remote, 1, 0) != sizeof secret)
    return std::nullopt;
  return secret;
}

std::unique_ptr<ShmLink> MappedProof::make_link(Doorbell* peer) && {
  return std::make_unique<ShmLink>(std::move(pair_), ring_bytes_, side_, peer);
}

}  // namespace distos_coll
