#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "comm/handshake.h"
#include "comm/inbound.h"
#include "comm/sockets.h"
#include "core/log.h"
#include "core/status.h"
#include "transport/interfaces.h"

namespace distos_coll {
namespace {

constexpr int kAcceptsPerTurn = 64;  // so that a flood of connections does not starve heartbeats
constexpr int64_t kAcceptPauseNs = 100'000'000;
LogLimit g_drop_log(5);

std::string error_text(int error) { return std::generic_category().message(error); }

}  // namespace

Accepter::Accepter(HandshakeContext& context) : context_(context) {}
Accepter::~Accepter() = default;

std::vector<std::string> Accepter::listen(const Settings& settings, PeerCard* card) {
  std::vector<std::string> rejected;
  if (settings.shm) {
    try {
      listen_unix(card);
    } catch (const Error& error) {
      if (!settings.tcp) throw;
      rejected.push_back(std::string("unix socket: ") + error.what());
    }
  }
  if (settings.tcp) {
    const AddressChoice choice = choose_addresses(list_addresses(), settings.interfaces);
    for (const RejectedAddress& each : choice.rejected) {
      rejected.push_back(each.interface + " " + each.ip + ": " + each.reason);
    }
    for (const InterfaceAddress& each : choice.usable) {
      auto listener = std::make_unique<Listener>();
      uint16_t port = 0;
      std::string why;
      listener->socket = listen_tcp(each.ip, &port, &why);
      if (!listener->socket.valid()) {
        rejected.push_back(each.interface + " " + each.ip + ": " + why);
        continue;
      }
      listeners_.push_back(std::move(listener));
      card->addresses.push_back({each.interface, each.ip, port});
    }
  }
  if (!listeners_.empty()) return rejected;
  std::string text = "no other process could reach this one: ";
  text += settings.tcp || settings.shm ? "no address is usable"
                                       : "both transports (shm, tcp) are switched off";
  for (const std::string& each : rejected) text += "; " + each;
  throw Error(Code::kSystem, text + ". Check the interface and transport settings");
}

void Accepter::listen_unix(PeerCard* card) {
  std::string name = "distos_coll.";
  for (const uint8_t byte : card->uid) name += strf("%02x", byte);
  auto listener = std::make_unique<Listener>();
  listener->is_unix = true;
  std::string why;
  listener->socket = distos_coll::listen_unix(name, &why);
  if (!listener->socket.valid()) throw Error(Code::kSystem, why);
  card->unix_name = name;
  listeners_.push_back(std::move(listener));
}

void Accepter::start() {
  for (const auto& listener : listeners_) {
    listener->token =
        context_.reactor.watch(listener->socket.get(), EPOLLIN,
                               [this, at = listener.get()](uint32_t) { accept_from(*at); });
  }
}

void Accepter::stop() {
  for (const auto& listener : listeners_) context_.reactor.unwatch(listener->token);
  listeners_.clear();
  for (auto& [id, inbound] : inbound_) {
    context_.reactor.unwatch(inbound->watch);
    context_.reactor.cancel(inbound->timer);
  }
  inbound_.clear();
}

void Accepter::accept_from(Listener& listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Fd socket = open_fd([&] {
      return accept4(listener.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    });
    if (!socket.valid()) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      if (errno == ECONNABORTED || errno == EINTR) continue;
      pause(listener);
      return;
    }
    std::string from = listener.is_unix ? "a Unix socket" : socket_address_text(socket.get(), true);
    admit(std::move(socket), listener.is_unix, std::move(from));
  }
}

void Accepter::pause(Listener& listener) {
  int64_t suppressed = 0;
  if (g_drop_log.allow(context_.reactor.now(), &suppressed)) {
    log(LogLevel::kError,
        "cannot accept connections: %s; raise the limit of open files (ulimit -n)",
        error_text(errno).c_str());
  }
  // The waiting connection keeps the listener readable; without a pause the thread would spin.
  context_.reactor.change(listener.token, 0);
  context_.reactor.at(context_.reactor.now() + kAcceptPauseNs, [this, token = listener.token] {
    if (!listeners_.empty()) context_.reactor.change(token, EPOLLIN);
  });
}

