#include "comm/shrink.h"

#include <algorithm>
#include <utility>

#include "comm/bytes.h"
#include "comm/setup_keys.h"
#include "core/sha256.h"

namespace distos_coll {
namespace {

// What fails a set-up may be heard of before the end of the rank that caused it.
constexpr int64_t kReasonMs = 5000;
constexpr const char* kWord = "shrink/word/";
constexpr const char* kDone = "done";

// Alike on all ranks, and never used for another set of ranks.
std::string attempt_name(int64_t call, const std::string& gone) {
  std::string text;
  for (const uint8_t byte : sha256(gone)) text += strf("%02x", byte);
  return strf("shrink/%lld/%s/", static_cast<long long>(call), text.c_str());
}

}  // namespace

Shrink::Shrink(std::shared_ptr<Communicator> parent, const std::vector<int>& excluded,
               int64_t timeout_ms)
    : parent_(std::move(parent)), excluded_(excluded), timeout_ms_(timeout_ms) {
  parent_->check_usable();
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

void Shrink::mark_losses() {
  const std::lock_guard lock(parent_->state_mutex_);
  for (size_t rank = 0; rank < word_.gone.size(); ++rank) {
    if (parent_->losses_[rank].state != PeerState::kAlive) word_.gone[rank] = '1';
  }
}

std::optional<Shrink::Word> Shrink::said_by(int rank) {
  const auto value = board().find(kWord + std::to_string(rank));
  if (!value) return std::nullopt;
  ByteReader in(value->data(), value->size());
  Word out;
  out.call = in.number<int64_t>();
  out.gone = value->substr(value->size() - in.left());
  if (!in.ok() || out.gone.size() != everybody_.size()) return std::nullopt;
  return out;
}

void Shrink::listen() {
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
  if (word_ == published_) return;
  published_ = word_;
  ByteWriter out;
  out.number(word_.call);
  out.raw(word_.gone.data(), word_.gone.size());
  // To those that are excluded, too: they learn of it when they call shrink().
  parent_->show(everybody_, kWord + std::to_string(parent_->rank()), out.take());
}

bool Shrink::all_say(const Word& word) {
  return std::all_of(everybody_.begin(), everybody_.end(), [&](int rank) {
    const bool counts = rank != parent_->rank() && word.gone[static_cast<size_t>(rank)] == '0';
    return !counts || said_by(rank) == word;
  });
}

bool Shrink::nobody_says(const Word& word) {
  return std::none_of(everybody_.begin(), everybody_.end(), [&](int rank) {
    const bool counts = rank != parent_->rank() && word_.gone[static_cast<size_t>(rank)] == '0';
    return counts && said_by(rank) == word;
  });
}

void Shrink::agree() {
  const auto own = static_cast<size_t>(parent_->rank());
  const bool agreed = board().wait(deadline_after(timeout_ms_), [&] {
    listen();
    if (word_.gone[own] == '1') {
      throw Error(Code::kAborted,
                  strf("rank %d was left out by the other ranks of group '%s': they excluded it in "
                       "their call of shrink(), or lost the connection to it",
                       parent_->rank(), parent_->name().c_str()));
    }
    return all_say(word_);
  });
  if (!agreed) throw_absent();
  agreed_ = word_;
  prefix_ = attempt_name(agreed_.call, agreed_.gone);
  ranks_.clear();
  for (const int rank : everybody_) {
    if (agreed_.gone[static_cast<size_t>(rank)] == '0') ranks_.push_back(rank);
  }
  ready_.reset();
  abandoned_ = false;
}

void Shrink::throw_absent() {
  std::string absent;
  for (const int rank : everybody_) {
    const bool waited_for = rank != parent_->rank() && word_.gone[static_cast<size_t>(rank)] == '0';
    if (waited_for && said_by(rank) != word_)
      absent += (absent.empty() ? "" : ", ") + parent_->rank_name(rank);
  }
  throw Error(Code::kTimeout,
              strf("shrink of group '%s': %s neither ended nor called shrink() within %lld ms; all "
                   "ranks that are left must call it, except those that all others exclude",
                   parent_->name().c_str(), absent.c_str(), static_cast<long long>(timeout_ms_)));
}

bool Shrink::overtaken() {
  return board().wait(deadline_after(kReasonMs), [&] {
    listen();
    return !(word_ == agreed_);
  });
}

void Shrink::set(const std::string& key, const std::string& value) {
  const std::string last_step = std::string(setup_keys::kPrefix) + setup_keys::kReady + "/";
  if (key.starts_with(last_step) && value.front() == setup_keys::kGood) ready_ = value;
  parent_->show(ranks_, prefix_ + key, value);
}

std::optional<std::string> Shrink::get(const std::string& key, int64_t timeout_ms) {
  std::optional<std::string> value;
  bool over = false;
  board().wait(deadline_after(timeout_ms), [&] {
    // Who has said another word must not finish this attempt by what it reads itself.
    if (!abandoned_) value = board().find(prefix_ + key);
    // One who found all ranks ready finishes it for all.
    if (!value) value = board().find(prefix_ + kDone);
    if (value) return true;
    listen();
    abandoned_ |= !(word_ == agreed_);
    // Once this rank was ready, another may have finished the attempt, until it says otherwise.
    over = abandoned_ && (!ready_ || nobody_says(agreed_));
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
  parent_->show(ranks_, prefix_ + kDone, *ready_);
  board().forget(prefix_);
}

}  // namespace distos_coll
