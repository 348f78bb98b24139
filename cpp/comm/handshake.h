// How two processes become peers. Of a pair, the one with the smaller uid opens. On one host it
// tries the Unix socket first:
//
//   opener                                   accepter
//   hello   {card, fds: bell, event, pair} ->           maps, reads the opener's secrets
//           <- welcome {echoes, fds: bell, event}       has written its own secrets
//   commit  {echoes}                       ->           checks, makes the peer
//           <- committed {single copy?}                 the opener makes the peer
//
// Else TCP, several connections to the same address: control (hello, welcome), then one after the
// other as many for data as the hello said (hello, welcome), then commit and committed on control.
// Everything runs on the control thread as state machines; nothing blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/peer.h"
#include "comm/reactor.h"
#include "comm/wire.h"
#include "core/doorbell.h"

namespace distos_coll {

inline constexpr int64_t kSecondNs = 1'000'000'000;
// A connection that has not said a valid hello by then is a stranger's.
inline constexpr int64_t kHelloTimeoutNs = 2 * kSecondNs;
// The rest of an accepted handshake; unless the opener gives up first.
inline constexpr int64_t kHandshakeTimeoutNs = 30 * kSecondNs;
// How long the opener waits for each answer.
inline constexpr int64_t kCandidateTimeoutNs = 2 * kSecondNs;
inline constexpr size_t kMaxHalfOpen = 256;

// What both halves need from the runtime.
struct HandshakeContext {
  Reactor& reactor;
  const Settings& settings;
  const PeerCard& own;
  const Doorbell& bell;
  const std::string job_key;        // empty: none
  std::function<void()> on_staged;  // for TcpLink
  // Why no connection with this process is wanted; empty if one is.
  std::function<std::string(const PeerUid&)> refusal;
  std::function<void(Established)> on_established;
  std::function<void(const PeerUid&, const std::string& why)> on_inbound_failed;
  std::function<void(const PeerUid&, const std::vector<std::string>& why)> on_outbound_failed;
};

class Inbound;
class Outbound;

// The accepting half.
class Accepter {
 public:
  explicit Accepter(HandshakeContext& context);
  ~Accepter();

  // Opens the listeners and fills unix_name and addresses of *card. Returns the addresses not
  // offered, with reasons. Throws Error(kSystem) naming them if no way to reach this process is
  // left.
  std::vector<std::string> listen(const Settings& settings, PeerCard* card);
  // After listen(), from the control thread on.
  void start();
  void stop();
  int64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  struct Listener {
    Fd socket;
    bool is_unix = false;
    Reactor::Token token = 0;
  };
  void listen_unix(PeerCard* card);
  void accept_from(Listener& listener);
  void pause(Listener& listener);
  void admit(Fd socket, bool is_unix, std::string from);
  void make_room();
  void step(uint64_t id);
  void settle(uint64_t id);
  void expire(uint64_t id);
  void drop(uint64_t id, const std::string& why);

  HandshakeContext& context_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::map<uint64_t, std::unique_ptr<Inbound>> inbound_;  // by age
  uint64_t next_id_ = 1;
  std::atomic<int64_t> dropped_{0};
};

// The opening half.
class Opener {
 public:
  explicit Opener(HandshakeContext& context);
  ~Opener();

  // Tries every way to reach the process until deadline_ns; joins an attempt in progress.
  void open(const PeerCard& card, int64_t deadline_ns);
  void stop();

 private:
  friend class Outbound;
  void step(const PeerUid& uid, uint32_t events);
  void expire(const PeerUid& uid);
  void settle(const PeerUid& uid);

  HandshakeContext& context_;
  std::map<PeerUid, std::unique_ptr<Outbound>> outbound_;
};

// For both halves.
Message reject_message(const std::string& why);
std::string socket_address_text(int socket, bool peer_side);
void set_no_delay(int socket);
// The descriptors of our doorbell, duplicated for a message.
std::vector<Fd> doorbell_fds(const Doorbell& bell);

}  // namespace distos_coll
