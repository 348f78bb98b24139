// Sets of ranks as numbers. Equal sets have equal numbers, so that an element of memory is two
// words however many ranks contributed to it, and a set is stored once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace distos_coll::verify {

class RankSets {
 public:
  using Id = uint32_t;

  explicit RankSets(int64_t size);

  Id empty() const { return 0; }
  Id single(int64_t rank) const { return static_cast<Id>(rank) + 1; }
  Id all() const { return all_; }
  size_t count() const { return hashes_.size(); }

  // The union of two sets that have nothing in common; nothing where they do.
  std::optional<Id> unite(Id a, Id b);

  // As people read it: "[0, 3]".
  std::string text(Id set) const;
  std::string text_of_both(Id a, Id b) const;
  std::string text_of_missing(Id set) const;

 private:
  static constexpr size_t kInBlock = 4096;
  static constexpr size_t kRemembered = size_t{1} << 16;
  struct Union {
    uint64_t pair = 0;
    Id set = 0;
  };

  const uint64_t* words(Id set) const {
    return blocks_[set / kInBlock].get() + set % kInBlock * n_words_;
  }
  Id intern(const std::vector<uint64_t>& words);
  void enter(Id set);
  std::string listed(const std::vector<uint64_t>& words) const;

  size_t n_words_;
  Id all_ = 0;
  // Blocks never move: growth copies nothing and needs no second copy.
  std::vector<std::unique_ptr<uint64_t[]>> blocks_;
  std::vector<uint64_t> hashes_;   // of each set
  std::vector<Id> table_;          // open addressing by hash; a set's number plus one, or 0
  std::vector<Union> remembered_;  // what was united last; elements of a chunk ask the same again
  std::vector<uint64_t> scratch_;
};

}  // namespace distos_coll::verify
