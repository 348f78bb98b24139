#include "comm/attempt.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/random.h"
#include "core/status.h"
#include "transport/interfaces.h"
#include "transport/tcp_link.h"

namespace distos_coll {
namespace {

std::string error_text(int error) { return std::generic_category().message(error); }

}  // namespace

Attempt::Attempt(HandshakeContext& context, const PeerCard& card, const PeerCard::Address* address)
    : context_(context),
      card_(card),
      address_(address != nullptr ? std::optional(*address) : std::nullopt),
      nonce_(random_u64()),
      n_sockets_(std::clamp<size_t>(context.settings.sockets_per_peer, 1, kMaxSocketsPerPeer)),
      control_seal_(handshake_key(card, context.job_key)) {}

std::string Attempt::way() const {
  return address_ ? address_->interface + " " + address_text(address_->ip, address_->port)
                  : "unix socket";
}

int Attempt::fd() const {
  if (connecting()) return connecting_.get();
  // After the data connection is done, control is watched again.
  return state_ == State::kDataWelcome ? data_->fd() : control_->fd();
}

uint32_t Attempt::events() const { return connecting() ? EPOLLOUT : EPOLLIN; }

void Attempt::fail(const std::string& why) {
  if (state_ == State::kFailed) return;
  state_ = State::kFailed;
  why_ = why;
}

void Attempt::start() {
  state_ = State::kConnecting;
  try {
    address_ ? connect_tcp() : connect_unix();
  } catch (const Error& error) {
    fail(error.what());
  }
}

void Attempt::connect_unix() {
  sockaddr_un address{};
  if (card_.unix_name.empty()) return fail("the peer has shared memory switched off");
  if (card_.unix_name.size() > sizeof address.sun_path - 1)
    return fail("the peer's socket name is too long");
  connecting_ =
      open_fd([] { return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
  if (!connecting_.valid()) return fail("cannot make a socket: " + error_text(errno));
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, card_.unix_name.data(), card_.unix_name.size());
  const auto bytes =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + card_.unix_name.size());
  if (connect(connecting_.get(), reinterpret_cast<sockaddr*>(&address), bytes) == 0)
    return on_connected();
  if (errno == EAGAIN) {
    state_ = State::kRetry;
    return;
  }
  fail(errno == ECONNREFUSED
           ? "connection refused (another network namespace, or the process has ended)"
           : error_text(errno));
}

void Attempt::connect_tcp() {
  sockaddr_storage address{};
  socklen_t bytes = 0;
  if (!to_sockaddr(address_->ip, address_->port, &address, &bytes))
    return fail("not an IP address");
  connecting_ = open_fd(
      [&] { return socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
  if (!connecting_.valid()) return fail("cannot make a socket: " + error_text(errno));
  set_no_delay(connecting_.get());
  if (connect(connecting_.get(), reinterpret_cast<sockaddr*>(&address), bytes) == 0)
    return on_connected();
  if (errno != EINPROGRESS) fail(error_text(errno));
}

void Attempt::step() {
  try {
    if (connecting()) {
      int error = 0;
      socklen_t bytes = sizeof error;
      getsockopt(connecting_.get(), SOL_SOCKET, SO_ERROR, &error, &bytes);
      return error == 0 ? on_connected() : fail(error_text(error));
    }
    ControlChannel& from = state_ == State::kDataWelcome ? *data_ : *control_;
    const State before = state_;
    const bool open = from.read([this, before](Message message) {
      on_message(std::move(message));
      return state_ == before;
    });
    if (state_ == State::kWelcomed) return go_on();
    if (!open && state_ == before) {
      fail(from.error().empty() ? "the other side closed the connection during the handshake"
                                : from.error());
    }
  } catch (const Error& error) {
    fail(error.what());
  }
}

void Attempt::on_connected() {
  const bool data = state_ == State::kDataConnecting;
  if (data) data_seal_.emplace(handshake_key(card_, context_.job_key));
  auto& channel = data ? data_ : control_;
  channel = std::make_unique<ControlChannel>(std::move(connecting_), !address_);
  state_ = data ? State::kDataWelcome : State::kWelcome;
  say_hello();
}

Handshake Attempt::base(Role role) const {
  Handshake out;
  out.role = role;
  out.from = context_.own.uid;
  out.to = card_.uid;
  out.nonce = nonce_;
  return out;
}

void Attempt::say_hello() {
  Handshake body = base(!address_ ? Role::kUnix : data_ ? Role::kTcpData : Role::kTcpControl);
  if (body.role != Role::kTcpData) body.card = context_.own.without_secret().encode();
  if (address_) body.socket = static_cast<uint16_t>(data_ ? data_sockets_.size() : n_sockets_);
  std::vector<Fd> fds;
  if (!address_) {
    const UnixPeer peer = identify_unix_peer(control_->fd());
    if (!peer.same_user) return fail(strf("the socket belongs to another user (%u)", peer.user));
    pid_ = peer.pid;
    pidfd_ = open_pidfd(pid_);
    body.ring_bytes = usable_ring_bytes(context_.settings.ring_bytes);
    fds = doorbell_fds(context_.bell);
    Fd memory;
    proof_ = MappedProof::create(body.ring_bytes, &memory);
    fds.push_back(std::move(memory));
    body.proof_address = proof_->proof_address();
    if (context_.settings.single_copy) body.flags |= kFlagSingleCopy;
  }
  Message hello = seal().close(MessageType::kHello, body);
  hello.fds = std::move(fds);
  channel().queue(std::move(hello));
  if (!channel().flush()) return fail(channel().error());
  // A fresh connection takes a few KiB at once; waiting for room would be one more state for
  // nothing.
  if (channel().wants_write()) fail("the connection did not take the hello");
}

void Attempt::on_message(Message message) {
  if (message.type == MessageType::kReject)
    return fail("rejected: " + printable_text(message.payload, 512));
  std::string why;
  const std::optional<Handshake> body = seal().open(message, &why);
  if (!body) return fail(why);
  if (body->from != card_.uid || body->to != context_.own.uid || body->nonce != nonce_) {
    return fail("another process answers at this address (wrong uid)");
  }
  ++answers_;
  if (state_ == State::kCommitted && message.type == MessageType::kCommitted) {
    single_copy_ = (body->flags & kFlagSingleCopy) != 0;
    state_ = State::kEstablished;
  } else if (state_ != State::kCommitted && message.type == MessageType::kWelcome) {
    on_welcome(*body, message);
  } else {
    fail(strf("message %u came out of turn", static_cast<unsigned>(message.type)));
  }
}

void Attempt::on_welcome(const Handshake& welcome, Message& message) {
  if (!address_) return answer_unix(welcome, message);
  state_ = State::kWelcomed;
}

// Not while the data connection is read, which hands it over.
void Attempt::go_on() {
  if (data_) {
    data_sockets_.push_back(data_->release());
    data_.reset();
    if (!data_sockets_.back().valid())
      return fail("bytes followed the welcome of a data connection");
  }
  if (data_sockets_.size() == n_sockets_) return commit(base(Role::kTcpControl));
  state_ = State::kDataConnecting;
  connect_tcp();
}

void Attempt::answer_unix(const Handshake& welcome, Message& message) {
  if (message.fds.size() != 2) return fail("the welcome came without its two descriptors");
  if (!proof_->mapped_echo_is_right(welcome.mapped_echo))
    return fail("the peer does not see the memory of the pair");
  bell_ = std::make_unique<Doorbell>(
      Doorbell::attach(std::move(message.fds[0]), std::move(message.fds[1])));
  Handshake body = base(Role::kUnix);
  body.mapped_echo = proof_->read_mapped();
  if (context_.settings.single_copy && (welcome.flags & kFlagSingleCopy) != 0 &&
      proof_->private_echo_is_right(welcome.private_echo)) {
    const auto secret = proof_->read_private(pid_, welcome.proof_address);
    body.private_echo = secret.value_or(0);
    if (secret) body.flags |= kFlagSingleCopy;
  }
  commit(std::move(body));
}

void Attempt::commit(Handshake body) {
  control_->queue(control_seal_.close(MessageType::kCommit, body));
  state_ = State::kCommitted;
  if (!control_->flush() || control_->wants_write()) fail("the connection did not take the commit");
}

Established Attempt::take() {
  Established out;
  out.card = card_;
  out.path = way();
  if (!address_) {
    out.pid = pid_;
    out.pidfd = std::move(pidfd_);
    out.single_copy = single_copy_;
    out.bell = std::move(bell_);
    out.link = std::move(*proof_).make_link(out.bell.get());
  } else {
    const std::string label = describe_process(card_) + " (" + way() + ")";
    out.link = std::make_unique<TcpLink>(std::move(data_sockets_), label, context_.on_staged);
  }
  out.control = std::move(control_);
  return out;
}

}  // namespace distos_coll
