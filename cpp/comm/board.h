// Keys that the members of a group show each other over their control connections. Groups that are
// made of its ranks meet here: no store is asked, so it works when the process that served one has
// died.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "comm/store.h"

namespace distos_coll {

class Board {
 public:
  // False: there is no room; the key is not kept.
  bool set(const std::string& key, std::string value);
  std::optional<std::string> find(const std::string& key) const;
  void forget(const std::string& prefix);

  // Those who wait look again: something else than a key has changed.
  void changed();
  // Calls `look` at once and after every change, with no lock held, until it returns true or the
  // deadline has passed; returns its last answer. What it throws leaves the wait. Throws
  // Error(kAborted) when a signal interrupts.
  bool wait(int64_t deadline_ns, const std::function<bool()>& look);

 private:
  mutable std::mutex mutex_;
  std::condition_variable condition_;
  StoreTable table_;
  uint64_t changes_ = 0;
};

// What a member sends to have a key on the others' boards.
std::string encode_key(const std::string& key, const std::string& value);
// False: it was malformed, or the board has no room.
bool put_encoded(Board& board, const std::string& payload);

}  // namespace distos_coll
