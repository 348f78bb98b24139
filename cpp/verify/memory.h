// Memory of ranks while a program is verified: what is in it, and who is using it. The same rules
// as in distos_coll/program/memory.py.
#pragma once

#include <cstdint>
#include <vector>

#include "verify/fault.h"
#include "verify/rank_sets.h"

namespace distos_coll::verify {

// Which input element it came from, whose contributions are in it, and whether its reduction was
// declared complete.
struct Element {
  int32_t index = -1;  // -1: never written
  uint32_t done : 1 = 0;
  uint32_t set : 31 = 0;

  bool operator==(const Element&) const = default;
};
using Elements = std::vector<Element>;

// A transfer that has not finished: it reads or writes [start, stop) of a backing.
struct Use {
  int64_t start, stop;
  bool writes;
  uint64_t id;
  Place place;
};

// To memory that others access directly. It is over when `who` has committed another round.
struct Access {
  int64_t start, stop;
  int32_t who;  // its number in the domain
  int32_t rank;
  int64_t round;
  bool writes;
};

// A piece of memory of one rank. Input and output share one when a call is in place.
struct Backing {
  int32_t owner = 0;
  bool exposed = false;
  bool returned = false;
  Elements data;
  std::vector<Use> uses;
  std::vector<Access> accesses;
};

// A buffer as a call binds it.
struct View {
  Backing* backing = nullptr;
  int64_t base = 0;
  int64_t length = 0;

  // The offset in the backing; Fault if it does not lie in the buffer.
  int64_t span(int64_t off, int64_t n) const;
};

// Part of a buffer.
struct Part {
  View view;
  int64_t off = 0;

  int64_t start() const { return view.base + off; }
  bool same_place(const Part& other) const {
    return view.backing == other.view.backing && start() == other.start();
  }
};

// How far a rank has seen the others of its domain get in the window.
struct Observer {
  int32_t number = 0;
  int32_t rank = 0;
  int64_t arrived = 0;
  std::vector<int64_t> observed;  // by number in the domain
};

// Copies; Fault if something in it was never written.
Elements take(const Elements& data, int64_t start, int64_t n);

Elements load(const Part& part, int64_t n, const Observer& observer);
void store(const Part& part, const Elements& elements, const Observer& observer);
// Writes, after checking that no other rank may still be using it.
void write(Backing& backing, int64_t start, const Elements& elements, const Observer& observer);

// Kernels take equal or disjoint memory.
void check_overlap(const Part& dst, const Part& src, int64_t n);
// Before another rank accesses the memory.
void check_there(const View& view);
// When a call returns, its caller may overwrite the buffers. `who` begins what is said.
void check_returned(const View& view, const Observer& observer, const std::string& who);

// Marks memory as used by a transfer in flight; the number is for release().
uint64_t occupy(const Part& part, int64_t n, bool writes, const Place& place);
void release(Backing& backing, uint64_t use);

// The arithmetic of contributions.
class Algebra {
 public:
  Algebra(int64_t size, bool in_rank_order)
      : sets(size), size_(size), in_rank_order_(in_rank_order) {}

  Elements reduce(const std::vector<Elements>& inputs);
  Elements finalize(Elements elements) const;
  std::string text(const Element& element) const;

  RankSets sets;

 private:
  void add(Element& sum, const Element& other);
  void require_rank_order(const std::vector<Elements>& inputs) const;

  int64_t size_;
  bool in_rank_order_;
};

}  // namespace distos_coll::verify
