#include "comm/shrink.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "comm/bytes.h"
#include "comm/setup_keys.h"
#include "core/log.h"
#include "core/sha256.h"

namespace distos_coll {
namespace {

// What fails a set-up may be heard of before the end of the rank that caused it.
constexpr int64_t kReasonMs = 5000;
constexpr const char* kWord = "shrink/word/";

// Alike on all ranks, and never used for another set of ranks.
std::string attempt_name(int64_t call, const std::string& gone) {
  std::string text;
  for (const uint8_t byte : sha256(gone)) text += strf("%02x", byte);
  return strf("shrink/%lld/%s/", static_cast<long long>(call), text.c_str());
}

std::string done_key(const std::string& prefix, int rank) {
  return prefix + "done/" + std::to_string(rank);
}

}  // namespace

Shrink::Shrink(std::shared_ptr<Communicator> parent, const std::vector<int>& excluded,
               int64_t timeout_ms)
    : parent_(std::move(parent)), excluded_(excluded), timeout_ms_(timeout_ms) {
  parent_->check_usable();
  check_parent();
  for (const int rank : excluded_) {
    if (rank < 0 || rank >= parent_->size() || rank == parent_->rank()) {
      throw Error(Code::kInvalid,
                  strf("shrink: rank %d cannot be excluded: it is not another rank of the group "
                       "'%s' of %d",
                       rank, parent_->name().c_str(), parent_->size()));
    }
  }
  for (int rank = 0; rank < parent_->size(); ++rank) everybody_.push_back(rank);
  start_over(parent_->shrinks_.fetch_add(1) + 1);
}

void Shrink::start_over(int64_t call) {
  word_.call = call;
  parent_->shrinks_.store(call);
  word_.gone.assign(everybody_.size(), '0');
  for (const int rank : excluded_) word_.gone[static_cast<size_t>(rank)] = '1';
}

Shrink::~Shrink() {
  // A later call has said a word of its own, if one that failed is kept so long: an exception may
  // hold on to it.
  if (finished_ || said_.gone.empty() || parent_->shrinks_.load() != said_.call) return;
  try {
    parent_->show(everybody_, kWord + std::to_string(parent_->rank()), "");
  } catch (const std::exception& error) {
    log(LogLevel::kError, "shrink: %s", error.what());
  }
}

void Shrink::check_parent() const {
  if (!parent_->closed_.load()) return;
  throw Error(Code::kInvalid,
              strf("shrink: the group '%s' was closed; shrink it before you close it, and before "
                   "you leave its with block",
                   parent_->name().c_str()));
}

std::optional<Shrink::Word> Shrink::said_by(int rank) const {
  const auto value = board().find(kWord + std::to_string(rank));
  if (!value) return std::nullopt;
  ByteReader in(value->data(), value->size());
  Word out;
  out.call = in.number<int64_t>();
  out.gone = value->substr(value->size() - in.left());
  if (!in.ok() || out.gone.size() != everybody_.size()) return std::nullopt;
  return out;
}

bool Shrink::keeps(const Word& word, int rank) const {
  return rank != parent_->rank() && word.gone[static_cast<size_t>(rank)] == '0';
}

// One that has left after it finished is no loss: it will be found that it finished.
void Shrink::mark_losses() {
  const std::lock_guard lock(parent_->state_.mutex);
  for (const int rank : everybody_) {
    const PeerState state = parent_->state_.losses[static_cast<size_t>(rank)].state;
    const bool lost = state == PeerState::kDead ||
                      (state == PeerState::kLeft && !board().find(done_key(prefix_, rank)));
    if (lost) word_.gone[static_cast<size_t>(rank)] = '1';
  }
}

void Shrink::hear() {
  for (bool complete = false; !complete;) {
    complete = true;
    mark_losses();
    for (const int rank : everybody_) {
      const auto word = rank == parent_->rank() ? std::nullopt : said_by(rank);
      if (!word || word->call < word_.call) continue;
      if (word->call > word_.call) {
        // An earlier call failed there and is made again.
        start_over(word->call);
        complete = false;
        break;
      }
      for (size_t i = 0; i < word->gone.size(); ++i) {
        if (word->gone[i] == '1') word_.gone[i] = '1';
      }
    }
  }
}

void Shrink::say() {
  if (word_ == said_) return;
  said_ = word_;
  ByteWriter out;
  out.number(word_.call);
  out.raw(word_.gone.data(), word_.gone.size());
  // To those that are excluded, too: they learn of it when they call shrink().
  parent_->show(everybody_, kWord + std::to_string(parent_->rank()), out.take());
}

std::vector<int> Shrink::others_who_differ() const {
  std::vector<int> out;
  for (const int rank : everybody_) {
    if (keeps(word_, rank) && said_by(rank) != word_) out.push_back(rank);
  }
  return out;
}

// Another thread may be in the middle of an operation that writes into the others' registered
// memory; once this rank has said that it is here, they may use that again.
void Shrink::let_operations_end(int64_t deadline) {
  while (parent_->broken() && parent_->queued_.load(std::memory_order_acquire) > 0 &&
         now_ns() < deadline) {
    parent_->progress();
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

void Shrink::agree() {
  const auto own = static_cast<size_t>(parent_->rank());
  if (!prefix_.empty()) board().forget(prefix_);
  prefix_.clear();
  const int64_t deadline = deadline_after(timeout_ms_);
  let_operations_end(deadline);
  std::vector<int> differ;
  const bool agreed = board().wait(deadline, [&] {
    check_parent();
    hear();
    if (word_.gone[own] == '1') {
      throw Error(Code::kAborted,
                  strf("rank %d was left out by the other ranks of group '%s': they excluded it in "
                       "their call of shrink(), or lost the connection to it",
                       parent_->rank(), parent_->name().c_str()));
    }
    say();
    differ = others_who_differ();
    return differ.empty();
  });
  if (!agreed) {
    std::string absent;
    for (const int rank : differ) absent += (absent.empty() ? "" : ", ") + parent_->rank_name(rank);
    throw Error(Code::kTimeout,
                strf("shrink of group '%s': %s neither ended nor called shrink() within %lld ms; "
                     "all ranks that are left must call it, except those that all others exclude",
                     parent_->name().c_str(), absent.c_str(), static_cast<long long>(timeout_ms_)));
  }
  agreed_ = word_;
  prefix_ = attempt_name(agreed_.call, agreed_.gone);
  ranks_.clear();
  for (const int rank : everybody_) {
    if (agreed_.gone[static_cast<size_t>(rank)] == '0') ranks_.push_back(rank);
  }
  ready_.reset();
}

bool Shrink::overtaken() {
  return board().wait(deadline_after(kReasonMs), [&] {
    hear();
    say();
    return !(word_ == agreed_);
  });
}

void Shrink::set(const std::string& key, const std::string& value) {
  const std::string last_step = std::string(setup_keys::kPrefix) + setup_keys::kReady + "/";
  if (key.starts_with(last_step) && value.front() == setup_keys::kGood) ready_ = value;
  parent_->show(ranks_, prefix_ + key, value);
}

// What one that found all ranks ready showed; it finished the attempt for all. One that this rank's
// word does not keep may have told some of the others only.
std::optional<std::string> Shrink::done() const {
  for (const int rank : ranks_) {
    if (!keeps(word_, rank)) continue;
    if (auto value = board().find(done_key(prefix_, rank))) return value;
  }
  return std::nullopt;
}

// All said the word when it was agreed.
void Shrink::check_members() const {
  for (const int rank : ranks_) {
    if (!keeps(word_, rank) || said_by(rank)) continue;
    throw Error(Code::kAborted, strf("%s gave up its call of shrink() of group '%s'",
                                     parent_->rank_name(rank).c_str(), parent_->name().c_str()));
  }
}

std::optional<std::string> Shrink::get(const std::string& key, int64_t timeout_ms) {
  std::optional<std::string> value;
  bool over = false;
  board().wait(deadline_after(timeout_ms), [&] {
    check_parent();
    // Who has said another word must not finish this attempt by what it reads itself.
    if (said_ == agreed_) value = board().find(prefix_ + key);
    if (value) return true;
    hear();
    value = done();
    if (value) return true;
    say();
    check_members();
    // Once this rank was ready another may have finished the attempt, until it says otherwise.
    over = !(said_ == agreed_) && (!ready_ || others_who_differ().empty());
    return over;
  });
  if (!value && over) {
    throw Error(Code::kPeerDied,
                strf("a rank ended while the ranks of group '%s' that are left made a new one",
                     parent_->name().c_str()));
  }
  return value;
}

void Shrink::release(const std::string& /*prefix*/, int /*ranks*/) {
  finished_ = true;
  parent_->show(ranks_, done_key(prefix_, parent_->rank()), *ready_);
  board().forget(prefix_);
}

}  // namespace distos_coll
