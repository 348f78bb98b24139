#include "verify/rank_sets.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace distos_coll::verify {
namespace {

constexpr uint64_t kMix = 0x9e3779b97f4a7c15ULL;

uint64_t hash_of(const uint64_t* words, size_t n) {
  uint64_t hash = 0;
  for (size_t i = 0; i < n; ++i) {
    hash = (hash ^ words[i]) * kMix;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

RankSets::RankSets(int64_t size)
    : n_words_(static_cast<size_t>(size + 63) / 64),
      table_(1024, 0),
      remembered_(kRemembered),
      scratch_(n_words_, 0) {
  intern(scratch_);
  for (int64_t rank = 0; rank < size; ++rank) {
    std::fill(scratch_.begin(), scratch_.end(), 0);
    scratch_[static_cast<size_t>(rank) / 64] = uint64_t{1} << (rank % 64);
    intern(scratch_);
  }
  std::fill(scratch_.begin(), scratch_.end(), ~uint64_t{0});
  if (size % 64 != 0) scratch_.back() = (uint64_t{1} << (size % 64)) - 1;
  all_ = intern(scratch_);
}

std::optional<RankSets::Id> RankSets::unite(Id a, Id b) {
  const uint64_t pair = uint64_t{a} << 32 | b;
  Union& known = remembered_[(pair * kMix) >> 48];
  if (known.pair == pair && known.set != 0) return known.set;
  const uint64_t* left = words(a);
  const uint64_t* right = words(b);
  uint64_t common = 0;
  for (size_t i = 0; i < n_words_; ++i) {
    common |= left[i] & right[i];
    scratch_[i] = left[i] | right[i];
  }
  if (common != 0) return std::nullopt;
  known = {pair, intern(scratch_)};
  return known.set;
}

RankSets::Id RankSets::intern(const std::vector<uint64_t>& wanted) {
  const uint64_t hash = hash_of(wanted.data(), n_words_);
  const size_t mask = table_.size() - 1;
  for (size_t at = hash & mask; table_[at] != 0; at = (at + 1) & mask) {
    const Id set = table_[at] - 1;
    if (hashes_[set] == hash && std::equal(wanted.begin(), wanted.end(), words(set))) return set;
  }
  const size_t set = hashes_.size();
  if (set >= size_t{1} << 30) throw std::length_error("more sets of ranks than can be numbered");
  if (set % kInBlock == 0) blocks_.push_back(std::make_unique<uint64_t[]>(kInBlock * n_words_));
  std::copy(wanted.begin(), wanted.end(), blocks_.back().get() + set % kInBlock * n_words_);
  hashes_.push_back(hash);
  if (2 * hashes_.size() > table_.size()) {
    table_.assign(2 * table_.size(), 0);
    for (size_t each = 0; each < set; ++each) enter(static_cast<Id>(each));
  }
  enter(static_cast<Id>(set));
  return static_cast<Id>(set);
}

void RankSets::enter(Id set) {
  const size_t mask = table_.size() - 1;
  size_t at = hashes_[set] & mask;
  while (table_[at] != 0) at = (at + 1) & mask;
  table_[at] = set + 1;
}

std::string RankSets::text(Id set) const {
  return listed(std::vector<uint64_t>(words(set), words(set) + n_words_));
}

std::string RankSets::text_of_both(Id a, Id b) const {
  std::vector<uint64_t> both(n_words_);
  for (size_t i = 0; i < n_words_; ++i) both[i] = words(a)[i] & words(b)[i];
  return listed(both);
}

std::string RankSets::text_of_missing(Id set) const {
  std::vector<uint64_t> missing(n_words_);
  for (size_t i = 0; i < n_words_; ++i) missing[i] = words(all_)[i] & ~words(set)[i];
  return listed(missing);
}

std::string RankSets::listed(const std::vector<uint64_t>& words) const {
  std::string text;
  for (size_t rank = 0; rank < 64 * n_words_; ++rank) {
    if ((words[rank / 64] >> (rank % 64) & 1) == 0) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(rank);
  }
  return "[" + text + "]";
}

}  // namespace distos_coll::verify
