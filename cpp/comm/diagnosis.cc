// Communicator: why an operation does not move, and what the other ranks are doing instead.
#include <algorithm>
#include <map>

#include "comm/communicator.h"
#include "core/log.h"

namespace distos_coll {
namespace {

constexpr size_t kMaxAsked = 8;
constexpr size_t kMaxNamed = 8;

// "0, 1, 2 and 5 more".
std::string list_of(const std::vector<int>& ranks) {
  std::string text;
  for (size_t i = 0; i < std::min(ranks.size(), kMaxNamed); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
  if (ranks.size() > kMaxNamed) text += strf(" and %zu more", ranks.size() - kMaxNamed);
  return text;
}

}  // namespace

Code Communicator::look_around(int64_t now, std::string* why) {
  const Operation& operation = *current_;
  if (inquiry_.concluding()) {
    if (!inquiry_.settled(now, options_.rank)) return Code::kAgain;
    const bool differs = differing();
    if (!differs && inquiry_.code() == Code::kMismatch &&
        inquiry_.sequence() == operation.sequence && look_further_back(now))
      return Code::kAgain;
    *why = differs                             ? calls_text(inquiry_)
           : inquiry_.code() == Code::kTimeout ? timeout_text(operation)
                                               : inquiry_.why();
    return differs ? Code::kMismatch : inquiry_.code();
  }
  const bool late = now >= operation.deadline_ns;
  if (late || differing()) {
    inquiry_.conclude(now, late ? Code::kTimeout : Code::kMismatch, "");
    ask(operation.sequence, {});
  } else if (inquiry_.due(now, operation.deadline_ns)) {
    ask(operation.sequence, run_->waiting_for());
  }
  return Code::kAgain;
}

// Some rank called something else at the place that is asked about.
bool Communicator::differing() const {
  const auto own = recorder_.find(inquiry_.sequence());
  return own && inquiry_.differing(own->signature) >= 0;
}

// Data of an earlier collective may be what met this one. Asks about that, if the rank it came from
// has said what it called.
bool Communicator::look_further_back(int64_t now) {
  std::optional<int64_t> before;
  {
    const std::lock_guard lock(audit_.mutex);
    before = first_difference(recorder_, audit_.neighbours);
  }
  if (!before) return false;
  inquiry_.begin(*before);
  inquiry_.conclude(now, Code::kMismatch, inquiry_.why());
  ask(*before, {});
  return true;
}

// Nobody in particular: everybody. The answer to a question about 0 is all that the rank knows.
void Communicator::ask(int64_t sequence, const std::vector<int>& ranks) {
  std::vector<int> asked = ranks;
  if (asked.empty()) {
    for (int rank = 0; rank < options_.size; ++rank) asked.push_back(rank);
  } else {
    std::sort(asked.begin(), asked.end());
    asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
    asked.resize(std::min(asked.size(), kMaxAsked));
  }
  Whereabouts question;
  question.asked = sequence;
  for (const int rank : asked) {
    if (rank < 0 || rank >= options_.size) continue;
    const auto& peer = peers_[static_cast<size_t>(rank)];
    if (!peer || peer->state() != PeerState::kAlive) continue;
    peer->send_control(id_, static_cast<uint32_t>(options_.rank), ControlKind::kAsk,
                       question.encode(), -1);
  }
}

// On the control thread.
void Communicator::on_question_or_answer(uint32_t source, ControlKind kind,
                                         const std::string& payload) {
  const auto& peer = peers_[source];
  if (kind == ControlKind::kAudit) {
    const std::lock_guard lock(audit_.mutex);
    audit_.neighbours = payload;
    audit_.news = true;
    return;
  }
  const std::optional<Whereabouts> said = Whereabouts::decode(payload);
  if (!said || !peer) return;
  if (kind == ControlKind::kAsk && said->asked == 0) {
    peer->send_control(id_, static_cast<uint32_t>(options_.rank), ControlKind::kAudit,
                       encode_audit(recorder_), -1);
    return;
  }
  if (kind == ControlKind::kAsk) {
    peer->send_control(id_, static_cast<uint32_t>(options_.rank), ControlKind::kTell,
                       whereabouts_of(recorder_, said->asked).encode(), -1);
    return;
  }
  inquiry_.tell(static_cast<int>(source), *said);
  audit_.suspicion.tell(static_cast<int>(source), *said);
  engine_->notify();
}

// A rank that only gives, such as a broadcast's root, does not see what the others do with it. So
// each rank tells the next one what it has called, and any difference shows between neighbours.
void Communicator::audit(int64_t now) {
  if (options_.size == 1 || broken() || closed_.load(std::memory_order_acquire)) return;
  // What is called from here on is looked at next time.
  const int64_t newest = recorder_.last();
  std::string why;
  {
    const std::lock_guard lock(audit_.mutex);
    if (audit_.suspicion.concluding()) {
      if (!audit_.suspicion.settled(now, options_.rank)) return;
      why = calls_text(audit_.suspicion);
    } else if (audit_.news || newest != audit_.told) {
      audit_.news = false;
      const auto sequence = first_difference(recorder_, audit_.neighbours);
      if (sequence) {
        audit_.suspicion.begin(*sequence);
        audit_.suspicion.conclude(now, Code::kMismatch, "");
        ask(*sequence, {});
        return;
      }
    }
  }
  if (!why.empty()) {
    log(LogLevel::kError, "%s", why.c_str());
    break_down(Code::kMismatch, why, true);
    return;
  }
  const auto& next = peers_[static_cast<size_t>((options_.rank + 1) % options_.size)];
  if (newest == audit_.told || next->state() != PeerState::kAlive) return;
  audit_.told = newest;
  next->send_control(id_, static_cast<uint32_t>(options_.rank), ControlKind::kAudit,
                     encode_audit(recorder_), -1);
}

// What each rank called at this place, those that agree together.
std::string Communicator::calls_text(const Inquiry& inquiry) const {
  std::map<std::string, std::vector<int>> callers;
  std::string others;
  for (int rank = 0; rank < options_.size; ++rank) {
    const std::optional<Whereabouts> where =
        rank == options_.rank ? whereabouts_of(recorder_, inquiry.sequence()) : inquiry.told(rank);
    if (where && where->called_asked()) {
      callers[where->asked_signature.describe()].push_back(rank);
    } else {
      others += strf("; rank %d ", rank) +
                (where ? distos_coll::describe(*where) : std::string("does not answer"));
    }
  }
  if (callers.size() == 1) {
    return strf(
        "ranks of group '%s' called different operations before #%lld, so long ago that it is not "
        "known any more which. All ranks must call the same collectives in the same order with the "
        "same sizes",
        options_.name.c_str(), static_cast<long long>(inquiry.sequence()));
  }
  std::string text;
  for (const auto& [call, ranks] : callers) {
    text += strf("%srank%s %s called %s", text.empty() ? "" : "; ", ranks.size() == 1 ? "" : "s",
                 list_of(ranks).c_str(), call.c_str());
  }
  return strf(
      "ranks of group '%s' called different operations at #%lld: %s%s. All ranks must call the "
      "same collectives in the same order with the same sizes",
      options_.name.c_str(), static_cast<long long>(inquiry.sequence()), text.c_str(),
      others.c_str());
}

// Where the ranks are that are not in this operation, or do not say.
std::string Communicator::absent_text(const Operation& operation) const {
  std::string text;
  std::vector<int> present;
  size_t left_out = 0, named = 0;
  for (int rank = 0; rank < options_.size; ++rank) {
    const std::optional<Whereabouts> where = inquiry_.told(rank);
    if (rank == options_.rank || (where && where->last == operation.sequence)) {
      present.push_back(rank);
    } else if (named == kMaxNamed) {
      ++left_out;
    } else {
      ++named;
      text += rank_name(rank) + " ";
      if (where) {
        text += distos_coll::describe(*where) + ". ";
      } else if (operation.sequence > 1) {
        // What this rank got through needed all of them, as a rule.
        const auto before = recorder_.find(operation.sequence - 1);
        text += strf("does not answer (is it stopped?); the last known of it is #%lld%s. ",
                     static_cast<long long>(operation.sequence - 1),
                     before ? (", " + before->signature.describe()).c_str() : "");
      } else {
        text += "does not answer (is it stopped?). ";
      }
    }
  }
  if (left_out > 0) text += strf("%zu more are not in it. ", left_out);
  const bool all = static_cast<int>(present.size()) == options_.size;
  return text + (all ? "All ranks are in it. "
                     : strf("In it: rank%s %s. ", present.size() == 1 ? "" : "s",
                            list_of(present).c_str()));
}

std::string Communicator::timeout_text(const Operation& operation) const {
  std::vector<int> waiting = run_->waiting_for();
  std::sort(waiting.begin(), waiting.end());
  waiting.erase(std::unique(waiting.begin(), waiting.end()), waiting.end());
  // Between two steps nobody is waited for.
  const std::string whom = waiting.empty() ? "none: it was about to go on" : list_of(waiting);
  return strf(
      "%s (%s) timed out on rank %d of group '%s', which waits for rank %s. %sDid every rank call "
      "it? Is a rank slower than the timeout allows?",
      operation.describe().c_str(), operation.algorithm(), options_.rank, options_.name.c_str(),
      whom.c_str(), absent_text(operation).c_str());
}

std::string Communicator::mismatch_text(const Operation& operation) const {
  if (run_->failed_signature() == run_->signature()) {
    return strf(
        "%s of group '%s': rank %d expects another number of elements from %s than that sends",
        operation.describe().c_str(), options_.name.c_str(), options_.rank,
        rank_name(run_->failed_rank()).c_str());
  }
  return strf(
      "ranks of group '%s' called different operations: rank %d is in %s, but %s is in %s. All "
      "ranks must call the same collectives in the same order with the same sizes",
      options_.name.c_str(), options_.rank, operation.describe().c_str(),
      rank_name(run_->failed_rank()).c_str(), run_->failed_signature().describe().c_str());
}

FlightGroup Communicator::flight() const {
  FlightGroup out;
  out.id = id_;
  out.options = options_;
  out.options.timeout_ms = timeout_ms_.load(std::memory_order_relaxed);
  out.last_collective = recorder_.last();
  out.collectives = recorder_.records();
  out.last_message = matcher_->recorder().last();
  out.messages = matcher_->recorder().records();
  const std::lock_guard lock(state_.mutex);
  out.code = state_.broken_code;
  out.why = state_.broken_why;
  return out;
}

}  // namespace distos_coll
