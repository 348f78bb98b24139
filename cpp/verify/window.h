// The window of one domain: a few slots a member, used in rounds (docs/decisions/0001). The same
// rules as in distos_coll/program/window.py.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "verify/channel.h"
#include "verify/memory.h"

namespace distos_coll::verify {

// Rounds whose slots may be in use at a time, as in cpp/exec/window.h.
inline constexpr int64_t kDepth = 32;

struct Round {
  // As far as it was written: a slot has room for two elements of each rank, and few are used.
  Elements slot;
  std::optional<View> exposed;
  Knowledge knowledge;
};

struct Member : Observer {
  bool open = false;
  int64_t freed = 0;  // rounds whose slots nobody can read any more
  Round rounds[kDepth];
  std::optional<View> offered_input, offered_output;  // registered memory

  Round& at(int64_t round) { return rounds[round % kDepth]; }
};

class Window {
 public:
  explicit Window(const std::vector<int64_t>& ranks);

  // For members without a round yet to come back to: whether the next may be opened.
  bool may_open(Member& me);
  // In the round that `me` committed last.
  bool has_arrived(Member& me, const Member& other);

  void open(Member& me, int64_t slot);
  void put(Member& me, int64_t off, const Elements& elements);
  void expose(Member& me, const View& view);
  void offer(Member& me, const View& input, const View& output);
  void commit(Member& me, const Knowledge& knowledge);

  void require_round(const Member& me) const;
  Member& member(int64_t index);
  Elements pull(const Member& me, Member& other, int64_t off, int64_t n) const;
  const View& exposed_by(const Member& me, Member& other) const;

  std::vector<Member> members;

 private:
  static bool has_reached(Member& me, const Member& other, int64_t rounds);
  static void require_open(const Member& me);
  void free_slots(Member& me) const;
  void check_slot(int64_t off, int64_t n) const;

  int64_t slot_ = 0;
};

}  // namespace distos_coll::verify
