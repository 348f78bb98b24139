// What a group is made with, and what it finds out about its members.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "comm/runtime.h"
#include "core/fd.h"
#include "core/status.h"

namespace distos_coll {

struct CommunicatorOptions {
  int rank = 0;
  int size = 1;
  int64_t timeout_ms = 1'800'000;
  std::string name = "default";
  std::vector<int> job_ranks = {};  // of the group's ranks, for reports; empty: the same numbers

  int job_rank(int of) const { return job_ranks.empty() ? of : job_ranks[static_cast<size_t>(of)]; }
};

// What each rank is to this one.
struct MemberInfo {
  int domain = 0;
  bool mapped = false;
  bool single_copy = false;
  int cores = 0;     // that the ranks of its domain may use together
  std::string host;  // DISTOS_COLL_HOST_ID where it is set, for it tells hosts apart; else the name

  // As dc_comm_topology's domain_bits.
  int32_t bits() const { return (mapped ? 1 : 0) | (single_copy ? 2 : 0) | cores << 8; }
};

// What a group holds here, in bytes; docs/memory.md has the bounds.
struct MemoryUse {
  size_t window = 0;          // shared memory reserved for the other ranks of the domain
  size_t window_touched = 0;  // of which pages exist
  size_t scratch = 0;         // temporary copies, kept for the next operation
  size_t queued = 0;          // arrived, and no operation has taken it
  size_t registered = 0;      // of the whole process: registered memory, in use or kept
};

// A member that ended or closed the group.
struct Loss {
  PeerState state = PeerState::kAlive;
  std::string why;
  int64_t at_ns = 0;
};

// What a group knows of its members' ends and of its own.
struct GroupState {
  explicit GroupState(int size)
      : losses(static_cast<size_t>(size)), early_windows(static_cast<size_t>(size)) {}

  std::mutex mutex;          // all below but the atomics; held for moments
  std::vector<Loss> losses;  // by rank
  std::atomic<int> lost{0};  // how many of them are not alive
  Code broken_code = Code::kOk;
  std::string broken_why;
  std::atomic<bool> broken{false};
  std::vector<Fd> early_windows;  // by rank, between on_control and set-up's attach
  std::condition_variable window_arrived;
};

}  // namespace distos_coll
