// What a person may set, as the core sees it. Python (distos_coll/settings.py) reads the
// environment, validates, and hands over one text of "name=value" lines; the core itself reads no
// environment but DISTOS_COLL_ISA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace distos_coll {

struct Settings {
  bool shm = true;              // transports: mapped memory between ranks of a host
  bool tcp = true;              // transports: sockets between hosts
  bool single_copy = true;      // process_vm_readv where the kernel allows it
  std::string interfaces;       // NCCL_SOCKET_IFNAME's grammar: "eth,ib", "^docker", "=eth0"
  std::string host_id;          // not empty: ranks with different values never share memory
  std::string job_key_file;     // what guards new connections against strangers; empty: the store
  size_t slot_bytes = 1 << 20;  // one window slot; a rank owns three per communicator
  size_t ring_bytes = 1 << 20;  // one direction of a shared-memory link
  size_t stream_credit = 1 << 20;  // bytes a sender may have unread at the receiver, per stream
  size_t sockets_per_peer = 1;     // TCP connections that carry a link's frames
  size_t eager_bytes = 32 << 10;   // largest point-to-point message sent without asking
  size_t eager_credit =
      1 << 20;  // unexpected bytes one peer may leave at a receiver, per communicator
  size_t registered_cache =
      256 << 20;               // bytes of registered memory kept after the caller let go of them
  int64_t spin_us = 50;        // busy waiting before the first yield
  int64_t yield_us = 200;      // yielding before sleep
  int64_t heartbeat_ms = 250;  // between hosts; a peer silent for six of them is dead
  int64_t death_grace_ms =
      300;  // how long operations that do not wait for a dead rank itself may still finish
  int64_t domain_limit =
      0;  // > 0: split domains into pieces of at most this many ranks (for tests and trials)

  std::string debug = "WARN";  // WARN or INFO: how much is logged
  std::string flight_file;  // what precedes the rank in the name of its flight record; empty: none
  std::string flight_signal;  // SIGUSR1 or SIGUSR2: has it written

  // Throws Error(kInvalid) naming the line.
  static Settings parse(const std::string& text);
};

}  // namespace distos_coll
