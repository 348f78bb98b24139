#include "comm/runtime.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

#include "comm/mapped_proof.h"
#include "comm/runtime_impl.h"
#include "comm/seal.h"
#include "core/clock.h"
#include "core/cpu_use.h"
#include "core/log.h"
#include "core/random.h"

namespace distos_coll {
namespace {

constexpr int kFramesPerLink = 64;  // a turn; so that one busy link does not starve the others
constexpr int kLinksPerTurn = 64;
// So many sockets cost less to look at each than to ask the kernel which of them to look at.
constexpr size_t kFewSockets = 4;
constexpr int64_t kFlushTickNs = 2'000'000;
constexpr int64_t kShutdownNs = kSecondNs;
constexpr int64_t kShutdownTickNs = 1'000'000;

// What this thread last saw of the doorbell before it looked for work. Rings in between must keep
// it from sleeping.
struct LastLook {
  const Runtime* runtime = nullptr;
  uint32_t sequence = 0;
};
thread_local LastLook t_last_look;

// A look at the sockets is a system call, ten times the cost of a look at the rings; where there
// are both, threads that spin look at the sockets in every fourth pass while nothing comes from
// there.
constexpr int kPassesWithoutTcp = 3;
thread_local int t_passes_without_tcp = 0;

// As Doorbell::note_cpu wants it.
uint32_t this_cpu() { return static_cast<uint32_t>(sched_getcpu() + 1); }

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name[0] != '\0' ? name : "unknown";
}

std::string boot_id(const std::string& hostname) {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  // Where /proc is masked, the name is the next best hint; memory is shared only after the
  // handshake's proof anyway.
  return std::getline(file, id) && !id.empty() ? id : hostname;
}

PeerCard make_card(const Settings& settings) {
  PeerCard card;
  fill_random(card.uid.data(), card.uid.size());
  fill_random(card.secret.data(), card.secret.size());
  card.build = kBuild;
  card.pid = getpid();
  card.hostname = host_name();
  card.host_id = boot_id(card.hostname) + "/" + settings.host_id;
  return card;
}

// What a sleeper watches for a link; unless `reads`, something else tells when it can be read.
void add_waits(const Link& link, bool reads, std::vector<pollfd>* fds) {
  // A broken one has nothing more to say, and its sockets would be readable for ever.
  if (link.broken()) return;
  for (size_t i = 0; i < link.sockets().size(); ++i) {
    const auto events =
        static_cast<short>(link.waits_for(i) & (reads ? POLLIN | POLLOUT : POLLOUT));
    if (events != 0) fds->push_back({link.sockets()[i], events, 0});
  }
}

class Dispatcher final : public FrameSink {
 public:
  Dispatcher(const LinkTable& table, std::atomic<int64_t>* dropped)
      : table_(table), dropped_(dropped) {}

  void on_frame(const FrameHeader& header, const std::byte* payload) override {
    if (header.comm != comm_ || events_ == nullptr) {
      comm_ = header.comm;
      events_ = table_.find(comm_);
    }
    if (events_ != nullptr) {
      events_->on_frame(header, payload);
    } else {
      dropped_->fetch_add(1, std::memory_order_relaxed);
    }
  }

 private:
  const LinkTable& table_;
  std::atomic<int64_t>* dropped_;
  uint64_t comm_ = 0;
  CommEvents* events_ = nullptr;
};

}  // namespace

std::shared_ptr<Runtime> Runtime::create(const Settings& settings) {
  if (in_forked_child()) {
    throw Error(Code::kUnsupported,
                "this process was forked from one that uses distos_coll, and cannot use it itself: "
                "start workers with "
                "the spawn or forkserver method, or fork before the first group is made");
  }
  guard_against_fork();
  // In a forked child the threads are gone and locks may be held by them for ever: nothing there
  // may be destroyed.
  return std::shared_ptr<Runtime>(new RuntimeImpl(settings), [](RuntimeImpl* runtime) {
    if (!in_forked_child()) delete runtime;
  });
}

