// Proof that two processes share memory, and that they can read each other's: each side writes one
// secret into the pair's pages and keeps another in its private memory; who echoes a secret has
// read it. Nothing is inferred from host names or namespaces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/fd.h"
#include "core/mapping.h"
#include "transport/shm_link.h"

namespace distos_coll {

// Who is at the other end of a Unix socket, by the kernel's word.
struct UnixPeer {
  int64_t pid =
      0;  // as seen from here; 0 when the kernel has no number for it in our pid namespace
  uint32_t user = 0;
  bool same_user = false;
};
UnixPeer identify_unix_peer(int socket);

// Invalid where the kernel has none (before 5.3) or for this process itself.
Fd open_pidfd(int64_t pid);

class MappedProof {
 public:
  // Side 0: makes the memory of the pair.
  static MappedProof create(size_t ring_bytes, Fd* memory);
  // Side 1. Throws Error if the memory is not what it should be.
  static MappedProof attach(const Fd& memory, size_t ring_bytes);

  uint64_t proof_address() const { return reinterpret_cast<uint64_t>(private_secret_.get()); }
  // What the other side wrote into the pair's pages.
  uint64_t read_mapped() const;
  // What it keeps at `address`; nothing if the kernel refuses.
  std::optional<uint64_t> read_private(int64_t pid, uint64_t address) const;

  bool mapped_echo_is_right(uint64_t echo) const { return echo == mapped_secret_; }
  bool private_echo_is_right(uint64_t echo) const { return echo == *private_secret_; }

  std::unique_ptr<ShmLink> make_link(Doorbell* peer) &&;

 private:
  MappedProof(Mapping pair, size_t ring_bytes, int side);
  PairPage* page() const { return reinterpret_cast<PairPage*>(pair_.data()); }

  Mapping pair_;
  size_t ring_bytes_;
  int side_;
  uint64_t mapped_secret_;
  std::unique_ptr<uint64_t> private_secret_;
};

}  // namespace distos_coll
