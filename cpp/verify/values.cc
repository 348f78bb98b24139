#include "verify/values.h"

#include <algorithm>
#include <array>
#include <span>

namespace distos_coll::verify {
namespace {

using program::Expr;
using program::ExprOp;
using std::to_string;

// The operands of an expression: how many, and which.
struct Operands {
  std::array<int64_t, 3> ids;
  size_t n;

  std::span<const int64_t> all() const { return {ids.data(), n}; }
};

Operands operands_of(const Expr& e) {
  switch (e.op) {
    case ExprOp::kConst:
    case ExprOp::kParam:
    case ExprOp::kVar:
      return {{}, 0};
    case ExprOp::kIndex:
      return {{e.b}, 1};
    case ExprOp::kSelect:
      return {{e.a, e.b, e.c}, 3};
    default:
      return {{e.a, e.b}, 2};
  }
}

bool divides(const Expr& e) { return e.op == ExprOp::kDiv || e.op == ExprOp::kMod; }
bool shifts(const Expr& e) { return e.op == ExprOp::kShl || e.op == ExprOp::kShr; }

// Rounds towards minus infinity. The divisor is not 0, and the quotient fits.
int64_t floor_div(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

bool shifted_left(int64_t a, int64_t by, int64_t* value) {
  return !__builtin_mul_overflow(a, int64_t{1} << by, value);
}

}  // namespace

void Values::start(const program::Program& program, const program::Environment& environment) {
  program_ = &program;
  environment_ = &environment;
  values_.assign(program.exprs.size(), 0);
  bad_.assign(program.exprs.size(), 0);
  n_bad_ = 0;
  std::fill(std::begin(vars_), std::end(vars_), 0);
  for (size_t i = 0; i < program.exprs.size(); ++i) evaluate(i);
}

void Values::set_var(int64_t var, int64_t value) {
  if (vars_[var] == value) return;
  vars_[var] = value;
  for (const int32_t i : program_->dependents[static_cast<size_t>(var)])
    evaluate(static_cast<size_t>(i));
}

void Values::evaluate(size_t index) {
  const Expr& e = program_->exprs[index];
  int64_t value = 0;
  const bool good = (n_bad_ == 0 || !made_of_bad(e)) && compute(e, &value);
  values_[index] = good ? value : 0;
  n_bad_ += (good ? 0 : 1) - bad_[index];
  bad_[index] = !good;
}

bool Values::made_of_bad(const Expr& e) const {
  const Operands operands = operands_of(e);
  const auto all = operands.all();
  return std::any_of(all.begin(), all.end(), [this](int64_t id) { return bad(id); });
}

bool Values::compute(const Expr& e, int64_t* value) const {
  const auto at = [this](int64_t id) { return values_[static_cast<size_t>(id)]; };
  switch (e.op) {
    case ExprOp::kConst:
      return *value = e.a, true;
    case ExprOp::kParam:
      return *value = environment_->params[e.a], true;
    case ExprOp::kVar:
      return *value = vars_[e.a], true;
    case ExprOp::kAdd:
      return !__builtin_add_overflow(at(e.a), at(e.b), value);
    case ExprOp::kSub:
      return !__builtin_sub_overflow(at(e.a), at(e.b), value);
    case ExprOp::kMul:
      return !__builtin_mul_overflow(at(e.a), at(e.b), value);
    case ExprOp::kDiv:
      if (at(e.b) == 0 || (at(e.a) == INT64_MIN && at(e.b) == -1)) return false;
      return *value = floor_div(at(e.a), at(e.b)), true;
    case ExprOp::kMod:
      if (at(e.b) == 0) return false;
      if (at(e.b) == -1) return *value = 0, true;
      return *value = at(e.a) - floor_div(at(e.a), at(e.b)) * at(e.b), true;
    case ExprOp::kMin:
      return *value = std::min(at(e.a), at(e.b)), true;
    case ExprOp::kMax:
      return *value = std::max(at(e.a), at(e.b)), true;
    case ExprOp::kXor:
      return *value = at(e.a) ^ at(e.b), true;
    case ExprOp::kAnd:
      return *value = at(e.a) & at(e.b), true;
    case ExprOp::kShl:
      return at(e.b) >= 0 && at(e.b) < 63 && shifted_left(at(e.a), at(e.b), value);
    case ExprOp::kShr:
      if (at(e.b) < 0 || at(e.b) >= 63) return false;
      return *value = at(e.a) >> at(e.b), true;
    case ExprOp::kEq:
      return *value = at(e.a) == at(e.b), true;
    case ExprOp::kLt:
      return *value = at(e.a) < at(e.b), true;
    case ExprOp::kSelect:
      return *value = at(e.a) != 0 ? at(e.b) : at(e.c), true;
    case ExprOp::kIndex: {
      const auto array = environment_->arrays[e.a];
      const int64_t index = at(e.b);
      const bool inside = index >= 0 && index < static_cast<int64_t>(array.size());
      return *value = inside ? array[static_cast<size_t>(index)] : -1, true;
    }
  }
  return false;
}

std::string Values::why(int64_t expr) const {
  for (const int64_t id : parts_of(*program_, expr)) {
    const Expr& e = program_->exprs[static_cast<size_t>(id)];
    int64_t value = 0;
    if (bad(id) && !made_of_bad(e) && !compute(e, &value)) return reason(e);
  }
  return "a value does not exist";
}

std::string Values::reason(const Expr& e) const {
  const std::string a = to_string((*this)[e.a]), b = to_string((*this)[e.b]);
  if (divides(e) && (*this)[e.b] == 0) return "division of " + a + " by zero";
  if (shifts(e) && ((*this)[e.b] < 0 || (*this)[e.b] >= 63))
    return "shift of " + a + " by " + b + "; 0 to 62 is possible";
  return "what is computed of " + a + " and " + b + " does not fit in 64 bits";
}

std::vector<int64_t> parts_of(const program::Program& program, int64_t expr) {
  std::vector<bool> wanted(static_cast<size_t>(expr) + 1, false);
  wanted.back() = true;
  std::vector<int64_t> found;
  for (size_t i = wanted.size(); i-- > 0;) {
    if (!wanted[i]) continue;
    found.push_back(static_cast<int64_t>(i));
    const Operands operands = operands_of(program.exprs[i]);
    for (const int64_t id : operands.all()) wanted[static_cast<size_t>(id)] = true;
  }
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace distos_coll::verify
