// Message streams: one for each (source, destination, lane), ordered and bounded. The same rules as
// in distos_coll/program/channel.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "verify/memory.h"

namespace distos_coll::verify {

// Ranks that one knows to have started, for barriers; empty in other collectives.
using Knowledge = std::vector<uint64_t>;
void learn(Knowledge& own, const Knowledge& other);

// First in, first out; a stream has few elements, and there may be a million streams.
template <typename T>
class Fifo {
 public:
  bool empty() const { return head_ == items_.size(); }
  T& front() { return items_[head_]; }
  T& back() { return items_.back(); }
  const T& back() const { return items_.back(); }
  void push(T item) { items_.push_back(std::move(item)); }
  void pop() {
    ++head_;
    if (head_ == items_.size()) {
      items_.clear();
      head_ = 0;
    } else if (head_ >= 64 && 2 * head_ > items_.size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<ptrdiff_t>(head_));
      head_ = 0;
    }
  }

 private:
  std::vector<T> items_;
  size_t head_ = 0;
};

struct Send {
  Part part;
  int64_t length;
  uint64_t use;
  Place place;
  const Knowledge* knowledge;
  int* unfinished;  // how many transfers its lane waits for
  int64_t done = 0;
};

struct Recv {
  Part dst;
  Part src;  // of a reduction
  bool reduces;
  bool same_place;
  int64_t length;
  uint64_t dst_use;
  uint64_t src_use;  // where src is another place
  Place place;
  const Observer* observer;
  Knowledge* knowledge;
  int* unfinished;
  int64_t done = 0;
};

class Channel {
 public:
  // `credit`: elements that may be under way; 0 makes every send wait for its receiver.
  Channel(int64_t source, int64_t to, int64_t lane, int64_t credit)
      : source(source), to(to), lane(lane), credit_(credit) {}

  void post(Algebra& algebra, const Send& send);
  void post(Algebra& algebra, const Recv& recv);
  // Fault if something is left that nothing matches.
  void check_left_over() const;

  const int64_t source, to, lane;

 private:
  struct Posted {
    int64_t length;
    Place place;
  };
  struct Message {
    Elements elements;
    size_t taken = 0;
    Knowledge knowledge;
  };

  void match(bool sends, int64_t length, const Place& place);
  void pump(Algebra& algebra);
  bool deliver(Algebra& algebra);
  bool accept();

  int64_t credit_;
  int64_t n_under_way_ = 0;
  Fifo<Send> sends_;
  Fifo<Recv> recvs_;
  Fifo<Message> under_way_;
  // What one side posted and the other did not yet.
  Fifo<Posted> unmatched_;
  bool unmatched_sends_ = false;
};

}  // namespace distos_coll::verify
