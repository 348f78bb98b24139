#include <algorithm>
#include <utility>

#include "comm/attempt.h"
#include "comm/handshake.h"

namespace distos_coll {
namespace {

// A listener refuses for good, but a network may lose a packet and a busy host may be late.
constexpr int kRounds = 3;
constexpr int64_t kRoundPauseNs = 200'000'000;
constexpr int64_t kRetryNs = 5'000'000;
// A process on this host that is merely slow must not end up on TCP, so the Unix socket gets more
// patience.
constexpr int64_t kMaxUnixTimeoutNs = 30 * kSecondNs;

}  // namespace

// All that is tried for one process: its ways in order, a few rounds of them.
class Outbound {
 public:
  Outbound(HandshakeContext& context, Opener& opener, PeerCard card, int64_t deadline_ns)
      : context_(context), opener_(opener), card_(std::move(card)), deadline_ns_(deadline_ns) {
    const bool same_host = card_.host_id == context_.own.host_id;
    if (context_.settings.shm && same_host) ways_.push_back(nullptr);
    if (!context_.settings.tcp) return;
    for (const PeerCard::Address& address : card_.addresses) {
      const bool loopback = address.ip.rfind("127.", 0) == 0 || address.ip == "::1";
      if (!loopback || same_host) ways_.push_back(&address);
    }
  }
  ~Outbound() { unwatch(); }
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;

  const PeerUid& uid() const { return card_.uid; }
  void extend(int64_t deadline_ns) { deadline_ns_ = std::max(deadline_ns_, deadline_ns); }
  Attempt* attempt() { return attempt_.get(); }
  bool exhausted() const { return exhausted_; }
  std::vector<std::string> failures() const {
    if (ways_.empty())
      return {"no transport is left: shared memory or TCP is switched off on one of the two sides"};
    std::vector<std::string> out;
    for (size_t i = 0; i < reasons_.size(); ++i) {
      if (!reasons_[i].empty()) out.push_back(reasons_[i]);
    }
    return out;
  }

  // Begins with the next way, or is exhausted.
  void next();
  void retry();
  void give_up_way();
  void on_timer();
  // After each step of the attempt: watches what it waits for now.
  void watch();
  void unwatch();

 private:
  int64_t now() const { return context_.reactor.now(); }
  void begin();
  void set_timer(int64_t when_ns);

