#include "comm/inbound.h"

#include <algorithm>
#include <utility>

#include "core/status.h"
#include "transport/tcp_link.h"

namespace distos_coll {

Inbound::Inbound(HandshakeContext& context, Fd socket, bool is_unix, std::string from)
    : context_(context),
      channel_(std::make_unique<ControlChannel>(std::move(socket), is_unix)),
      seal_(handshake_key(context.own, context.job_key)),
      is_unix_(is_unix),
      from_(std::move(from)) {}

void Inbound::fail(const std::string& why) {
  if (state_ == State::kFailed || state_ == State::kEstablished) return;
  state_ = State::kFailed;
  why_ = why;
}

void Inbound::reject(const std::string& why) {
  channel_->queue(reject_message(why));
  channel_->flush();
  fail(why);
}

void Inbound::read() {
  const bool open = channel_->read([this](Message message) {
    std::string why;
    if (message.type == MessageType::kReject) {
      fail(printable_text(message.payload, 512));
    } else if (state_ == State::kHello && message.type == MessageType::kHello) {
      on_hello(std::move(message));
    } else if (state_ == State::kCommit && message.type == MessageType::kCommit) {
      const std::optional<Handshake> commit = seal_.open(message, &why);
      if (commit) {
        on_commit(*commit);
      } else {
        reject(why);
      }
    } else {
      fail(strf("message %u came out of turn", static_cast<unsigned>(message.type)));
    }
    return state_ == State::kCommit;
  });
  // What the peer says after its commit is read by whoever serves the connection next, its end
  // included.
  if (!open && state_ != State::kEstablished) {
    fail(channel_->error().empty() ? "the connection ended during the handshake"
                                   : channel_->error());
  }
}

void Inbound::on_hello(Message message) {
  std::string why;
  // Two hosts may have the same private address, so the wrong one may be asked in good faith.
  const std::optional<Handshake> claims = Seal::claims(message, &why);
  if (claims && claims->to != context_.own.uid)
    return reject("another process answers at this address (wrong uid)");
  std::optional<Handshake> hello = seal_.open(message, &why);
  if (!hello) return reject(why);
  if ((hello->role == Role::kUnix) != is_unix_ || hello->role == Role::kStore)
    return reject("the hello is for another kind of connection");
  if (hello->role == Role::kTcpData) {
    hello_ = std::move(hello);
    state_ = State::kData;
    return;
  }
  try {
    card_ = PeerCard::decode(hello->card.data(), hello->card.size());
    if (card_.uid != hello->from) return reject("the card in the hello is of another process");
    // Otherwise both could open, and neither would know which connection to keep.
    if (!(hello->from < hello->to))
      return reject("the process with the smaller uid opens connections");
    if (const std::string refusal = context_.refusal(hello->from); !refusal.empty())
      return reject(refusal);
    hello_ = std::move(hello);
    if (is_unix_) {
      welcome_unix(std::move(message));
    } else {
      welcome_tcp();
    }
  } catch (const Error& error) {
    reject(error.what());
  }
}

void Inbound::answer(MessageType type, const Handshake& body, std::vector<Fd> fds) {
  Message message = seal_.close(type, body);
  message.fds = std::move(fds);
  channel_->queue(std::move(message));
  channel_->flush();
}

Handshake Inbound::reply() const {
  Handshake out;
  out.role = hello_->role;
  out.from = context_.own.uid;
  out.to = hello_->from;
  out.nonce = hello_->nonce;
  return out;
}

void Inbound::welcome_unix(Message message) {
  if (message.fds.size() != kMaxMessageFds)
    return reject("the hello came without its three descriptors");
  const UnixPeer peer = identify_unix_peer(channel_->fd());
  if (!peer.same_user) return reject(strf("it belongs to another user (%u)", peer.user));
  pid_ = peer.pid;
  pidfd_ = open_pidfd(pid_);
  bell_ = std::make_unique<Doorbell>(
      Doorbell::attach(std::move(message.fds[0]), std::move(message.fds[1])));
  proof_ = MappedProof::attach(message.fds[2], hello_->ring_bytes);

  Handshake body = reply();
  body.mapped_echo = proof_->read_mapped();
  body.proof_address = proof_->proof_address();
  if (context_.settings.single_copy && (hello_->flags & kFlagSingleCopy) != 0) {
    const auto secret = proof_->read_private(pid_, hello_->proof_address);
    single_copy_ = secret.has_value();
    body.private_echo = secret.value_or(0);
    if (single_copy_) body.flags |= kFlagSingleCopy;
  }
  answer(MessageType::kWelcome, body, doorbell_fds(context_.bell));
  state_ = State::kCommit;
}

void Inbound::welcome_tcp() {
  if (hello_->socket < 1 || hello_->socket > kMaxSocketsPerPeer)
    return reject(
        strf("a link has 1 to %zu data connections, not %u", kMaxSocketsPerPeer, hello_->socket));
  data_sockets_.resize(hello_->socket);
  answer(MessageType::kWelcome, reply());
  state_ = State::kCommit;
}

bool Inbound::expects(const Handshake& data_hello) const {
  return state_ == State::kCommit && !is_unix_ && hello_->from == data_hello.from &&
         hello_->nonce == data_hello.nonce && data_hello.socket < data_sockets_.size() &&
         !data_sockets_[data_hello.socket].valid();
}

void Inbound::adopt(Inbound& data) {
  data.answer(MessageType::kWelcome, reply());
  if (data.channel_->wants_write()) return fail("the data connection broke at once");
  Fd& socket = data_sockets_[data.hello_->socket];
  socket = data.channel_->release();
  if (!socket.valid()) fail("bytes followed the hello of the data connection");
}

void Inbound::on_commit(const Handshake& commit) {
  if (commit.from != hello_->from || commit.nonce != hello_->nonce)
    return reject("the commit is of another handshake");
  // It may have become a peer in the meantime, by another connection.
  if (const std::string refusal = context_.refusal(hello_->from); !refusal.empty())
    return reject(refusal);
  Handshake body = reply();
  if (is_unix_) {
    if (!proof_->mapped_echo_is_right(commit.mapped_echo))
      return reject("it does not see the memory of the pair");
    single_copy_ = single_copy_ && (commit.flags & kFlagSingleCopy) != 0 &&
                   proof_->private_echo_is_right(commit.private_echo);
    if (single_copy_) body.flags |= kFlagSingleCopy;
  } else if (!std::all_of(data_sockets_.begin(), data_sockets_.end(),
                          [](const Fd& each) { return each.valid(); })) {
    return reject("the commit came before the data connections");
  }
  answer(MessageType::kCommitted, body);
  state_ = State::kEstablished;
}

Established Inbound::take() {
  Established out;
  out.card = card_;
  if (is_unix_) {
    out.pid = pid_;
    out.pidfd = std::move(pidfd_);
    out.single_copy = single_copy_;
    out.path = "unix socket (accepted)";
    out.bell = std::move(bell_);
    out.link = std::move(*proof_).make_link(out.bell.get());
  } else {
    out.path = from_ + " (accepted)";
    set_no_delay(channel_->fd());
    const std::string label = describe_process(card_) + " (" + from_ + ")";
    out.link = std::make_unique<TcpLink>(std::move(data_sockets_), label, context_.on_staged);
  }
  out.control = std::move(channel_);
  return out;
}

}  // namespace distos_coll
