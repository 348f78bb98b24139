// Where a group meets that is made of some ranks of another: the others' boards.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/store.h"

namespace distos_coll {

class BoardStore final : public Store {
 public:
  // `members` are ranks of the parent, alike on all of them; so is `name`, and used once.
  BoardStore(std::shared_ptr<Communicator> parent, std::vector<int> members,
             const std::string& name);

  void set(const std::string& key, const std::string& value) override;
  // Throws if a member has died, if the one that the key belongs to has left, and as the parent did
  // if that is broken.
  std::optional<std::string> get(const std::string& key, int64_t timeout_ms) override;
  void release(const std::string& prefix, int ranks) override;
  bool notices_ends() const override { return true; }

 private:
  const std::shared_ptr<Communicator> parent_;
  const std::vector<int> members_;
  const std::string prefix_;
};

}  // namespace distos_coll