RuntimeImpl::RuntimeImpl(const Settings& settings)
    : settings_(settings),
      card_(make_card(settings)),
      bell_(std::make_shared<Doorbell>(Doorbell::create())),
      tcp_epoll_(open_fd([] { return epoll_create1(EPOLL_CLOEXEC); })),
      reactor_(std::make_shared<Reactor>()),
      flush_is_due_(std::make_shared<std::atomic<bool>>(false)),
      mailbox_(table_),
      regions_(
          std::make_shared<Regions>([this] { return mapped_peers(); }, settings.registered_cache)),
      context_{*reactor_,
               settings_,
               card_,
               *bell_,
               read_job_key(settings.job_key_file),
               [this, bell = bell_, reactor = reactor_, due = flush_is_due_] {
                 bell->ring_and_mark();
                 if (!due->exchange(true, std::memory_order_acq_rel))
                   reactor->post([this] { flush_soon(); });
               },
               [this](const PeerUid& uid) { return refusal(uid); },
               [this](Established parts) { established(std::move(parts)); },
               [this](const PeerUid& uid, const std::string& why) {
                 const std::lock_guard lock(mutex_);
                 std::vector<std::string>& reasons = known_[uid].reasons;
                 if (reasons.size() < 8) reasons.push_back(why);
               },
               [this](const PeerUid& uid, const std::vector<std::string>& why) {
                 const std::lock_guard lock(mutex_);
                 Known& known = known_[uid];
                 ++known.failures;
                 known.reasons = why;
                 changed_.notify_all();
               }},
      accepter_(context_),
      opener_(context_),
      liveness_(*reactor_, settings.heartbeat_ms,
                {[this](PeerImpl& peer, Message message) { on_message(peer, std::move(message)); },
                 [this](PeerImpl& peer) { drain(peer); },
                 [this](const std::shared_ptr<PeerImpl>& peer) { peer_ended(peer); }}) {
  if (!tcp_epoll_.valid()) throw_errno("epoll_create1", errno);
  rejected_addresses_ = accepter_.listen(settings_, &card_);
  accepter_.start();
  // The control thread must not take the signals that the program's own threads wait for.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::make_unique<std::thread>([reactor = reactor_] {
    pthread_setname_np(pthread_self(), "distos_control");
    reactor->run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  control_thread_ = thread_->get_id();
}

RuntimeImpl::~RuntimeImpl() { shutdown(); }

void RuntimeImpl::check_usable() const {
  if (in_forked_child()) {
    throw Error(Code::kUnsupported,
                "distos_coll cannot be used in a forked child; start workers with spawn");
  }
}

// ---- Communicators and frames

void RuntimeImpl::register_comm(uint64_t id, CommEvents* events) {
  check_usable();
  table_.update([&](LinkTable& table) {
    const auto at =
        std::lower_bound(table.comms.begin(), table.comms.end(), id,
                         [](const auto& each, uint64_t wanted) { return each.first < wanted; });
    if (at != table.comms.end() && at->first == id) {
      throw Error(Code::kInternal, strf("communicator %llx is registered twice",
                                        static_cast<unsigned long long>(id)));
    }
    table.comms.insert(at, {id, events});
  });
  reactor_->post([this, id] {
    mailbox_.activate(id);
    bell_->ring_and_mark();
  });
}

void RuntimeImpl::unregister_comm(uint64_t id) {
  if (in_forked_child()) return;
  table_.update([&](LinkTable& table) {
    std::erase_if(table.comms, [&](const auto& each) { return each.first == id; });
  });
  reactor_->post([this, id] { mailbox_.deactivate(id); });
}

int RuntimeImpl::poll_links() {
  if (in_forked_child()) return 0;
  t_last_look = {this, bell_->sequence()};
  const TableHolder::Use table(table_);
  Dispatcher sink(*table, &dropped_frames_);
  int delivered = 0;
  for (const auto& peer : table->shm) {
    const int got = peer->link().poll(sink, kFramesPerLink);
    delivered += got;
    if (got == 0 && peer->link().broken()) report_broken(*peer);
  }
  if (table->tcp.empty()) return delivered;
  if (t_passes_without_tcp > 0) {
    --t_passes_without_tcp;
    return delivered;
  }
  const int from_tcp = poll_tcp(*table, sink);
  if (from_tcp == 0 && !table->shm.empty()) t_passes_without_tcp = kPassesWithoutTcp;
  return delivered + from_tcp;
}

