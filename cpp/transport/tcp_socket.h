// One connection of a TCP link: frames go in whole and come out whole. The socket never blocks:
// what the kernel does not take of an accepted frame waits in a staging buffer of at most one
// frame, so acceptance is all or nothing. One thread may send while another receives; the link sees
// to it that there are no more.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/fd.h"
#include "transport/frame_buffer.h"
#include "transport/link.h"

namespace distos_coll {

class TcpSocket {
 public:
  // Connected and non-blocking.
  explicit TcpSocket(Fd socket);

  int fd() const { return socket_.get(); }
  bool wants_write() const { return staged_.load(std::memory_order_acquire) != 0; }
  // Nothing can be read: its buffer is full of frames that wait for their turn, or it has ended.
  bool wants_no_read() const { return idle_.load(std::memory_order_acquire); }

  // ---- sending
  // kAgain: an earlier frame still waits. kPeerDied: see send_error().
  Code send(const FrameHeader& header, const void* payload);
  // True when nothing waits for the kernel any more.
  bool flush();
  int send_error() const { return send_error_; }
  void forget_staged() { staged_.store(0, std::memory_order_release); }
  // The peer's kernel has acknowledged everything.
  bool acknowledged() const;

  // ---- receiving
  FrameBuffer& received() { return received_; }
  // Reads once. True if there may be more.
  bool fill();
  // After a look at it: says whether it can be read, to sleepers and in the epoll set.
  void note_room();
  // It is in this epoll set while it can be read.
  void watch(int epoll, uint64_t token);
  void unwatch();
  bool ended() const { return ended_; }
  int receive_error() const { return receive_error_; }

 private:
  void stage(const std::byte* data, size_t bytes);
  void enter_epoll();
  void leave_epoll();

  Fd socket_;
  std::vector<std::byte> staging_;
  size_t staging_begin_ = 0;
  std::atomic<size_t> staged_{0};
  int send_error_ = 0;

  FrameBuffer received_;
  bool ended_ = false;
  int receive_error_ = 0;
  std::atomic<bool> idle_{false};
  int epoll_ = -1;
  uint64_t token_ = 0;
};

}  // namespace distos_coll
