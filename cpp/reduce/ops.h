// The reductions on one vector of accumulators. No expression multiplies and adds, so FMA
// contraction cannot make one instruction set differ from another.
#pragma once

#include <type_traits>
#include <utility>

#include "core/types.h"
#include "reduce/elements.h"
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

template <class Isa, class Element>
struct ElementOps : Ops<Isa, typename Element::Lane> {};

// (a + bi)(c + di) = (ac - bd) + (ad + bc)i with each operation rounded, whatever comes out of
// infinities: C's rules for those would cost a test per product.
template <class Isa, class T>
struct ElementOps<Isa, ComplexElement<Isa, T>> {
  using V = Vec<T, Isa::kBytes>;
  using Bits = Vec<BitsOf<T>, Isa::kBytes>;
  static constexpr size_t kLanes = Isa::kBytes / sizeof(T);

  template <ReduceOp op>
  DISTOS_COLL_INLINE V apply(V a, V b) {
    static_assert(op == ReduceOp::kProduct);
    return multiply(a, b, std::make_index_sequence<kLanes>{});
  }

 private:
  template <size_t... kLane>
  DISTOS_COLL_INLINE V multiply(V a, V b, std::index_sequence<kLane...> /*lanes*/) {
    constexpr BitsOf<T> kSign = BitsOf<T>{1} << (8 * sizeof(T) - 1);
    const V swapped = __builtin_shufflevector(a, a, (kLane ^ 1)...);
    const V real = __builtin_shufflevector(b, b, (kLane & ~size_t{1})...);
    const V imaginary = __builtin_shufflevector(b, b, (kLane | 1)...);
    // Adding the negative is subtracting, to the last bit.
    const Bits negate_real = {(kLane % 2 == 0 ? kSign : 0)...};
    return a * real + (V)((Bits)(swapped * imaginary) ^ negate_real);
  }
};

}  // namespace distos_coll::reduce
