// Single copy: reading a peer's private memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/runtime.h"

namespace distos_coll {

// Copies `bytes` from `address` in the peer's memory. kPeerDied if the process is gone, kSystem if
// the kernel refuses.
Code read_peer_memory(const Peer& peer, uint64_t address, void* dst, size_t bytes);

}  // namespace distos_coll
