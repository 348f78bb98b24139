#include "comm/liveness.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <utility>
#include <vector>

#include "core/log.h"
#include "transport/tcp_link.h"

namespace distos_coll {
namespace {

constexpr int64_t kMs = 1'000'000;
// A peer that reads no control messages for so long is as good as dead, and our memory is not
// endless.
constexpr size_t kMaxQueued = 16'384;
// Between hosts the data connection may lag behind the control connection. A departing peer waits
// up to a second for its data to be taken; after a death only what is on the wire can still come.
constexpr int64_t kDataAfterGoodbyeNs = 1'000 * kMs;
constexpr int64_t kDataAfterDeathNs = 50 * kMs;
// A broken data link usually means that the control connection is about to tell why.
constexpr int64_t kReasonForBrokenLinkNs = 300 * kMs;
// How often to look whether the frames before a held message have come.
constexpr int64_t kHoldTickNs = kMs;

bool is_tcp(const PeerImpl& peer) { return !peer.mapped(); }

}  // namespace

bool silence_is_death(int64_t silent_ns, int64_t tick_gap_ns, int64_t heartbeat_ns) {
  return tick_gap_ns < 2 * heartbeat_ns && silent_ns > kMissedHeartbeats * heartbeat_ns;
}

Liveness::Liveness(Reactor& reactor, int64_t heartbeat_ms, Events events)
    : reactor_(reactor),
      heartbeat_ns_(std::max<int64_t>(heartbeat_ms, 1) * kMs),
      events_(std::move(events)) {}

Liveness::Session* Liveness::find(const PeerUid& uid) {
  const auto found = sessions_.find(uid);
  return found == sessions_.end() ? nullptr : &found->second;
}

void Liveness::add(const std::shared_ptr<PeerImpl>& peer, std::unique_ptr<ControlChannel> control,
                   Fd pidfd) {
  const PeerUid uid = peer->card().uid;
  Session& session = sessions_[uid];
  session.peer = peer;
  session.control = std::move(control);
  session.control->trust();
  session.pidfd = std::move(pidfd);
  session.last_heard_ns = reactor_.now();
  session.socket = reactor_.watch(session.control->fd(), EPOLLIN,
                                  [this, uid](uint32_t e) { on_socket(uid, e); });
  if (session.pidfd.valid()) {
    session.pid = reactor_.watch(session.pidfd.get(), EPOLLIN,
                                 [this, uid](uint32_t) { on_process_ended(uid); });
  }
  if (is_tcp(*peer) && tick_ == 0) {
    last_tick_ns_ = reactor_.now();
    tick_ = reactor_.at(reactor_.now() + heartbeat_ns_, [this] { on_tick(); });
  }
  pump(session);
  // Messages may have come right behind the handshake and been read with it.
  on_socket(uid, EPOLLIN);
}

void Liveness::flush(const PeerUid& uid) {
  Session* session = find(uid);
  if (session != nullptr && !session->ending) pump(*session);
}

void Liveness::pump(Session& session) {
  for (Message& message : session.peer->take_outbox()) session.control->queue(std::move(message));
  // A broken connection is readable too, and reading comes first: it may hold a goodbye.
  session.control->flush();
  if (session.control->queued() > kMaxQueued) {
    end(session, "it has stopped reading its control connection");
    return;
  }
  reactor_.change(session.socket, session.control->wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void Liveness::on_socket(const PeerUid& uid, uint32_t events) {
  Session* session = find(uid);
  if (session == nullptr || session->ending) return;
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
    const bool open = read(*session);
    // A departing peer waits for its data to be taken, so do not wait for its end in turn.
    if (!open || session->goodbye) {
      const std::string& error = session->control->error();
      end(*session, error.empty()
                        ? "its control connection ended without a goodbye"
                        : "its control connection failed without a goodbye (" + error + ")");
      return;
    }
  }
  if ((events & EPOLLOUT) != 0 && !session->ending) pump(*session);
}

bool Liveness::read(Session& session) {
  session.last_heard_ns = reactor_.now();
  return session.control->read([&](Message message) {
    handle(session, std::move(message));
    return true;
  });
}

void Liveness::handle(Session& session, Message message) {
  switch (message.type) {
    case MessageType::kControl:
      deliver(session, std::move(message));
      break;
    case MessageType::kGoodbye:
      session.goodbye = true;
      break;
    case MessageType::kReject:
      session.last_words = printable_text(message.payload, 512);
      break;
    case MessageType::kHeartbeat:
    default:
      break;  // a late handshake message changes nothing
  }
}

void Liveness::deliver(Session& session, Message message) {
  const auto kind = static_cast<ControlKind>(message.kind);
  const bool waits = kind == ControlKind::kWindow || kind == ControlKind::kClose;
  if (!waits) {
    events_.on_message(*session.peer, std::move(message));
    return;
  }
  session.held.push_back(std::move(message));
  // Of several, the first has its release under way.
  if (session.held.size() == 1) release_held(session);
  if (session.held.size() > kMaxQueued) end(session, "it announced frames that do not come");
}

void Liveness::release_held(Session& session) {
  reactor_.cancel(std::exchange(session.hold_timer, 0));
  ManagedLink& link = session.peer->link();
  const auto due = [&] {
    return link.delivered() >= session.held.front().after_frames || link.broken();
  };
  if (!session.held.empty() && !due()) events_.drain(*session.peer);
  while (!session.held.empty() && due()) {
    events_.on_message(*session.peer, std::move(session.held.front()));
    session.held.pop_front();
  }
  if (session.held.empty()) return;
  session.hold_timer =
      reactor_.at(reactor_.now() + kHoldTickNs, [this, uid = session.peer->card().uid] {
        Session* holding = find(uid);
        if (holding == nullptr) return;
        holding->hold_timer = 0;
        release_held(*holding);
      });
}

void Liveness::on_process_ended(const PeerUid& uid) {
  Session* session = find(uid);
  if (session == nullptr || session->ending) return;
  // Its goodbye may wait in the socket.
  read(*session);
  end(*session, "the process ended without a goodbye");
}

void Liveness::link_broken(const PeerUid& uid) {
  Session* session = find(uid);
  if (session == nullptr || session->ending || session->timer != 0) return;
  session->timer = reactor_.at(reactor_.now() + kReasonForBrokenLinkNs, [this, uid] {
    Session* late = find(uid);
    if (late == nullptr || late->ending) return;
    late->timer = 0;
    const std::string why = late->peer->link().why();
    Message last_words;
    last_words.type = MessageType::kReject;
    last_words.payload = why;
    late->control->queue(std::move(last_words));
    late->control->flush();
    end(*late, why);
  });
}

void Liveness::on_tick() {
  const int64_t now = reactor_.now();
  const int64_t gap = now - std::exchange(last_tick_ns_, now);
  tick_ = reactor_.at(now + heartbeat_ns_, [this] { on_tick(); });
  std::vector<PeerUid> silent;
  for (auto& [uid, session] : sessions_) {
    if (!is_tcp(*session.peer) || session.ending) continue;
    if (gap >= 2 * heartbeat_ns_) session.last_heard_ns = now;
    // Frames are a sign of life as good as a heartbeat, which a crowded network may hold up.
    const uint64_t delivered = session.peer->link().delivered();
    if (std::exchange(session.frames_heard, delivered) != delivered) session.last_heard_ns = now;
    if (silence_is_death(now - session.last_heard_ns, gap, heartbeat_ns_)) {
      silent.push_back(uid);
      continue;
    }
    if (!session.control->wants_write()) {
      Message heartbeat;
      heartbeat.type = MessageType::kHeartbeat;
      session.control->queue(std::move(heartbeat));
    }
    session.control->flush();
  }
  for (const PeerUid& uid : silent) {
    Session& session = *find(uid);
    end(session,
        strf("no heartbeat for %.1f s", static_cast<double>(now - session.last_heard_ns) / 1e9));
  }
}

void Liveness::unwatch(Session& session) {
  reactor_.unwatch(std::exchange(session.socket, 0));
  reactor_.unwatch(std::exchange(session.pid, 0));
  for (const Reactor::Token each : std::exchange(session.data, {})) reactor_.unwatch(each);
  reactor_.cancel(std::exchange(session.timer, 0));
  reactor_.cancel(std::exchange(session.hold_timer, 0));
}

void Liveness::end(Session& session, const std::string& why) {
  if (session.ending) return;
  unwatch(session);
  session.ending = true;
  session.end_state = session.goodbye ? PeerState::kLeft : PeerState::kDead;
  if (session.goodbye && is_tcp(*session.peer)) acknowledge_now(session.control->fd());
  const std::string who = describe_process(session.peer->card());
  session.end_why = session.goodbye ? who + " left"
                    : session.last_words.empty()
                        ? who + ": " + why
                        : who + " gave up the connection: " + session.last_words;
  // Not from inside the caller, which may still use the session.
  const PeerUid uid = session.peer->card().uid;
  reactor_.at(reactor_.now(), [this, uid] {
    if (Session* ended = find(uid)) wait_for_data(*ended);
  });
}

void Liveness::wait_for_data(Session& session) {
  const PeerUid uid = session.peer->card().uid;
  events_.drain(*session.peer);
  if (!is_tcp(*session.peer) || session.peer->link().broken()) {
    finish(uid);
    return;
  }
  watch_data(session);
  const int64_t patience = session.goodbye ? kDataAfterGoodbyeNs : kDataAfterDeathNs;
  session.timer = reactor_.at(reactor_.now() + patience, [this, uid] { finish(uid); });
}

// Those of its sockets from which something can come, which each look may change.
void Liveness::watch_data(Session& session) {
  for (const Reactor::Token each : std::exchange(session.data, {})) reactor_.unwatch(each);
  const Link& link = session.peer->link();
  for (size_t i = 0; i < link.sockets().size(); ++i) {
    if ((link.waits_for(i) & POLLIN) == 0) continue;
    session.data.push_back(reactor_.watch(
        link.sockets()[i], EPOLLIN, [this, uid = session.peer->card().uid](uint32_t) {
          Session* ended = find(uid);
          if (ended == nullptr) return;
          events_.drain(*ended->peer);
          ended->peer->link().broken() ? finish(uid) : watch_data(*ended);
        }));
  }
}

void Liveness::finish(const PeerUid& uid) {
  const auto found = sessions_.find(uid);
  if (found == sessions_.end()) return;
  unwatch(found->second);
  // The frames that these waited for will not come any more.
  for (Message& message : found->second.held) {
    events_.on_message(*found->second.peer, std::move(message));
  }
  const std::shared_ptr<PeerImpl> peer = found->second.peer;
  const PeerState state = found->second.end_state;
  const std::string why = found->second.end_why;
  sessions_.erase(found);
  log(LogLevel::kInfo, "%s", why.c_str());
  peer->end(state, why);
  events_.on_ended(peer);
}

void Liveness::say_goodbye() {
  for (auto& [uid, session] : sessions_) {
    if (session.ending) continue;
    for (Message& message : session.peer->take_outbox()) session.control->queue(std::move(message));
    Message goodbye;
    goodbye.type = MessageType::kGoodbye;
    session.control->queue(std::move(goodbye));
    session.control->flush();
  }
}

bool Liveness::flushed() {
  bool all = true;
  for (auto& [uid, session] : sessions_) {
    if (session.ending) continue;
    int unsent = 0;
    const bool sent = session.control->flush() ? !session.control->wants_write() : true;
    // Unacknowledged bytes could be lost to the reset that closing with unread input sends.
    const bool taken = !is_tcp(*session.peer) ||
                       ioctl(session.control->fd(), SIOCOUTQ, &unsent) != 0 || unsent == 0;
    all = all && sent && taken && session.peer->link().flushed();
  }
  return all;
}

void Liveness::close_all() {
  for (auto& [uid, session] : sessions_) {
    unwatch(session);
    session.peer->end(PeerState::kLeft, "this process has shut down its runtime");
  }
  sessions_.clear();
  reactor_.cancel(std::exchange(tick_, 0));
}

}  // namespace distos_coll
