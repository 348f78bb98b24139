// The keys under which the ranks of a new group meet in a store.
#pragma once

#include <cstdlib>
#include <string>

#include "core/status.h"

namespace distos_coll::setup_keys {

inline constexpr const char* kPrefix = "distos/";
// The last step: who has read that all ranks are ready needs nothing of the store again.
inline constexpr const char* kReady = "ready";
// How values begin: what the rank has to say, or why it cannot go on.
inline constexpr char kGood = '+';
inline constexpr char kFailed = '!';

inline std::string key(const char* step, int rank) { return strf("%s%s/%d", kPrefix, step, rank); }

// Whose key it is; -1: nobody's.
inline int rank_of(const std::string& key) {
  const size_t slash = key.rfind('/');
  return slash == std::string::npos ? -1 : std::atoi(key.c_str() + slash + 1);
}

}  // namespace distos_coll::setup_keys
