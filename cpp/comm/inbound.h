// One connection on its way to becoming a peer, seen from the accepting side.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "comm/handshake.h"
#include "comm/mapped_proof.h"
#include "comm/seal.h"

namespace distos_coll {

class Inbound {
 public:
  enum class State {
    kHello,        // nothing valid has come yet
    kCommit,       // welcomed; the opener's commit is missing (and for TCP its data connection)
    kData,         // a data connection, to be joined with its control connection
    kEstablished,  // take() it
    kFailed,       // why() says how
  };

  Inbound(HandshakeContext& context, Fd socket, bool is_unix, std::string from);

  int fd() const { return channel_->fd(); }
  State state() const { return state_; }
  const std::string& why() const { return why_; }
  const std::string& from() const { return from_; }
  // Known once the hello was valid.
  const std::optional<Handshake>& hello() const { return hello_; }

  // Reads and answers what has arrived.
  void read();
  void fail(const std::string& why);

  // For a TCP control connection: is this one of its data connections?
  bool expects(const Handshake& data_hello) const;
  // Welcomes the data connection and joins it.
  void adopt(Inbound& data);
  Established take();

  Reactor::Token watch = 0, timer = 0;  // the accepter's

 private:
  void answer(MessageType type, const Handshake& body, std::vector<Fd> fds = {});
  void on_hello(Message message);
  void welcome_unix(Message message);
  void welcome_tcp();
  void on_commit(const Handshake& commit);
  // Tells the opener why before failing.
  void reject(const std::string& why);
  Handshake reply() const;

  HandshakeContext& context_;
  std::unique_ptr<ControlChannel> channel_;
  Seal seal_;
  const bool is_unix_;
  const std::string from_;
  State state_ = State::kHello;
  std::string why_;
  std::optional<Handshake> hello_;
  PeerCard card_;

  // Unix
  std::optional<MappedProof> proof_;
  std::unique_ptr<Doorbell> bell_;
  int64_t pid_ = 0;
  Fd pidfd_;
  bool single_copy_ = false;
  // TCP
  std::vector<Fd> data_sockets_;  // as many as the hello said, invalid until they have come
};

}  // namespace distos_coll