int RuntimeImpl::poll_tcp(const LinkTable& table, FrameSink& sink) {
  int delivered = 0;
  const auto poll_one = [&](PeerImpl& peer) {
    delivered += peer.link().poll(sink, kFramesPerLink);
    if (peer.link().broken()) report_broken(peer);
  };
  if (table.n_sockets <= kFewSockets) {
    for (const auto& [token, peer] : table.tcp) poll_one(*peer);
    return delivered;
  }
  // What the epoll set does not know: frames left in our buffers, bytes that wait for room.
  for (const auto& [token, peer] : table.tcp) {
    if (peer->link().has_frames() || peer->link().wants_write()) poll_one(*peer);
  }
  std::array<epoll_event, kLinksPerTurn> ready;
  const int n = epoll_wait(tcp_epoll_.get(), ready.data(), ready.size(), 0);
  for (int i = 0; i < n; ++i) {
    const uint64_t token = ready[i].data.u64;
    const auto at =
        std::lower_bound(table.tcp.begin(), table.tcp.end(), token,
                         [](const auto& each, uint64_t wanted) { return each.token < wanted; });
    // Missing: the peer ended a moment ago.
    if (at != table.tcp.end() && at->token == token) poll_one(*at->peer);
  }
  return delivered;
}

void RuntimeImpl::report_broken(PeerImpl& peer) {
  if (!peer.report_broken_once()) return;
  // A closed socket stays readable, and nobody could sleep.
  peer.link().unwatch();
  reactor_->post([this, uid = peer.card().uid] { liveness_.link_broken(uid); });
}

bool RuntimeImpl::links_have_frames() {
  const TableHolder::Use table(table_);
  for (const auto& peer : table->shm) {
    if (peer->link().has_frames()) return true;
  }
  for (const auto& [token, peer] : table->tcp) {
    if (peer->link().has_frames()) return true;
  }
  return false;
}

bool RuntimeImpl::shares_cpu() {
  if (in_forked_child()) return false;
  const uint32_t here = this_cpu();
  bell_->note_cpu(here);
  const TableHolder::Use table(table_);
  return here != 0 && std::any_of(table->shm.begin(), table->shm.end(),
                                  [&](const auto& peer) { return peer->cpu() == here; });
}

void RuntimeImpl::count_peers_here(CpuUse* use) {
  if (in_forked_child()) return;
  const uint32_t here = this_cpu();
  const TableHolder::Use table(table_);
  for (const auto& peer : table->shm) {
    if (peer->cpu() == here) use->add(peer->pid());
  }
}

void RuntimeImpl::ring_self() {
  if (!in_forked_child()) bell_->ring();
}

void RuntimeImpl::sleep(int64_t timeout_us, const std::function<bool()>& ready) {
  check_usable();
  std::vector<pollfd> fds;
  {
    const TableHolder::Use table(table_);
    const bool few = table->n_sockets <= kFewSockets;
    if (!few) fds.push_back({tcp_epoll_.get(), POLLIN, 0});
    for (const auto& [token, peer] : table->tcp) add_waits(peer->link(), few, &fds);
  }
  // The look before and the look after a sleep miss nothing.
  t_passes_without_tcp = 0;
  bell_->note_cpu(0);
  const bool looked = t_last_look.runtime == this;
  const uint32_t seen = t_last_look.sequence;
  bell_->sleep(timeout_us, fds.data(), static_cast<int>(fds.size()), [&] {
    return (looked && bell_->sequence() != seen) || links_have_frames() || ready();
  });
  bell_->note_cpu(this_cpu());
  t_last_look = {this, bell_->sequence()};
  t_passes_without_tcp = 0;
}

std::vector<std::shared_ptr<Peer>> RuntimeImpl::mapped_peers() {
  const TableHolder::Use table(table_);
  return {table->shm.begin(), table->shm.end()};
}

// ---- Control thread

void RuntimeImpl::on_message(PeerImpl& peer, Message message) {
  const auto kind = static_cast<ControlKind>(message.kind);
  if (kind >= ControlKind::kRegion) {
    const Fd fd = message.fds.empty() ? Fd() : std::move(message.fds.front());
    regions_->on_control(peer, kind, message.payload, fd);
    return;
  }
  mailbox_.deliver(std::move(message));
  bell_->ring_and_mark();
}

void RuntimeImpl::established(Established parts) {
  const PeerUid uid = parts.card.uid;
  std::unique_ptr<ControlChannel> control = std::move(parts.control);
  Fd pidfd = std::move(parts.pidfd);
  const auto peer = std::make_shared<PeerImpl>(std::move(parts), [this, uid, reactor = reactor_] {
    // The peer may outlive this runtime; a stopped reactor takes no tasks.
    reactor->post([this, uid] { liveness_.flush(uid); });
  });
  log(LogLevel::kInfo, "connected: %s", peer->describe().c_str());
  const uint64_t token = next_data_token_++;
  const size_t n_sockets = peer->link().sockets().size();
  peer->link().watch(tcp_epoll_.get(), token);
  table_.update([&](LinkTable& table) {
    if (n_sockets > 0) {
      table.tcp.push_back({token, peer});
    } else {
      table.shm.push_back(peer);
    }
    table.n_sockets += n_sockets;
  });
  liveness_.add(peer, std::move(control), std::move(pidfd));
  {
    const std::lock_guard lock(mutex_);
    Known& known = known_[uid];
    // It may have ended within add().
    if (known.ended == PeerState::kAlive) known.peer = peer;
    changed_.notify_all();
  }
  // Sleepers that only know the futex must now watch a socket too.
  bell_->ring_and_mark();
}

