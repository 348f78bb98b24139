// The streams of one communicator: what programs send and receive, as frames over the members'
// links, with credit.
//
// Every stream (peer, lane) may have `credit` unread bytes at its receiver. Bytes that arrive are
// consumed into the posted sink at once, or kept until one is posted; either way their credit
// returns when they are consumed. So links are always read, and a group that is slow never blocks
// another.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "comm/runtime.h"
#include "exec/streams.h"

namespace distos_coll {

class Inbox final : public exec::Streams {
 public:
  // peers by rank; this rank's own entry is null.
  Inbox(uint64_t comm, int rank, std::vector<std::shared_ptr<Peer>> peers, size_t credit);

  // Before the first send: programs use lanes 0 .. n - 1.
  void reserve_lanes(int n);

  Code send(int peer, int lane, Signature signature, size_t total, const std::byte* data,
            size_t bytes, size_t* sent) override;
  void post(int peer, int lane, exec::Sink* sink) override;
  void cancel(int peer, int lane) override;

  // Frames of kind kStream and kCredit. Returns false if the peer broke the protocol.
  bool on_stream(const FrameHeader& header, const std::byte* payload);
  bool on_credit(const FrameHeader& header);

  // Returns credit that a full link refused before. True if something was sent.
  bool flush_credit();
  // Of bytes that came before an operation asked for them.
  size_t queued_bytes();

 private:
  struct Chunk {
    std::vector<std::byte> bytes;
    size_t read = 0;
    Signature signature;
    size_t total = 0;
  };
  struct Stream {
    std::atomic<int64_t> credit{0};  // that we may still send
    // Receiving side, under mutex_.
    exec::Sink* first = nullptr;
    exec::Sink* last = nullptr;
    std::deque<Chunk> pending;
    size_t pending_bytes = 0;
    size_t owed = 0;  // consumed, not yet given back
  };

  Stream* stream(uint32_t peer, int lane);
  // Moves bytes into posted sinks; returns how many were consumed.
  size_t feed(Stream& stream, const std::byte* data, size_t bytes, Signature signature,
              size_t total);
  void drain_pending(Stream& stream);
  void give_back(uint32_t peer, int lane, Stream& stream);

  const uint64_t comm_;
  const int rank_;
  const std::vector<std::shared_ptr<Peer>> peers_;
  const size_t credit_;
  int lanes_ = 0;
  std::mutex mutex_;
  std::unique_ptr<Stream[]> streams_;
  std::atomic<bool> credit_waits_{false};
};

}  // namespace distos_coll
