// After the end of ranks: those that are left agree who they are, and make a group of themselves.
// docs/decisions/0006-shrink.md says why this is safe when more ranks end meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/store.h"

namespace distos_coll {

// One call of shrink() on one rank, and the store where the new group is set up.
class Shrink final : public Store {
 public:
  // Takes part in the agreement: every rank of `parent` that is left and not among `excluded` must.
  // Throws Error(kInvalid) for ranks that do not exist.
  Shrink(std::shared_ptr<Communicator> parent, const std::vector<int>& excluded,
         int64_t timeout_ms);
  // Unless the new group is there, takes back what it said, so that others do not count on it.
  ~Shrink() override;
  Shrink(const Shrink&) = delete;
  Shrink& operator=(const Shrink&) = delete;

  // Waits until all ranks that are left say the same. Throws Error(kTimeout) naming those that say
  // nothing, Error(kAborted) if the others gave this rank up.
  void agree();
  // What they agreed: ranks of the parent, in order, and how often the group was shrunk.
  const std::vector<int>& ranks() const { return ranks_; }
  int64_t call() const { return agreed_.call; }

  // The set-up of the new group failed. True if that came from the end of a rank: agree() and try
  // again. Else the failure is to be told.
  bool overtaken();

  // What the steps of the set-up see.
  void set(const std::string& key, const std::string& value) override;
  std::optional<std::string> get(const std::string& key, int64_t timeout_ms) override;
  void release(const std::string& prefix, int ranks) override;
  bool notices_ends() const override { return true; }

 private:
  // What a rank says: in which call it is, and '1' for each rank that is gone.
  struct Word {
    int64_t call = 0;
    std::string gone;
    bool operator==(const Word&) const = default;
  };

  Board& board() const { return parent_->board(); }
  std::optional<Word> said_by(int rank) const;
  // Whether `word` leaves this other rank over.
  bool keeps(const Word& word, int rank) const;
  // Takes in what has happened and what the others say; then says so in turn.
  void hear();
  void say();
  // Those that are waited for because they do not say the same.
  std::vector<int> others_who_differ() const;
  std::optional<std::string> done() const;
  void let_operations_end(int64_t deadline);
  void check_parent() const;
  void check_members() const;
  void start_over(int64_t call);
  void mark_losses();

  const std::shared_ptr<Communicator> parent_;
  const std::vector<int> excluded_;
  const int64_t timeout_ms_;
  std::vector<int> everybody_;
  Word word_, said_;
  bool finished_ = false;

  // The attempt at a group of agreed_
  Word agreed_;
  std::vector<int> ranks_;
  std::string prefix_;
  std::optional<std::string> ready_;  // this rank has shown that it is
};

}  // namespace distos_coll
