#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <thread>
#include <utility>

#include "comm/control.h"
#include "comm/handshake.h"
#include "comm/job_store_wire.h"
#include "comm/mapped_proof.h"
#include "comm/reactor.h"
#include "comm/sockets.h"
#include "core/log.h"
#include "core/status.h"

namespace distos_coll {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr size_t kMaxStoreBytes = size_t{1} << 30;
LogLimit g_drop_log(5);

}  // namespace

// Everything but start and stop runs on one thread of its own.
class JobStoreServer::Table {
 public:
  explicit Table(const MeetingPoint& point) : key_(store_seal_key(point)) {
    listen(point);
    reactor_.watch(socket_.get(), EPOLLIN, [this](uint32_t) { accept(); });
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "distos_store");
      reactor_.run();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void stop() {
    if (in_forked_child()) {
      thread_.detach();
      return;
    }
    reactor_.stop();
    thread_.join();
  }

  int64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  int64_t keys() const { return keys_.load(std::memory_order_relaxed); }

 private:
  struct Session {
    Session(Fd socket, bool packets, const std::string& key)
        : channel(std::move(socket), packets), seal(key) {}
    ControlChannel channel;
    Seal seal;
    bool welcomed = false;
    bool trusted = false;
    std::string doomed;     // why it is dropped once its messages have been read
    std::string waits_for;  // the key of a get that cannot be answered yet
    Reactor::Token watch = 0, timer = 0;
  };

  void listen(const MeetingPoint& point);
  void accept();
  void on_socket(uint64_t id, uint32_t events);
  void on_message(uint64_t id, Session& session, const Message& message);
  void shake_hands(Session& session, const Message& message);
  void request(uint64_t id, Session& session, const Message& message);
  void set(const std::string& key, std::string value);
  void get(uint64_t id, Session& session, const std::string& key, int64_t timeout_ms);
  void answer(Session& session, StoreKind kind, std::string payload = "");
  void drop(uint64_t id, const std::string& why);

  const std::string key_;
  bool is_unix_ = false;
  Fd socket_;
  Reactor reactor_;
  std::thread thread_;
  std::map<uint64_t, std::unique_ptr<Session>> sessions_;  // by age
  uint64_t next_id_ = 1;
  StoreTable table_;
  std::atomic<int64_t> dropped_{0}, keys_{0};
};

void JobStoreServer::Table::listen(const MeetingPoint& point) {
  std::string why, tried;
  if (!point.unix_name.empty()) {
    is_unix_ = true;
    socket_ = listen_unix(point.unix_name, &why);
    tried = "\n  unix socket " + point.unix_name + ": " + why;
  }
  for (const std::string& ip : point.ips) {
    for (const uint16_t port : point.ports) {
      if (socket_.valid()) return;
      uint16_t wanted = port;
      socket_ = listen_tcp(ip, &wanted, &why);
      tried += strf("\n  %s port %u: ", ip.c_str(), port) + why;
    }
  }
  if (socket_.valid()) return;
  throw Error(
      Code::kSystem,
      "rank 0 cannot listen where the ranks of this job meet:" + tried +
          "\nDoes another run use it? Set DISTOS_COLL_RENDEZVOUS=HOST:PORT to a free port of "
          "rank 0's host");
}

void JobStoreServer::Table::accept() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Fd socket = open_fd(
        [&] { return accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); });
    if (!socket.valid()) return;
    if (is_unix_ && !identify_unix_peer(socket.get()).same_user) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    if (!is_unix_) set_no_delay(socket.get());
    const uint64_t id = next_id_++;
    auto session = std::make_unique<Session>(std::move(socket), is_unix_, key_);
    session->watch = reactor_.watch(session->channel.fd(), EPOLLIN,
                                    [this, id](uint32_t events) { on_socket(id, events); });
    session->timer = reactor_.at(reactor_.now() + kHelloTimeoutNs,
                                 [this, id] { drop(id, "it did not say who it is within 2 s"); });
    sessions_[id] = std::move(session);
  }
}

