// The process's side of communication: who the peers are, the links to them, how they are known to
// live. One per process in production; tests make one per thread, so that ranks may be threads. A
// runtime knows nothing of collectives: communicators register and are called back.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/doorbell.h"
#include "core/settings.h"
#include "core/status.h"
#include "transport/link.h"

namespace distos_coll {

using PeerUid = std::array<uint8_t, 16>;

// What a process tells others about itself through the store: identity, where to knock. Encoded as
// bytes; decode trusts nothing.
struct PeerCard {
  PeerUid uid{};
  // Who knows it may connect to the process. Travels through the store of a group, and over a link
  // only between processes that know each other's already.
  std::array<uint8_t, 32> secret{};
  std::string build;  // version of the library and of what it writes on wires
  int64_t pid = 0;
  std::string hostname;  // for people
  std::string
      host_id;  // boot id + settings.host_id: a hint that memory might be shared, never a proof
  // What links are measured under: settings.host_id where it is set, else the name.
  std::string host() const {
    const size_t slash = host_id.find('/');
    return slash + 1 < host_id.size() && slash != std::string::npos ? host_id.substr(slash + 1)
                                                                    : hostname;
  }
  std::string unix_name;  // abstract socket
  struct Address {
    std::string interface, ip;
    uint16_t port = 0;
  };
  std::vector<Address> addresses;  // TCP, best first

  std::string encode() const;
  // For those who have not proved anything yet.
  PeerCard without_secret() const;
  static PeerCard decode(const void* data, size_t bytes);  // throws Error(kInvalid)
};

enum class PeerState : int { kAlive = 0, kLeft, kDead };

// kWindow and kClose wait for the frames sent before them. comm/inquiry.h has kAsk, kTell and
// kAudit, comm/board.h kShow. The last three are the processes' own, of no group: comm/regions.h.
enum class ControlKind : uint16_t {
  kWindow = 1,
  kClose,
  kAbort,
  kAsk,
  kTell,
  kAudit,
  kShow,
  kRegion,        // with a descriptor: registered memory to map
  kRegionMapped,  // it is
  kRegionGone,    // it may be unmapped
};

// Another process, or this one (a rank may have itself as a peer only in tests). Shared by
// communicators.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual const PeerCard& card() const = 0;
  virtual Link& link() = 0;
  virtual bool mapped()
      const = 0;  // proved by handshake: fds passed, nonce read in each other's memory
  virtual bool single_copy() const = 0;  // proved: process_vm_readv of its nonce worked
  virtual int64_t pid() const = 0;       // as seen from here; for process_vm_readv
  virtual void ring() = 0;               // rings its doorbell if mapped
  virtual PeerState state() const = 0;
  virtual std::string why() const = 0;  // "process 4711 on host a ended", "no heartbeat for 1.5 s"
  // Queues a message on the control channel. It arrives after the frames that the link took before
  // this call (an abort: at once); fd is duplicated, and allowed for mapped peers only.
  // Never blocks.
  virtual void send_control(uint64_t comm, uint32_t source, ControlKind kind,
                            const std::string& payload, int fd) = 0;
};

// What a communicator hears. Called from the control thread (frames: from whoever polls); must
// return soon and must not call back into connect/register/unregister.
class CommEvents : public FrameSink {
 public:
  virtual void on_control(uint32_t source, ControlKind kind, const std::string& payload, Fd fd) = 0;
  virtual void on_peer_lost(const PeerUid& uid, PeerState state, const std::string& why) = 0;
};

class CpuUse;
class Regions;

class Runtime {
 public:
  // Starts listening and the control thread. Throws Error(kSystem) with the reason for every
  // address that could not be used.
  static std::shared_ptr<Runtime> create(const Settings& settings);
  virtual ~Runtime() = default;

  virtual const Settings& settings() const = 0;
  virtual const PeerCard& card() const = 0;

  // Establishes (or finds) the links to these processes; the others must call it too, in any order.
  // deadline_ns is on now_ns()'s clock. Throws Error naming, for each peer that failed, every
  // address tried and why it was rejected (kTimeout if all that failed merely did not come in
  // time). The result has the order of `cards`; null for this runtime's own card. `while_waiting`
  // is called about once a second with those that have not answered, and may throw.
  using WhileWaiting = std::function<void(const std::vector<PeerUid>&)>;
  virtual std::vector<std::shared_ptr<Peer>> connect(const std::vector<PeerCard>& cards,
                                                     int64_t deadline_ns,
                                                     const WhileWaiting& while_waiting = {}) = 0;

  // From here on the communicator hears its frames, control messages (those that came earlier are
  // delivered first, in order) and losses, those of before included. unregister returns only when
  // no callback is running, of this or another communicator: call neither with a lock held that a
  // callback takes.
  virtual void register_comm(uint64_t id, CommEvents* events) = 0;
  virtual void unregister_comm(uint64_t id) = 0;

  // The process's registered memory.
  virtual const std::shared_ptr<Regions>& regions() const = 0;

  // Polls every link once. Returns the number of frames delivered. Any thread.
  virtual int poll_links() = 0;

  // Another process of the host wants the CPU that this thread runs on, as far as they told; so who
  // waits should yield it. Tells them where this one runs.
  virtual bool shares_cpu() = 0;
  // Adds those processes.
  virtual void count_peers_here(CpuUse* use) = 0;
  // Wakes everybody who sleeps in this process.
  virtual void ring_self() = 0;
  // Sleeps until something may have changed (doorbell, socket) or timeout_us; see Doorbell::sleep
  // for `ready`.
  virtual void sleep(int64_t timeout_us, const std::function<bool()>& ready) = 0;

  // Says goodbye to all peers and stops. Idempotent.
  virtual void shutdown() = 0;
  // One line per peer: transport, interface, address, and the rejected candidates with their
  // reasons.
  virtual std::string describe() const = 0;
};

// Monotonic nanoseconds.
int64_t now_ns();

// A time plus so many milliseconds; a century at most, so that nothing overflows.
inline int64_t deadline_after(int64_t now, int64_t timeout_ms) {
  constexpr int64_t kCenturyMs = int64_t{100} * 365 * 24 * 3600 * 1000;
  return now + (timeout_ms < kCenturyMs ? timeout_ms : kCenturyMs) * 1'000'000;
}
inline int64_t deadline_after(int64_t timeout_ms) { return deadline_after(now_ns(), timeout_ms); }

}  // namespace distos_coll
