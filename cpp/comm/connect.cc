// Runtime's answers to "who is out there": connect() and describe().
#include <algorithm>
#include <chrono>
#include <utility>

#include "comm/runtime_impl.h"
#include "core/clock.h"

namespace distos_coll {

std::map<PeerUid, int64_t> RuntimeImpl::start_opening(const std::vector<PeerCard>& cards,
                                                      int64_t deadline_ns) {
  std::map<PeerUid, int64_t> failures_before;
  std::vector<PeerCard> to_open;
  {
    const std::lock_guard lock(mutex_);
    for (const PeerCard& card : cards) {
      if (card.uid == card_.uid) continue;
      const Known& known = known_[card.uid];
      failures_before[card.uid] = known.failures;
      if (known.peer == nullptr && known.ended == PeerState::kAlive && card_.uid < card.uid)
        to_open.push_back(card);
    }
  }
  if (to_open.empty()) return failures_before;
  // Attempts end a little before we stop waiting, so that their reasons are in our error.
  const int64_t margin = std::clamp<int64_t>((deadline_ns - now_ns()) / 10, 0, kSecondNs / 5);
  reactor_->post([this, to_open, until = deadline_ns - margin] {
    for (const PeerCard& card : to_open) {
      if (refusal(card.uid).empty()) opener_.open(card, until);
    }
  });
  return failures_before;
}

std::vector<std::shared_ptr<Peer>> RuntimeImpl::connect(const std::vector<PeerCard>& cards,
                                                        int64_t deadline_ns,
                                                        const WhileWaiting& while_waiting) {
  check_usable();
  // An attempt that fails while we wait is an answer; one that failed before we asked is not.
  std::map<PeerUid, int64_t> failures_before = start_opening(cards, deadline_ns);
  std::unique_lock lock(mutex_);
  enum class Answer { kPending, kPeer, kFailure };
  const auto answer = [&](const PeerCard& card) {
    if (card.uid == card_.uid) return Answer::kPeer;
    const Known& known = known_[card.uid];
    if (known.peer != nullptr) return Answer::kPeer;
    const bool failed =
        known.ended != PeerState::kAlive || known.failures != failures_before[card.uid];
    return failed ? Answer::kFailure : Answer::kPending;
  };
  const auto missing = [&] {
    std::vector<PeerUid> uids;
    for (const PeerCard& card : cards) {
      if (answer(card) == Answer::kPending) uids.push_back(card.uid);
    }
    return uids;
  };
  int64_t next_look = now_ns() + kSecondNs;
  // In slices: now_ns() and the condition variable's clock are both monotonic, but only one of them
  // is ours.
  for (auto uids = missing(); !shut_down_ && !uids.empty() && now_ns() < deadline_ns;
       uids = missing()) {
    const int64_t left = std::min<int64_t>(deadline_ns - now_ns(), kSecondNs);
    changed_.wait_for(lock, std::chrono::nanoseconds(std::max<int64_t>(left, 0)));
    if (!while_waiting || now_ns() < next_look) continue;
    next_look = now_ns() + kSecondNs;
    lock.unlock();
    while_waiting(uids);
    lock.lock();
  }
  if (shut_down_) throw Error(Code::kAborted, "the runtime was shut down while it was connecting");

  std::vector<std::shared_ptr<Peer>> peers;
  std::string failed;
  int n_failed = 0;
  Code code = Code::kTimeout;
  for (const PeerCard& card : cards) {
    if (answer(card) == Answer::kPeer) {
      peers.push_back(card.uid == card_.uid ? nullptr : known_[card.uid].peer);
      continue;
    }
    ++n_failed;
    if (answer(card) == Answer::kFailure) code = Code::kSystem;
    failed += "\n  " + failure_text(card, card_.uid < card.uid);
  }
  if (n_failed == 0) return peers;
  throw Error(code, strf("could not connect to %d of %zu processes:%s", n_failed, cards.size(),
                         failed.c_str()));
}

std::string RuntimeImpl::failure_text(const PeerCard& card, bool opens) const {
  const std::string who = describe_process(card);
  const auto found = known_.find(card.uid);
  const Known* known = found == known_.end() ? nullptr : &found->second;
  if (known != nullptr && known->ended != PeerState::kAlive)
    return who + " has ended: " + known->end_why;
  std::string text = who + ": ";
  if (opens) {
    text += known == nullptr || known->reasons.empty() ? "not reached before the deadline"
                                                       : "not reached";
  } else {
    text +=
        "it did not connect to this process before the deadline (of a pair, the process with the "
        "smaller uid opens)";
  }
  if (known != nullptr) {
    for (const std::string& reason : known->reasons) text += "; " + reason;
  }
  return text;
}

std::string RuntimeImpl::describe() const {
  std::string text = "this is " + describe_process(card_) + ", reachable at";
  if (!card_.unix_name.empty()) text += " unix socket,";
  for (const PeerCard::Address& each : card_.addresses) {
    text += strf(" %s %s port %u,", each.interface.c_str(), each.ip.c_str(), each.port);
  }
  text.back() = '\n';
  for (const std::string& each : rejected_addresses_) text += "  not offered: " + each + "\n";
  const std::lock_guard lock(mutex_);
  for (const auto& [uid, known] : known_) {
    if (known.peer != nullptr) {
      text += known.peer->describe() + "\n";
    } else if (!known.line.empty()) {
      text += known.line + "\n";
    }
  }
  const int64_t dropped_connections = accepter_.dropped();
  const int64_t dropped_frames = dropped_frames_.load(std::memory_order_relaxed);
  if (dropped_connections > 0) {
    text += strf("%lld connections were dropped during their handshake\n",
                 static_cast<long long>(dropped_connections));
  }
  if (dropped_frames > 0) {
    text += strf("%lld frames came for groups that are closed here\n",
                 static_cast<long long>(dropped_frames));
  }
  return text;
}

}  // namespace distos_coll
