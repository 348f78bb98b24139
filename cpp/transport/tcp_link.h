// A TCP connection as a link. The socket never blocks: what the kernel does not take of an accepted
// frame waits in a staging buffer of at most one frame, so acceptance is all or nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/fd.h"
#include "transport/frame_buffer.h"
#include "transport/managed_link.h"

namespace distos_coll {

// A departing peer waits until its last bytes are acknowledged; without this the kernel may take 40
// ms to do so.
void acknowledge_now(int socket);

class TcpLink final : public ManagedLink {
 public:
  // `socket` is connected and non-blocking. `peer` is for messages: "host b (10.0.0.2:4711)".
  // `on_staged` is called (with the send lock held, so it must be short) when bytes start to wait,
  // so that sleepers watch for writability.
  TcpLink(Fd socket, std::string peer, std::function<void()> on_staged);

  Code try_send(const FrameHeader& header, const void* payload) override;
  int poll(FrameSink& sink, int budget) override;
  bool broken() const override { return broken_.load(std::memory_order_acquire); }
  std::string why() const override;
  int poll_fd() const override { return socket_.get(); }
  bool wants_write() const override { return staged_bytes_.load(std::memory_order_acquire) != 0; }
  const char* transport() const override { return "tcp"; }

  // In our buffer, beyond the budget of the last poll: the socket would not say so.
  bool has_frames() const override { return pending_.load(std::memory_order_acquire); }
  int drain(FrameSink& sink) override;
  // Ends the stream too: the object may live on in a communicator, and the peer waits for the end.
  void close_sending() override;
  uint64_t accepted() const override { return accepted_.load(std::memory_order_acquire); }
  uint64_t delivered() const override { return delivered_.load(std::memory_order_acquire); }
  // True once the peer's kernel has acknowledged everything.
  bool flushed() override;

 private:
  bool flush_staging();                             // needs send_mutex_; true when empty
  void stage(const std::byte* data, size_t bytes);  // needs send_mutex_
  int receive(FrameSink& sink, int budget);         // needs poll_mutex_
  bool fill();  // needs poll_mutex_; true if the socket may have more
  void stop_sending(int error);
  void fail(const std::string& why);

  Fd socket_;
  const std::string peer_;
  const std::function<void()> on_staged_;

  std::mutex send_mutex_;
  std::vector<std::byte> staging_;
  size_t staging_begin_ = 0;
  std::atomic<size_t> staged_bytes_{0};

  std::mutex poll_mutex_;
  FrameBuffer received_;
  std::atomic<bool> pending_{false};

  std::atomic<uint64_t> accepted_{0}, delivered_{0};

  // Two ends: after a failed send there may still be frames to receive, so only the receiving side
  // breaks the link.
  std::atomic<bool> broken_{false};
  std::atomic<bool> closed_{false};
  mutable std::mutex why_mutex_;
  std::string why_;
};

}  // namespace distos_coll
