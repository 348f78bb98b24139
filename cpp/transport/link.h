// A link carries frames to one peer process: ordered, reliable, bounded, shared by all
// communicators of the process. Everything above (programs' streams, matching, credits) is written
// once over this interface; what differs between shared memory and TCP stays below it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/status.h"

namespace distos_coll {

// What a frame is for. Values are on the wire.
enum class FrameKind : uint16_t {
  kStream = 1,   // bytes of a program's stream; lane in `lane`
  kCredit,       // a = bytes of stream credit given back, lane in `lane`
  kEager,        // point to point, whole message; a = tag
  kEagerCredit,  // a = bytes of eager credit given back
  kRts,          // ready to send: a = tag, b = message id, c = bytes
  kCts,          // clear to send: b = message id
  kData,         // bytes of message b
};

// 48 bytes, little-endian, at the start of every frame.
struct FrameHeader {
  uint64_t comm = 0;    // communicator id, the same on all of its ranks
  uint32_t source = 0;  // sender's rank in that communicator
  uint32_t bytes = 0;   // payload that follows
  FrameKind kind = FrameKind::kStream;
  uint16_t lane = 0;
  uint32_t order = 0;  // set by TCP links, whose frames may come over several sockets
  uint64_t a = 0, b = 0, c = 0;
};
static_assert(sizeof(FrameHeader) == 48);

// Payload of one frame at most. A multiple of 16, so that elements are never split.
inline constexpr size_t kMaxFramePayload = 64 * 1024;

class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // The payload is valid during the call only, and may be unaligned.
  virtual void on_frame(const FrameHeader& header, const std::byte* payload) = 0;
};

class Link {
 public:
  virtual ~Link() = default;

  // Takes the whole frame (kOk), or nothing (kAgain: full; kPeerDied: the peer is gone). After kOk
  // the payload memory belongs to the caller again. Thread-safe; never blocks.
  virtual Code try_send(const FrameHeader& header, const void* payload) = 0;

  // Pushes out what try_send accepted but the wire did not take yet, and delivers frames that have
  // arrived, at most `budget` of them. Returns how many frames it delivered. Thread-safe: a second
  // caller returns 0 at once. A broken link delivers nothing and reports through broken().
  virtual int poll(FrameSink& sink, int budget) = 0;

  // False until the link has failed for good; then why() says how.
  virtual bool broken() const = 0;
  virtual std::string why() const = 0;

  // What poll() reads from; none for links that ring the doorbell instead.
  virtual std::span<const int> sockets() const = 0;
  // What a sleeper watches sockets()[i] for, as poll(2) writes it; 0: nothing.
  virtual short waits_for(size_t i) const = 0;
  // Bytes wait for the wire on one of them.
  virtual bool wants_write() const = 0;

  virtual const char* transport() const = 0;  // "shm", "tcp"
};

}  // namespace distos_coll
