// Evaluation of a program's expression pool for one rank and one call.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "program/ir.h"

namespace distos_coll::program {

struct Environment {
  int64_t params[kParamCount] = {};
  std::span<const int64_t> arrays[kArrayCount];
};

// Values of all expressions. `start` evaluates everything with loop variables at zero, `set_var`
// what depends on one.
class Values {
 public:
  void start(const Program& program, const Environment& environment) {
    program_ = &program;
    environment_ = &environment;
    values_.resize(program.exprs.size());
    std::fill(std::begin(vars_), std::end(vars_), 0);
    for (size_t i = 0; i < program.exprs.size(); ++i) values_[i] = evaluate(program.exprs[i]);
  }

  void set_var(int64_t var, int64_t value) {
    if (vars_[var] == value) return;
    vars_[var] = value;
    for (const int32_t i : program_->dependents[static_cast<size_t>(var)]) {
      values_[static_cast<size_t>(i)] = evaluate(program_->exprs[static_cast<size_t>(i)]);
    }
  }

  // As after start().
  void rewind() {
    for (int64_t var = 0; var < program_->n_vars; ++var) set_var(var, 0);
  }

  int64_t operator[](int64_t expr) const { return values_[static_cast<size_t>(expr)]; }

 private:
  int64_t evaluate(const Expr& e) const;

  const Program* program_ = nullptr;
  const Environment* environment_ = nullptr;
  std::vector<int64_t> values_;
  int64_t vars_[kMaxVars] = {};
};

}  // namespace distos_coll::program
