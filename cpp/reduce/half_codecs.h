// float16 and bfloat16 in integer arithmetic, on lanes of 32 bits. An instruction set with a
// float16 converter of its own (Isa::kNativeFloat16) uses that instead; both give the same bits.
#pragma once

#include "reduce/vectors.h"

namespace distos_coll::reduce {

template <class Isa>
struct HalfLanes {
  using Bits = Vec<uint32_t, Isa::kBytes>;
  using Ints = Vec<int32_t, Isa::kBytes>;  // magnitudes fit, and SSE2 compares signed lanes only
  using Float = Vec<float, Isa::kBytes>;
  using Packed = Vec<uint16_t, Isa::kBytes / 2>;
};

// A codec's `widen` takes lanes that hold the 16 bits of a half, zero-extended; `widen_low` and
// `widen_high` the lower and the upper half of a lane. `narrow` returns zero-extended halves, and
// so does `narrow_reduced`, for values that were computed from widened halves.
template <class Isa>
struct Float16Codec : HalfLanes<Isa> {
  using typename HalfLanes<Isa>::Bits;
  using typename HalfLanes<Isa>::Float;
  using typename HalfLanes<Isa>::Ints;
  static constexpr bool kNative = Isa::kNativeFloat16;

  DISTOS_COLL_INLINE Float widen_low(Bits pair) { return widen(pair & 0xffffu); }
  DISTOS_COLL_INLINE Float widen_high(Bits pair) { return widen(pair >> 16); }

  DISTOS_COLL_INLINE Float widen(Bits half) {
    constexpr uint32_t kRebias = (127 - 15) << 23;
    const Bits sign = (half & 0x8000u) << 16;
    const Bits shifted = (half & 0x7fffu) << 13;
    const Bits normal = shifted + kRebias;
    // A subnormal is m * 2^-24: glue m below 2^-14 and take that away again, which is exact.
    const Bits glue = Bits{} + (113u << 23);
    const Bits subnormal = (Bits)((Float)(shifted + glue) - (Float)glue);
    const Bits special = (normal + kRebias) | ((Bits)((Ints)shifted > (0x7c00 << 13)) & 0x400000u);
    Bits out = (Ints)shifted < (0x0400 << 13) ? subnormal : normal;
    out = (Ints)shifted > (0x7bff << 13) ? special : out;
    return (Float)(out | sign);
  }

  DISTOS_COLL_INLINE Bits narrow(Float value) {
    const Bits bits = (Bits)value;
    const Bits sign = (bits >> 16) & 0x8000u;
    const Bits magnitude = bits & 0x7fffffffu;
    // Half to even; a carry out of the mantissa lands in the exponent, as it should, up to
    // infinity.
    const Bits normal =
        (magnitude - ((127u - 15u) << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    // 0.5 has its last bit at 2^-24, the unit of a subnormal half: the addition itself rounds to
    // even.
    const Bits half_one = Bits{} + 0x3f000000u;
    const Bits subnormal = (Bits)((Float)magnitude + (Float)half_one) - half_one;
    const Bits nan = ((magnitude >> 13) & 0x3ffu) | 0x7e00u;
    Bits out = (Ints)magnitude < 0x38800000 ? subnormal : normal;
    out = (Ints)magnitude > 0x477fffff ? Bits{} + 0x7c00u : out;
    out = (Ints)magnitude > 0x7f800000 ? nan : out;
    return out | sign;
  }

  DISTOS_COLL_INLINE Bits narrow_reduced(Float value) { return narrow(value); }
};

// AVX512_BF16's converter is not used: it flushes subnormals to zero, whatever MXCSR says.
template <class Isa>
struct Bfloat16Codec : HalfLanes<Isa> {
  using typename HalfLanes<Isa>::Bits;
  using typename HalfLanes<Isa>::Float;
  static constexpr bool kNative = false;

  DISTOS_COLL_INLINE Float widen(Bits half) { return (Float)(half << 16); }
  DISTOS_COLL_INLINE Float widen_low(Bits pair) { return (Float)(pair << 16); }
  DISTOS_COLL_INLINE Float widen_high(Bits pair) { return (Float)(pair & 0xffff0000u); }

  DISTOS_COLL_INLINE Bits narrow(Float value) {
    return (value != value ? ((Bits)value | 0x400000u) : rounded(value)) >> 16;
  }

  // A NaN computed from bfloat16 inputs is one of them or the processor's default NaN. Either way
  // its low half is zero, so rounding cannot carry into the rest and needs no test.
  DISTOS_COLL_INLINE Bits narrow_reduced(Float value) { return rounded(value) >> 16; }

 private:
  DISTOS_COLL_INLINE Bits rounded(Float value) {
    const Bits bits = (Bits)value;
    return bits + 0x7fffu + ((bits >> 16) & 1u);
  }
};

// Between halves in memory order and floats in memory order.
template <class Isa, class Codec>
struct HalfInOrder : HalfLanes<Isa> {
  using typename HalfLanes<Isa>::Bits;
  using typename HalfLanes<Isa>::Float;
  using typename HalfLanes<Isa>::Packed;

  DISTOS_COLL_INLINE Float widen(Packed halves) {
    if constexpr (Codec::kNative) {
      return Isa::widen_float16(halves);
    } else {
      return Codec::widen(__builtin_convertvector(halves, Bits));
    }
  }

  DISTOS_COLL_INLINE Packed narrow(Float values) {
    if constexpr (Codec::kNative) {
      return Isa::narrow_float16(values);
    } else {
      return __builtin_convertvector(Codec::narrow(values), Packed);
    }
  }
};

}  // namespace distos_coll::reduce
