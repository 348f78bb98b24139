// Runs all ranks of a program on symbols: an element of memory is the input element that it came
// from and the set of ranks whose contributions are in it (docs/decisions/0001, "Verification").
//
// It is distos_coll/program/machine.py again, for groups of hundreds of ranks; the tests compare
// the two word for word. Every rank is run, none stands for others.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "program/ir.h"
#include "verify/fault.h"
#include "verify/memory.h"

namespace distos_coll::verify {

// What a run of elements of an output must be.
struct Expected {
  int64_t at, count;
  int64_t index;  // of the first in the input
  int64_t rank;   // whose input; -1: that of all, reduced
};

// What one rank passes to the collective.
struct RankCall {
  int64_t n_in = 0, n_out = 0;
  int64_t in_base = -1, out_base = -1;  // where they lie in the memory that they share; -1: apart
  std::vector<std::vector<int64_t>> arrays;  // from program::kFirstCallArray on
  std::vector<Expected> expected;
};

struct Call {
  int64_t params[program::kParamCount] = {};  // those that all ranks have in common
  std::vector<RankCall> ranks;
};

// In which order lanes run, and how much a link takes before its receiver asks.
struct Schedule {
  int64_t credit = 0;
  bool descending = false;
};

class Verifier {
 public:
  // `domain_of` numbers domains by their smallest rank. `label` is the program's name as errors
  // write it. `interrupted` is asked now and then, and may throw.
  Verifier(
      program::Program code, std::string label, std::vector<int64_t> domain_of,
      std::vector<std::vector<int64_t>> arrays, bool in_rank_order,
      std::function<void()> interrupted = [] {});

  // What is wrong, or nothing.
  std::optional<Fault> run(const Call& call, const Schedule& schedule);

  // Instructions of all runs so far, and sets of ranks that occurred.
  int64_t steps() const { return steps_; }
  int64_t sets() const { return static_cast<int64_t>(algebra_.sets.count()); }

 private:
  program::Program code_;
  std::string label_;
  std::vector<int64_t> domain_of_;
  std::vector<std::vector<int64_t>> members_;
  std::vector<std::vector<int64_t>> arrays_;
  std::function<void()> interrupted_;
  Algebra algebra_;
  int64_t steps_ = 0;
};

}  // namespace distos_coll::verify
