#include "comm/board_store.h"

#include <utility>

#include "comm/setup_keys.h"

namespace distos_coll {

BoardStore::BoardStore(std::shared_ptr<Communicator> parent, std::vector<int> members,
                       const std::string& name)
    : parent_(std::move(parent)), members_(std::move(members)), prefix_(name + "/") {
  for (const int rank : members_) {
    if (rank >= 0 && rank < parent_->size()) continue;
    throw Error(Code::kInvalid, strf("rank %d is not one of the group '%s' of %d", rank,
                                     parent_->name().c_str(), parent_->size()));
  }
}

void BoardStore::set(const std::string& key, const std::string& value) {
  parent_->show(members_, prefix_ + key, value);
}

std::optional<std::string> BoardStore::get(const std::string& key, int64_t timeout_ms) {
  std::optional<std::string> value;
  const auto whose = static_cast<size_t>(setup_keys::rank_of(key));
  const int waited_for = whose < members_.size() ? members_[whose] : -1;
  parent_->board().wait(deadline_after(timeout_ms), [&] {
    value = parent_->board().find(prefix_ + key);
    // One that left may have finished; not so if its own key is missing.
    if (!value) parent_->check_members(members_, waited_for);
    return value.has_value();
  });
  return value;
}

void BoardStore::release(const std::string& prefix, int /*ranks*/) {
  parent_->board().forget(prefix_ + prefix);
}

}  // namespace distos_coll