void JobStoreServer::Table::on_socket(uint64_t id, uint32_t events) {
  Session& session = *sessions_.at(id);
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
    const bool open = session.channel.read([&](Message message) {
      on_message(id, session, message);
      return session.doomed.empty();
    });
    if (!session.doomed.empty()) return drop(id, session.doomed);
    if (!open) {
      const std::string& error = session.channel.error();
      return drop(id, error.empty() ? "it went before it said who it is" : error);
    }
  }
  if (!session.channel.flush()) return drop(id, session.channel.error());
  reactor_.change(session.watch, session.channel.wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void JobStoreServer::Table::on_message(uint64_t id, Session& session, const Message& message) {
  if (!session.trusted) return shake_hands(session, message);
  if (message.type != MessageType::kControl) {
    session.doomed = "it sent what no client sends";
    return;
  }
  request(id, session, message);
}

void JobStoreServer::Table::shake_hands(Session& session, const Message& message) {
  const auto expected = session.welcomed ? MessageType::kCommit : MessageType::kHello;
  std::string why = "it did not begin with a hello";
  const bool good = message.type == expected && session.seal.open(message, &why);
  if (!good) {
    session.channel.queue(reject_message(why));
    session.channel.flush();
    session.doomed = why;
    return;
  }
  if (!session.welcomed) {
    session.welcomed = true;
    session.channel.queue(session.seal.close(MessageType::kWelcome, store_handshake()));
    return;
  }
  session.trusted = true;
  session.channel.trust();
  reactor_.cancel(std::exchange(session.timer, 0));
}

void JobStoreServer::Table::request(uint64_t id, Session& session, const Message& message) {
  ByteReader in(message.payload.data(), message.payload.size());
  const std::string key = in.text(kMaxStoreKey);
  const auto number = in.number<int64_t>();
  const bool idle = session.waits_for.empty();
  if (!in.ok() || !idle) {
    session.doomed = "its request is malformed";
    return;
  }
  if (message.kind == static_cast<uint16_t>(StoreKind::kGet)) {
    get(id, session, key, number);
  } else if (message.kind == static_cast<uint16_t>(StoreKind::kRelease)) {
    table_.release(key, number);
    keys_.store(static_cast<int64_t>(table_.size()), std::memory_order_relaxed);
    answer(session, StoreKind::kStored);
  } else if (message.kind == static_cast<uint16_t>(StoreKind::kSet)) {
    std::string value = message.payload.substr(message.payload.size() - in.left());
    if (table_.bytes() + key.size() + value.size() > kMaxStoreBytes)
      return answer(session, StoreKind::kRefused, "the store of this job is full");
    set(key, std::move(value));
    answer(session, StoreKind::kStored);
  } else {
    session.doomed = "its request is of an unknown kind";
  }
}

void JobStoreServer::Table::set(const std::string& key, std::string value) {
  table_.set(key, std::move(value));
  keys_.store(static_cast<int64_t>(table_.size()), std::memory_order_relaxed);
  for (auto& [id, session] : sessions_) {
    if (session->waits_for != key) continue;
    session->waits_for.clear();
    reactor_.cancel(std::exchange(session->timer, 0));
    answer(*session, StoreKind::kValue, *table_.find(key));
  }
}

void JobStoreServer::Table::get(uint64_t id, Session& session, const std::string& key,
                                int64_t timeout_ms) {
  if (const std::string* value = table_.find(key))
    return answer(session, StoreKind::kValue, *value);
  if (timeout_ms <= 0) return answer(session, StoreKind::kMissing);
  session.waits_for = key;
  const int64_t patience = std::min<int64_t>(timeout_ms, int64_t{1} << 31) * 1'000'000;
  session.timer = reactor_.at(reactor_.now() + patience, [this, id] {
    Session& late = *sessions_.at(id);
    late.timer = 0;
    late.waits_for.clear();
    answer(late, StoreKind::kMissing);
  });
}

void JobStoreServer::Table::answer(Session& session, StoreKind kind, std::string payload) {
  session.channel.queue(store_message(kind, std::move(payload)));
  // A broken connection is readable, and dropped there.
  session.channel.flush();
  reactor_.change(session.watch, session.channel.wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void JobStoreServer::Table::drop(uint64_t id, const std::string& why) {
  const auto found = sessions_.find(id);
  Session& session = *found->second;
  reactor_.unwatch(session.watch);
  reactor_.cancel(session.timer);
  if (!session.trusted) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    int64_t suppressed = 0;
    if (g_drop_log.allow(reactor_.now(), &suppressed)) {
      log(LogLevel::kWarn, "the job's store dropped a connection: %s (%lld more not shown)",
          why.c_str(), static_cast<long long>(suppressed));
    }
  }
  sessions_.erase(found);
}

JobStoreServer::JobStoreServer(const MeetingPoint& point)
    : table_(std::make_shared<Table>(point)) {}
JobStoreServer::~JobStoreServer() { table_->stop(); }
int64_t JobStoreServer::dropped() const { return table_->dropped(); }
int64_t JobStoreServer::keys() const { return table_->keys(); }

std::string MeetingPoint::describe() const {
  if (!unix_name.empty()) return "unix socket " + unix_name;
  std::string text;
  for (const std::string& ip : ips) text += (text.empty() ? "" : ", ") + ip;
  text += ports.size() == 1 ? " port" : " ports";
  for (const uint16_t port : ports) text += strf(" %u", port);
  return text;
}

}  // namespace distos_coll
