// One try to reach a process by one way, seen from the opening side.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/handshake.h"
#include "comm/mapped_proof.h"
#include "comm/seal.h"

namespace distos_coll {

class Attempt {
 public:
  enum class State {
    kConnecting,  // control connection (the only one for Unix)
    kWelcome,
    kDataConnecting,  // TCP only
    kDataWelcome,
    kWelcomed,     // TCP, within a step: the next connection is due, or the commit
    kCommitted,    // our commit is on its way: the accepter may have made the peer, so there is no
                   // way back
    kEstablished,  // take() it
    kRetry,        // the listener's queue is full for the moment
    kFailed,       // why() says how
  };

  // address: null for the Unix socket.
  Attempt(HandshakeContext& context, const PeerCard& card, const PeerCard::Address* address);

  // The descriptor to watch now, and for what. It changes between steps.
  int fd() const;
  uint32_t events() const;
  State state() const { return state_; }
  const std::string& why() const { return why_; }
  // How many messages have come from the process that was looked for.
  int answers() const { return answers_; }
  std::string way() const;  // for people: "unix socket", "eth0 10.0.0.2:4711"

  void start();
  void step();
  void fail(const std::string& why);
  Established take();

 private:
  bool connecting() const {
    return state_ == State::kConnecting || state_ == State::kDataConnecting;
  }
  void connect_unix();
  void connect_tcp();
  void on_connected();
  void say_hello();
  void on_message(Message message);
  void on_welcome(const Handshake& welcome, Message& message);
  void go_on();
  void answer_unix(const Handshake& welcome, Message& message);
  void commit(Handshake body);
  Handshake base(Role role) const;
  ControlChannel& channel() const { return *(data_ ? data_ : control_); }
  Seal& seal() { return data_ ? *data_seal_ : control_seal_; }

  HandshakeContext& context_;
  const PeerCard& card_;
  const std::optional<PeerCard::Address> address_;
  const uint64_t nonce_;
  const size_t n_sockets_;  // TCP: data connections wanted
  State state_ = State::kConnecting;
  std::string why_;
  int answers_ = 0;
  Fd connecting_;
  std::unique_ptr<ControlChannel> control_, data_;
  Seal control_seal_;
  std::optional<Seal> data_seal_;  // of the data connection under way
  std::vector<Fd> data_sockets_;   // one after the other

  // Unix
  std::optional<MappedProof> proof_;
  std::unique_ptr<Doorbell> bell_;
  int64_t pid_ = 0;
  Fd pidfd_;
  bool single_copy_ = false;
};

}  // namespace distos_coll