void Accepter::admit(Fd socket, bool is_unix, std::string from) {
  make_room();
  const uint64_t id = next_id_++;
  auto inbound = std::make_unique<Inbound>(context_, std::move(socket), is_unix, std::move(from));
  inbound->watch =
      context_.reactor.watch(inbound->fd(), EPOLLIN, [this, id](uint32_t) { step(id); });
  inbound->timer =
      context_.reactor.at(context_.reactor.now() + kHelloTimeoutNs, [this, id] { expire(id); });
  inbound_[id] = std::move(inbound);
}

void Accepter::make_room() {
  // Real peers say hello at once, so the oldest silent connection is the likeliest stranger.
  const auto silent = [](const auto& each) {
    return each.second->state() == Inbound::State::kHello;
  };
  const auto n = std::count_if(inbound_.begin(), inbound_.end(), silent);
  if (static_cast<size_t>(n) < kMaxHalfOpen) return;
  const auto oldest = std::find_if(inbound_.begin(), inbound_.end(), silent);
  drop(oldest->first, "too many connections said no hello");
}

void Accepter::step(uint64_t id) {
  Inbound& inbound = *inbound_.at(id);
  const bool was_stranger = inbound.state() == Inbound::State::kHello;
  inbound.read();
  if (was_stranger && inbound.state() == Inbound::State::kCommit) {
    context_.reactor.cancel(inbound.timer);
    inbound.timer = context_.reactor.at(context_.reactor.now() + kHandshakeTimeoutNs,
                                        [this, id] { expire(id); });
  }
  settle(id);
}

void Accepter::settle(uint64_t id) {
  Inbound& inbound = *inbound_.at(id);
  switch (inbound.state()) {
    case Inbound::State::kHello:
    case Inbound::State::kCommit:
      return;
    case Inbound::State::kFailed:
      drop(id, inbound.why());
      return;
    case Inbound::State::kEstablished: {
      context_.reactor.unwatch(inbound.watch);
      context_.reactor.cancel(inbound.timer);
      Established established = inbound.take();
      inbound_.erase(id);
      context_.on_established(std::move(established));
      return;
    }
    case Inbound::State::kData:
      break;
  }
  const auto control = std::find_if(inbound_.begin(), inbound_.end(), [&](const auto& each) {
    return each.second->expects(*inbound.hello());
  });
  if (control == inbound_.end()) {
    drop(id, "no control connection belongs to this data connection");
    return;
  }
  const uint64_t control_id = control->first;
  context_.reactor.unwatch(inbound.watch);
  context_.reactor.cancel(inbound.timer);
  control->second->adopt(inbound);
  inbound_.erase(id);
  if (control->second->state() == Inbound::State::kFailed) drop(control_id, control->second->why());
}

void Accepter::expire(uint64_t id) {
  Inbound& inbound = *inbound_.at(id);
  inbound.timer = 0;
  drop(id, inbound.state() == Inbound::State::kHello ? "no valid hello within 2 s"
                                                     : "the handshake took too long");
}

void Accepter::drop(uint64_t id, const std::string& why) {
  const auto found = inbound_.find(id);
  Inbound& inbound = *found->second;
  context_.reactor.unwatch(inbound.watch);
  context_.reactor.cancel(inbound.timer);
  dropped_.fetch_add(1, std::memory_order_relaxed);
  int64_t suppressed = 0;
  const LogLevel level = inbound.hello() ? LogLevel::kInfo : LogLevel::kWarn;
  if (log_enabled(level) && g_drop_log.allow(context_.reactor.now(), &suppressed)) {
    log(level, "dropped a connection from %s: %s (%lld more not shown)", inbound.from().c_str(),
        why.c_str(), static_cast<long long>(suppressed));
  }
  if (inbound.hello())
    context_.on_inbound_failed(inbound.hello()->from, inbound.from() + ": " + why);
  inbound_.erase(found);
}

}  // namespace distos_coll
