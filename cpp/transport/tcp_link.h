// One or several TCP connections as a link. Each frame goes whole over one of them, numbered, and
// the receiver delivers in the order of the numbers. Small frames keep to the first connection,
// large ones take turns. One whose next frame has not its turn yet is not read further than its
// buffer goes, so what waits is bounded, and the next frame in order is always the first of its
// connection.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/fd.h"
#include "transport/managed_link.h"
#include "transport/tcp_socket.h"

namespace distos_coll {

inline constexpr size_t kMaxSocketsPerPeer = 16;

// A departing peer waits until its last bytes are acknowledged; without this the kernel may take 40
// ms to do so.
void acknowledge_now(int socket);

class TcpLink final : public ManagedLink {
 public:
  // The sockets are connected and non-blocking, in the same order at both ends. `peer` is for
  // messages: "host b (10.0.0.2:4711)". `on_staged` is called (with the send lock held, so it must
  // be short) when bytes start to wait, so that sleepers watch for writability.
  TcpLink(std::vector<Fd> sockets, std::string peer, std::function<void()> on_staged);

  Code try_send(const FrameHeader& header, const void* payload) override;
  int poll(FrameSink& sink, int budget) override;
  bool broken() const override { return broken_.load(std::memory_order_acquire); }
  std::string why() const override;
  std::span<const int> sockets() const override { return fds_; }
  short waits_for(size_t socket) const override;
  bool wants_write() const override;
  const char* transport() const override { return "tcp"; }

  // In our buffers, beyond the budget of the last poll: the sockets would not say so.
  bool has_frames() const override { return pending_.load(std::memory_order_acquire); }
  void watch(int epoll, uint64_t token) override;
  void unwatch() override;
  int drain(FrameSink& sink) override;
  // Ends the streams too: the object may live on in a communicator, and the peer waits for the end.
  void close_sending() override;
  uint64_t accepted() const override { return accepted_.load(std::memory_order_acquire); }
  uint64_t delivered() const override { return delivered_.load(std::memory_order_acquire); }
  // True once the peer's kernel has acknowledged everything.
  bool flushed() override;

 private:
  using Sockets = std::vector<std::unique_ptr<TcpSocket>>;

  bool flush_staging();                      // needs send_mutex_; true when empty
  int receive(FrameSink& sink, int budget);  // needs poll_mutex_
  int deliver(FrameSink& sink, int budget);  // needs poll_mutex_
  void look_for_an_end();                    // needs poll_mutex_; after a look at all sockets
  void stop_sending(int error);
  void fail(const std::string& why);

  const std::string peer_;
  const std::function<void()> on_staged_;
  Sockets sockets_;
  std::vector<int> fds_;

  std::mutex send_mutex_;
  uint32_t send_order_ = 0;  // guarded by send_mutex_
  size_t next_socket_ = 0;   // guarded by send_mutex_: for the next large frame

  std::mutex poll_mutex_;
  uint32_t receive_order_ = 0;  // guarded by poll_mutex_
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
