// Where the slots of a window's rounds lie: one behind the other, round and round. A slot is taken
// with room for the largest, because nobody knows yet how much it will hold, and cut to what it
// does hold when its round is committed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/types.h"

namespace distos_coll::exec {

class SlotRing {
 public:
  // At most this many slots are held at a time.
  static constexpr size_t kMaxHeld = 32;

  SlotRing(size_t begin, size_t bytes, size_t largest)
      : begin_(begin), end_(begin + bytes), largest_(largest), next_(begin) {}

  // Room for the largest slot, which belongs to `round`; false: too much is still held.
  bool take(uint64_t round, size_t* at) {
    if (!find(at)) return false;
    next_ = *at;
    held_[(first_ + n_held_++) % kMaxHeld] = {round, *at};
    return true;
  }
  // The slot taken last holds no more than this. Not so much that the next begins in its last line.
  void cut(size_t bytes) { next_ += (bytes + kLineBytes - 1) / kLineBytes * kLineBytes; }
  // The slot taken last is not needed.
  void give_back() { next_ = held_[(first_ + --n_held_) % kMaxHeld].at; }
  // Nobody reads the slots of rounds before this one any more.
  void release_before(uint64_t round) {
    while (n_held_ > 0 && held_[first_].round < round) {
      first_ = (first_ + 1) % kMaxHeld;
      --n_held_;
    }
  }
  // The round whose slot has been held longest; only after take() failed.
  uint64_t oldest() const { return held_[first_].round; }

 private:
  struct Held {
    uint64_t round;
    size_t at;
  };

  bool find(size_t* at) const {
    if (n_held_ == kMaxHeld) return false;
    const size_t oldest_at = held_[first_].at;
    // What is held lies between the oldest and next_, or around the end.
    const bool around = n_held_ > 0 && next_ <= oldest_at;
    const size_t limit = around ? oldest_at : end_;
    *at = next_;
    if (largest_ <= limit - next_) return true;
    *at = begin_;
    return !around && (n_held_ == 0 || largest_ <= oldest_at - begin_);
  }

  const size_t begin_, end_, largest_;
  size_t next_;
  Held held_[kMaxHeld] = {};
  size_t first_ = 0, n_held_ = 0;
};

}  // namespace distos_coll::exec
