// The reductions on one vector of accumulators. No expression multiplies and adds, so FMA
// contraction cannot make one instruction set differ from another.
#pragma once

#include <type_traits>

#include "core/types.h"
#include "reduce/vectors.h"

namespace distos_coll::reduce {

// The lanes' bits, for arithmetic that wraps and for signs.
template <class Lane>
using BitsOf = std::conditional_t<
    sizeof(Lane) == 1, uint8_t,
    std::conditional_t<sizeof(Lane) == 2, uint16_t,
                       std::conditional_t<sizeof(Lane) == 4, uint32_t, uint64_t>>>;

template <class Isa, class Lane>
struct Ops {
  using V = Vec<Lane, Isa::kBytes>;
  using Bits = Vec<BitsOf<Lane>, Isa::kBytes>;
  static constexpr bool kFloating = std::is_floating_point_v<Lane>;

  template <ReduceOp op>
  DISTOS_COLL_INLINE V apply(V a, V b) {
    if constexpr (op == ReduceOp::kSum) {
      return add(a, b);
    } else if constexpr (op == ReduceOp::kProduct) {
      return multiply(a, b);
    } else if constexpr (op == ReduceOp::kMin) {
      return min(a, b);
    } else if constexpr (op == ReduceOp::kMax) {
      return max(a, b);
    } else if constexpr (op == ReduceOp::kBand) {
      return (V)((Bits)a & (Bits)b);
    } else if constexpr (op == ReduceOp::kBor) {
      return (V)((Bits)a | (Bits)b);
    } else {
      static_assert(op == ReduceOp::kBxor);
      return (V)((Bits)a ^ (Bits)b);
    }
  }

  DISTOS_COLL_INLINE V add(V a, V b) {
    if constexpr (kFloating) {
      return a + b;
    } else {
      return (V)((Bits)a + (Bits)b);
    }
  }

  DISTOS_COLL_INLINE V multiply(V a, V b) {
    if constexpr (kFloating) {
      return a * b;
    } else {
      return (V)((Bits)a * (Bits)b);
    }
  }

  // A comparison with NaN is false, so b = NaN wins by itself and a = NaN needs a look. Equal
  // values have equal bits, except for zeros, where the sign decides.
  DISTOS_COLL_INLINE V min(V a, V b) {
    V out = a < b ? a : b;
    if constexpr (kFloating) {
      out = a == b ? (V)((Bits)a | (Bits)b) : out;
      out = a != a ? a : out;
    }
    return out;
  }

  DISTOS_COLL_INLINE V max(V a, V b) {
    V out = a > b ? a : b;
    if constexpr (kFloating) {
      out = a == b ? (V)((Bits)a & (Bits)b) : out;
      out = a != a ? a : out;
    }
    return out;
  }
};

}  // namespace distos_coll::reduce