  HandshakeContext& context_;
  Opener& opener_;
  const PeerCard card_;
  int64_t deadline_ns_;
  std::vector<const PeerCard::Address*> ways_;  // null: the Unix socket
  std::vector<std::string> reasons_;            // by way, the latest
  size_t way_ = 0;
  int round_ = 0;
  bool started_ = false;
  bool exhausted_ = false;
  bool pausing_ = false;
  int64_t way_deadline_ns_ = 0;
  int answers_ = 0;  // the attempt's, as of the last look
  std::unique_ptr<Attempt> attempt_;
  Reactor::Token watch_ = 0, timer_ = 0;
};

void Outbound::unwatch() {
  context_.reactor.unwatch(std::exchange(watch_, 0));
  context_.reactor.cancel(std::exchange(timer_, 0));
}

void Outbound::set_timer(int64_t when_ns) {
  context_.reactor.cancel(timer_);
  timer_ =
      context_.reactor.at(when_ns, [opener = &opener_, uid = card_.uid] { opener->expire(uid); });
}

void Outbound::next() {
  if (started_) ++way_;
  started_ = true;
  if (way_ >= ways_.size()) {
    way_ = 0;
    ++round_;
    if (ways_.empty() || round_ >= kRounds || now() + kRoundPauseNs >= deadline_ns_) {
      exhausted_ = true;
      return;
    }
    pausing_ = true;
    set_timer(now() + kRoundPauseNs);
    return;
  }
  begin();
}

void Outbound::begin() {
  const PeerCard::Address* address = ways_[way_];
  reasons_.resize(ways_.size());
  attempt_ = std::make_unique<Attempt>(context_, card_, address);
  const int64_t left = std::max<int64_t>(deadline_ns_ - now(), 0);
  const int64_t patience = address == nullptr
                               ? std::clamp(left / 2, kCandidateTimeoutNs, kMaxUnixTimeoutNs)
                               : kCandidateTimeoutNs;
  way_deadline_ns_ = now() + std::min(patience, left);
  answers_ = 0;
  attempt_->start();
}

void Outbound::retry() {
  context_.reactor.unwatch(std::exchange(watch_, 0));
  if (now() + kRetryNs >= way_deadline_ns_) {
    attempt_->fail("the listener's queue stayed full");
    return;
  }
  pausing_ = true;
  set_timer(now() + kRetryNs);
}

void Outbound::on_timer() {
  timer_ = 0;
  if (std::exchange(pausing_, false)) {
    if (attempt_ != nullptr) {
      attempt_->start();
    } else {
      begin();
    }
    return;
  }
  // After our commit the other side may count us as a peer: only the whole deadline ends the wait.
  if (attempt_->state() == Attempt::State::kCommitted && now() < deadline_ns_) return;
  attempt_->fail("timed out");
}

void Outbound::give_up_way() {
  unwatch();
  reasons_[way_] = attempt_->way() + ": " + attempt_->why();
  attempt_.reset();
}

void Outbound::watch() {
  // A way that answers is good, however long and however many answers there are to come.
  if (attempt_->answers() != answers_) {
    answers_ = attempt_->answers();
    way_deadline_ns_ = std::min(now() + kCandidateTimeoutNs, deadline_ns_);
  }
  context_.reactor.unwatch(std::exchange(watch_, 0));
  watch_ = context_.reactor.watch(
      attempt_->fd(), attempt_->events(),
      [opener = &opener_, uid = card_.uid](uint32_t events) { opener->step(uid, events); });
  set_timer(attempt_->state() == Attempt::State::kCommitted ? deadline_ns_ : way_deadline_ns_);
}

Opener::Opener(HandshakeContext& context) : context_(context) {}
Opener::~Opener() = default;

void Opener::open(const PeerCard& card, int64_t deadline_ns) {
  const auto found = outbound_.find(card.uid);
  if (found != outbound_.end()) {
    found->second->extend(deadline_ns);
    return;
  }
  auto outbound = std::make_unique<Outbound>(context_, *this, card, deadline_ns);
  outbound->next();
  outbound_[card.uid] = std::move(outbound);
  settle(card.uid);
}

void Opener::stop() { outbound_.clear(); }

void Opener::step(const PeerUid& uid, uint32_t /*events*/) {
  const auto found = outbound_.find(uid);
  if (found == outbound_.end() || found->second->attempt() == nullptr) return;
  found->second->attempt()->step();
  settle(uid);
}

void Opener::expire(const PeerUid& uid) {
  const auto found = outbound_.find(uid);
  if (found == outbound_.end()) return;
  found->second->on_timer();
  settle(uid);
}

void Opener::settle(const PeerUid& uid) {
  Outbound& outbound = *outbound_.at(uid);
  for (;;) {
    if (outbound.exhausted()) {
      const std::vector<std::string> failures = outbound.failures();
      outbound_.erase(uid);
      context_.on_outbound_failed(uid, failures);
      return;
    }
    Attempt* attempt = outbound.attempt();
    if (attempt == nullptr) return;  // pausing between rounds
    switch (attempt->state()) {
      case Attempt::State::kFailed:
        outbound.give_up_way();
        outbound.next();
        continue;
      case Attempt::State::kRetry:
        outbound.retry();
        if (attempt->state() == Attempt::State::kFailed) continue;
        return;
      case Attempt::State::kEstablished: {
        outbound.unwatch();
        Established established = attempt->take();
        established.rejected = outbound.failures();
        outbound_.erase(uid);
        context_.on_established(std::move(established));
        return;
      }
      default:
        outbound.watch();
        return;
    }
  }
}

}  // namespace distos_coll