void RuntimeImpl::peer_ended(const std::shared_ptr<PeerImpl>& peer) {
  peer->link().unwatch();
  table_.update([&](LinkTable& table) {
    std::erase(table.shm, peer);
    if (std::erase_if(table.tcp, [&](const auto& each) { return each.peer == peer; }) > 0)
      table.n_sockets -= peer->link().sockets().size();
  });
  {
    const std::lock_guard lock(mutex_);
    Known& known = known_[peer->card().uid];
    known.peer.reset();
    known.ended = peer->state();
    known.end_why = peer->why();
    known.line = peer->describe();
    changed_.notify_all();
  }
  regions_->peer_ended(peer->card().uid);
  mailbox_.peer_ended(peer);
  bell_->ring_and_mark();
}

std::string RuntimeImpl::refusal(const PeerUid& uid) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(uid);
  if (found == known_.end()) return "";
  if (found->second.peer != nullptr) return "these two processes are connected already";
  return found->second.ended != PeerState::kAlive
             ? "the connection of these two processes has ended before"
             : "";
}

void RuntimeImpl::drain(PeerImpl& peer) {
  const TableHolder::Use table(table_);
  Dispatcher sink(*table, &dropped_frames_);
  peer.link().drain(sink);
}

// Whoever sends also flushes, as long as it has something to do here. But it may be done, and not
// call again for a while, when the last frame that its link took still waits in our memory.
void RuntimeImpl::flush_soon() {
  reactor_->at(reactor_->now() + kFlushTickNs, [this] { flush_staged(); });
}

void RuntimeImpl::flush_staged() {
  // An exchange, to see what was staged by whoever found the flag set.
  flush_is_due_->exchange(false, std::memory_order_acq_rel);
  bool waits = false;
  {
    const TableHolder::Use table(table_);
    for (const auto& [token, peer] : table->tcp) {
      if (!peer->link().wants_write()) continue;
      peer->link().flushed();
      waits |= peer->link().wants_write();
    }
  }
  if (waits && !flush_is_due_->exchange(true, std::memory_order_acq_rel)) flush_soon();
}

// ---- The end

void RuntimeImpl::shutdown() {
  if (in_forked_child()) return;
  if (control_thread_.load() == std::this_thread::get_id()) {
    throw Error(Code::kInternal, "shutdown() was called from a callback of the control thread");
  }
  const std::lock_guard one_at_a_time(shutdown_mutex_);
  if (thread_ == nullptr) return;
  {
    const std::lock_guard lock(mutex_);
    shut_down_ = true;
    changed_.notify_all();
  }
  reactor_->post([this] { begin_shutdown(); });
  thread_->join();
  regions_->close();
  thread_.reset();
  // The system gives the ids of ended threads to new ones.
  control_thread_.store({});
  table_.update([](LinkTable& table) {
    for (const auto& [token, peer] : table.tcp) peer->link().unwatch();
    table.shm.clear();
    table.tcp.clear();
    table.n_sockets = 0;
  });
  const std::lock_guard lock(mutex_);
  for (auto& [uid, known] : known_) {
    if (known.peer == nullptr) continue;
    known.line = known.peer->describe();
    known.peer.reset();
    known.ended = PeerState::kLeft;
    known.end_why = "this process has shut down its runtime";
  }
}

void RuntimeImpl::begin_shutdown() {
  accepter_.stop();
  opener_.stop();
  liveness_.say_goodbye();
  finish_shutdown(reactor_->now() + kShutdownNs);
}

void RuntimeImpl::finish_shutdown(int64_t deadline_ns) {
  if (!liveness_.flushed() && reactor_->now() < deadline_ns) {
    reactor_->at(reactor_->now() + kShutdownTickNs,
                 [this, deadline_ns] { finish_shutdown(deadline_ns); });
    return;
  }
  liveness_.close_all();
  reactor_->stop();
}

}  // namespace distos_coll
