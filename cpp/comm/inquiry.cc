#include "comm/inquiry.h"

#include <algorithm>
#include <utility>

#include "comm/bytes.h"

namespace distos_coll {
namespace {

constexpr int64_t kMs = 1'000'000;
// Long for an operation among ranks that are all there, short for a person.
constexpr int64_t kFirstQuestionNs = 250 * kMs;
constexpr int64_t kLongestGapNs = 10'000 * kMs;
// Control threads answer whatever their program does; on busy cores they wait for their turn.
constexpr int64_t kAnswerNs = 700 * kMs;

const char* progress_of(Recorder::State state) {
  switch (state) {
    case Recorder::State::kQueued:
      return "which waits for its turn";
    case Recorder::State::kRunning:
      return "which is under way";
    case Recorder::State::kFinished:
      return "which has finished";
    case Recorder::State::kFailed:
      return "which has failed";
  }
  return "";
}

}  // namespace

std::string Whereabouts::encode() const {
  ByteWriter out;
  out.number(asked);
  out.number(last);
  out.number(static_cast<uint32_t>(last_state));
  out.number(last_signature.word());
  out.number(asked_signature.word());
  return out.take();
}

std::optional<Whereabouts> Whereabouts::decode(const std::string& payload) {
  ByteReader in(payload.data(), payload.size());
  Whereabouts out;
  out.asked = in.number<int64_t>();
  out.last = in.number<int64_t>();
  const auto state = in.number<uint32_t>();
  out.last_signature = Signature(in.number<uint64_t>());
  out.asked_signature = Signature(in.number<uint64_t>());
  const bool known = state >= static_cast<uint32_t>(Recorder::State::kQueued) &&
                     state <= static_cast<uint32_t>(Recorder::State::kFailed);
  const bool named = out.last_signature.valid() && out.asked_signature.valid();
  if (!in.ok() || in.left() != 0 || !known || !named) return std::nullopt;
  out.last_state = static_cast<Recorder::State>(state);
  return out;
}

Whereabouts whereabouts_of(const Recorder& recorder, int64_t asked) {
  Whereabouts out;
  out.asked = asked;
  out.last = recorder.last();
  if (const auto newest = recorder.find(out.last)) {
    out.last_state = newest->state;
    out.last_signature = newest->signature;
  }
  if (const auto record = recorder.find(asked)) out.asked_signature = record->signature;
  return out;
}

std::string describe(const Whereabouts& where) {
  if (where.last == 0) return "has called no collective of this group yet";
  const std::string last =
      strf("#%lld, %s, %s", static_cast<long long>(where.last),
           where.last_signature.describe().c_str(), progress_of(where.last_state));
  if (where.last == where.asked) return "is in " + last;
  if (where.last > where.asked) return "is further: its last is " + last;
  return strf("has not called #%lld; its last is ", static_cast<long long>(where.asked)) + last;
}

std::string encode_audit(const Recorder& recorder) {
  ByteWriter out;
  for (const Recorder::Checkpoint& each : recorder.checkpoints()) {
    out.number(each.sequence);
    out.number(uint64_t{0});
    out.number(each.history);
  }
  const int64_t newest = recorder.last();
  for (int64_t i = std::max<int64_t>(newest - static_cast<int64_t>(Recorder::kRecords) + 1, 1);
       i <= newest; ++i) {
    const auto record = recorder.find(i);
    if (!record) continue;
    out.number(i);
    out.number(record->signature.word());
    out.number(record->history);
  }
  return out.take();
}

std::optional<int64_t> first_difference(const Recorder& recorder, const std::string& payload) {
  ByteReader in(payload.data(), payload.size());
  std::optional<int64_t> somewhere_before;
  while (in.ok() && in.left() > 0) {
    const auto sequence = in.number<int64_t>();
    const Signature theirs(in.number<uint64_t>());
    const auto history = in.number<uint64_t>();
    if (!in.ok()) break;
    std::optional<uint64_t> own_history = recorder.checkpoint(sequence);
    if (theirs.word() != 0) {
      const auto own = recorder.find(sequence);
      if (own && !(own->signature == theirs)) return sequence;
      own_history = own ? std::optional(own->history) : std::nullopt;
    }
    if (own_history && *own_history != history && !somewhere_before) somewhere_before = sequence;
  }
  return somewhere_before;
}

void Inquiry::begin(int64_t sequence) {
  const std::lock_guard lock(mutex_);
  sequence_ = sequence;
  since_ns_ = concluded_ns_ = 0;
}

bool Inquiry::due(int64_t now, int64_t deadline) {
  if (since_ns_ == 0) {
    since_ns_ = now;
    // With a short deadline there is less to lose by asking early.
    gap_ns_ = std::clamp<int64_t>((deadline - now) / 2, kMs, kFirstQuestionNs);
    next_ns_ = now + gap_ns_;
  }
  if (now < next_ns_) return false;
  gap_ns_ = std::min(2 * gap_ns_, kLongestGapNs);
  next_ns_ = now + gap_ns_;
  return true;
}

void Inquiry::conclude(int64_t now, Code code, std::string why) {
  concluded_ns_ = now;
  code_ = code;
  why_ = std::move(why);
}

bool Inquiry::settled(int64_t now, int own) const {
  if (now - concluded_ns_ >= kAnswerNs) return true;
  for (size_t rank = 0; rank < told_.size(); ++rank) {
    if (static_cast<int>(rank) != own && !told(static_cast<int>(rank))) return false;
  }
  return true;
}

void Inquiry::tell(int rank, const Whereabouts& where) {
  const std::lock_guard lock(mutex_);
  if (where.asked == sequence_) told_[static_cast<size_t>(rank)] = where;
}

std::optional<Whereabouts> Inquiry::told(int rank) const {
  const std::lock_guard lock(mutex_);
  const Whereabouts& where = told_[static_cast<size_t>(rank)];
  if (where.asked != sequence_) return std::nullopt;
  return where;
}

int Inquiry::differing(Signature own) const {
  const std::lock_guard lock(mutex_);
  for (size_t rank = 0; rank < told_.size(); ++rank) {
    const Whereabouts& where = told_[rank];
    if (where.asked == sequence_ && where.called_asked() && !(where.asked_signature == own))
      return static_cast<int>(rank);
  }
  return -1;
}

}  // namespace distos_coll
