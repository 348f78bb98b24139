// Evaluation of a program's expressions that refuses what the executor lets pass: zero divisors,
// shifts out of range, overflow. Only where an instruction that runs needs the value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "program/evaluate.h"
#include "program/ir.h"

namespace distos_coll::verify {

class Values {
 public:
  void start(const program::Program& program, const program::Environment& environment);
  void set_var(int64_t var, int64_t value);

  int64_t operator[](int64_t expr) const { return values_[static_cast<size_t>(expr)]; }
  // Whether the value, or one that it is made of, does not exist.
  bool bad(int64_t expr) const { return n_bad_ != 0 && bad_[static_cast<size_t>(expr)] != 0; }
  // Why a value that is bad does not exist.
  std::string why(int64_t expr) const;

 private:
  void evaluate(size_t index);
  bool made_of_bad(const program::Expr& e) const;
  bool compute(const program::Expr& e, int64_t* value) const;
  std::string reason(const program::Expr& e) const;

  const program::Program* program_ = nullptr;
  const program::Environment* environment_ = nullptr;
  std::vector<int64_t> values_;
  std::vector<uint8_t> bad_;
  int64_t n_bad_ = 0;
  int64_t vars_[program::kMaxVars] = {};
};

// The expressions that one is made of, itself among them, ascending.
std::vector<int64_t> parts_of(const program::Program& program, int64_t expr);

}  // namespace distos_coll::verify
