#include "program/evaluate.h"

namespace distos_coll::program {
namespace {

// Plans come from files too, so arithmetic wraps instead of being undefined.
int64_t wrap(uint64_t value) { return static_cast<int64_t>(value); }

int64_t floor_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return wrap(0 - static_cast<uint64_t>(a));
  const int64_t quotient = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

int64_t floor_mod(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  const int64_t rest = a % b;
  return (rest != 0 && (rest < 0) != (b < 0)) ? rest + b : rest;
}

}  // namespace

int64_t Values::evaluate(const Expr& e) const {
  const auto value = [this](int64_t id) { return values_[static_cast<size_t>(id)]; };
  const auto bits = [&](int64_t id) { return static_cast<uint64_t>(value(id)); };
  switch (e.op) {
    case ExprOp::kConst:
      return e.a;
    case ExprOp::kParam:
      return environment_->params[e.a];
    case ExprOp::kVar:
      return vars_[e.a];
    case ExprOp::kAdd:
      return wrap(bits(e.a) + bits(e.b));
    case ExprOp::kSub:
      return wrap(bits(e.a) - bits(e.b));
    case ExprOp::kMul:
      return wrap(bits(e.a) * bits(e.b));
    case ExprOp::kDiv:
      return floor_div(value(e.a), value(e.b));
    case ExprOp::kMod:
      return floor_mod(value(e.a), value(e.b));
    case ExprOp::kMin:
      return std::min(value(e.a), value(e.b));
    case ExprOp::kMax:
      return std::max(value(e.a), value(e.b));
    case ExprOp::kXor:
      return value(e.a) ^ value(e.b);
    case ExprOp::kAnd:
      return value(e.a) & value(e.b);
    case ExprOp::kShl:
      return bits(e.b) < 64 ? wrap(bits(e.a) << bits(e.b)) : 0;
    case ExprOp::kShr:
      return bits(e.b) < 64 ? value(e.a) >> value(e.b) : (value(e.a) < 0 ? -1 : 0);
    case ExprOp::kEq:
      return value(e.a) == value(e.b);
    case ExprOp::kLt:
      return value(e.a) < value(e.b);
    case ExprOp::kSelect:
      return value(e.a) ? value(e.b) : value(e.c);
    case ExprOp::kIndex: {
      const auto array = environment_->arrays[e.a];
      const int64_t index = value(e.b);
      return index >= 0 && index < static_cast<int64_t>(array.size())
                 ? array[static_cast<size_t>(index)]
                 : -1;
    }
  }
  return 0;
}

}  // namespace distos_coll::program
