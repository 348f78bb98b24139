// A control connection: messages in and out over a non-blocking socket. Used by the control thread
// only.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "comm/wire.h"
#include "core/fd.h"

namespace distos_coll {

class ControlChannel {
 public:
  // packets: the socket keeps message boundaries and passes descriptors (SOCK_SEQPACKET); else a
  // stream.
  ControlChannel(Fd socket, bool packets) : socket_(std::move(socket)), packets_(packets) {}

  int fd() const { return socket_.get(); }
  void queue(Message message);
  // Sends what the kernel takes. False once the connection is broken.
  bool flush();
  bool wants_write() const { return !out_.empty(); }
  size_t queued() const { return out_.size(); }

  // Reads what has arrived and hands over whole messages, until `on_message` returns false or
  // nothing is left. False once the connection has ended or is broken; error() is empty after an
  // orderly end.
  bool read(const std::function<bool(Message)>& on_message);
  const std::string& error() const { return error_; }
  // From here on longer messages are accepted: the peer is no stranger any more.
  void trust() { max_payload_ = kMaxMessagePayload; }
  // The bare socket, for a data connection after its handshake. Invalid if bytes beyond the
  // handshake were read.
  Fd release();

 private:
  struct Outgoing {
    std::string bytes;
    std::vector<Fd> fds;
    size_t sent = 0;
  };
  ssize_t send_one(Outgoing& out);
  bool read_packets(const std::function<bool(Message)>& on_message);
  bool read_stream(const std::function<bool(Message)>& on_message);
  bool fail(const std::string& why);

  Fd socket_;
  const bool packets_;
  size_t max_payload_ = kMaxHandshakePayload;
  std::deque<Outgoing> out_;
  std::string in_;
  std::string error_;
};

}  // namespace distos_coll
