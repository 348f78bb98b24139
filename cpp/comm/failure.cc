// Communicator: what goes wrong and how it is told. Losses of members, the one way to break a
// group, and the sentences.
#include <algorithm>
#include <cstring>

#include "comm/communicator.h"

namespace distos_coll {

// A link or a read failed under an operation. The control channel will say why; until then the
// operation waits.
Code Communicator::check_broken_link(int rank, Code code, std::string* why) {
  const std::lock_guard lock(state_.mutex);
  const int culprit = fatal_loss({rank});
  if (culprit >= 0) return loss_text(culprit, current_->describe(), why);
  if (code == Code::kPeerDied) return Code::kAgain;
  *why = strf(
      "%s: reading the memory of %s failed; set DISTOS_COLL_SINGLE_COPY=0 if the kernel forbids it",
      current_->describe().c_str(), rank_name(rank).c_str());
  return code;
}

// Which loss ends an operation that waits for `waiting`, or -1. One death brings others with it
// (ranks that raise and exit), so the earliest is the one to name.
int Communicator::fatal_loss(const std::vector<int>& waiting) const {
  // What a rank published before it went is still being read for a moment.
  constexpr int64_t kSettleNs = 50'000'000;
  const int64_t now = now_ns();
  int first_dead = -1, missed = -1;
  bool patience_over = false;
  for (int rank = 0; rank < options_.size; ++rank) {
    const Loss& loss = state_.losses[static_cast<size_t>(rank)];
    if (loss.state == PeerState::kAlive) continue;
    const bool needed = std::find(waiting.begin(), waiting.end(), rank) != waiting.end();
    if (needed && now - loss.at_ns >= kSettleNs) missed = rank;
    if (loss.state != PeerState::kDead) continue;
    patience_over |= now - loss.at_ns >= runtime_.settings().death_grace_ms * 1'000'000;
    const bool earlier =
        first_dead < 0 || loss.at_ns < state_.losses[static_cast<size_t>(first_dead)].at_ns;
    if (earlier) first_dead = rank;
  }
  if (missed < 0 && !patience_over) return -1;
  return first_dead >= 0 ? first_dead : missed;
}

Code Communicator::loss_text(int rank, const std::string& doing, std::string* why) const {
  const Loss& loss = state_.losses[static_cast<size_t>(rank)];
  const bool dead = loss.state == PeerState::kDead;
  *why = strf("%s %s while rank %d was in %s of group '%s': %s", rank_name(rank).c_str(),
              dead ? "died" : "left", options_.rank, doing.c_str(), options_.name.c_str(),
              loss.why.c_str());
  return dead ? Code::kPeerDied : Code::kPeerLeft;
}

Code Communicator::check_losses(std::string* why) {
  const std::vector<int> waiting = run_->waiting_for();
  const std::lock_guard lock(state_.mutex);
  const int rank = fatal_loss(waiting);
  return rank < 0 ? Code::kAgain : loss_text(rank, current_->describe(), why);
}

// Messages with a rank that left fail alone; a death ends the group.
void Communicator::fail_messages_of_lost(Completions* finished) {
  std::string why;
  Code code = Code::kOk;
  std::vector<int> left;
  {
    const std::lock_guard lock(state_.mutex);
    for (int rank = 0; rank < options_.size; ++rank) {
      if (state_.losses[static_cast<size_t>(rank)].state == PeerState::kLeft) left.push_back(rank);
    }
    const int dead = fatal_loss({});
    if (dead >= 0) code = loss_text(dead, "send or recv", &why);
  }
  if (code != Code::kOk) {
    break_down(code, why, true);
    matcher_->fail_all(code, why, finished);
    return;
  }
  for (const int rank : left) {
    {
      const std::lock_guard lock(state_.mutex);
      if (fatal_loss({rank}) != rank) continue;
      code = loss_text(rank, "send or recv", &why);
    }
    matcher_->fail_rank(rank, code, why, finished);
  }
}

void Communicator::break_down(Code code, const std::string& why, bool tell_others) {
  {
    const std::lock_guard lock(state_.mutex);
    if (state_.broken_code != Code::kOk) return;
    state_.broken_code = code;
    state_.broken_why = why;
    // Before anybody can see that the group is broken: who is told waits for what was asked for.
    engine_->flight().ask(strf("%s in group '%s'", name_of(code), options_.name.c_str()));
    state_.broken.store(true, std::memory_order_release);
    state_.window_arrived.notify_all();
  }
  if (tell_others) {
    const auto number = static_cast<int32_t>(code);
    std::string payload(reinterpret_cast<const char*>(&number), sizeof(number));
    payload += why.substr(0, 4000);
    for (const auto& peer : peers_) {
      if (peer && peer->state() == PeerState::kAlive) {
        peer->send_control(id_, static_cast<uint32_t>(options_.rank), ControlKind::kAbort, payload,
                           -1);
      }
    }
  }
  board_.changed();
  engine_->notify();
}

void Communicator::broke_protocol(uint32_t source, const std::string& sent) {
  break_down(Code::kInternal,
             strf("rank %u sent %s, which breaks the protocol; do all ranks run the same build?",
                  source, sent.c_str()),
             true);
}

// --- What members show each other

void Communicator::show(const std::vector<int>& ranks, const std::string& key,
                        const std::string& value) {
  const std::string payload = encode_key(key, value);
  for (const int rank : ranks) {
    const auto& peer = peers_[static_cast<size_t>(rank)];
    if (!peer) {
      board_.set(key, value);
    } else if (peer->state() == PeerState::kAlive) {
      peer->send_control(id_, static_cast<uint32_t>(options_.rank), ControlKind::kShow, payload,
                         -1);
    }
  }
}

void Communicator::check_members(const std::vector<int>& ranks, int needed) {
  const std::lock_guard lock(state_.mutex);
  if (state_.broken_code != Code::kOk) throw Error(state_.broken_code, state_.broken_why);
  for (const int rank : ranks) {
    const Loss& loss = state_.losses[static_cast<size_t>(rank)];
    const bool dead = loss.state == PeerState::kDead;
    if (!dead && (rank != needed || loss.state == PeerState::kAlive)) continue;
    throw Error(dead ? Code::kPeerDied : Code::kPeerLeft,
                strf("%s %s while a part of group '%s' was set up: %s", rank_name(rank).c_str(),
                     dead ? "died" : "left", options_.name.c_str(), loss.why.c_str()));
  }
}

// --- Words

std::string Communicator::rank_name(int rank) const {
  const auto& peer = peers_[static_cast<size_t>(rank)];
  if (!peer) return strf("rank %d", rank);
  return strf("rank %d (process %lld on %s)", rank, static_cast<long long>(peer->card().pid),
              peer->card().hostname.c_str());
}

std::string Communicator::broken_why() const {
  const std::lock_guard lock(state_.mutex);
  return state_.broken_why;
}

}  // namespace distos_coll
