// The two 8-bit float formats of OCP's "8-bit Floating Point Specification", in integer arithmetic
// on lanes of 32 bits. Narrowing gives the bits of torch's conversion from float32 (2.13). Where an
// instruction set has a float16 converter, that widens both; NaN payloads apart, the bits are the
// same.
#pragma once

#include "reduce/vectors.h"

namespace distos_coll::reduce {

// Without infinities: 0x7f and 0xff are NaN, and what is too large becomes +-448, infinities too.
struct E4m3 {
  static constexpr int kMantissa = 3;
  static constexpr uint32_t kBias = 7;
  static constexpr uint32_t kFirstSpecial = 0x7f;
  // In bits of float32, what every larger magnitude is taken for.
  static constexpr int32_t kCeiling = 0x43e00000;  // 448
};

// A short float16. From 61440, the middle between the largest value and the next step, on, rounding
// carries into infinity.
struct E5m2 {
  static constexpr int kMantissa = 2;
  static constexpr uint32_t kBias = 15;
  static constexpr uint32_t kFirstSpecial = 0x7c;
  static constexpr int32_t kCeiling = 0x47800000;  // 65536
};

// `widen` takes lanes that hold the 8 bits, zero-extended; `narrow` returns such lanes.
template <class Isa, class Format>
struct Float8Codec {
  using Bits = Vec<uint32_t, Isa::kBytes>;
  using Ints = Vec<int32_t, Isa::kBytes>;  // magnitudes fit, and SSE2 compares signed lanes only
  using Float = Vec<float, Isa::kBytes>;
  using Words = Vec<uint16_t, Isa::kBytes>;
  using SignedWords = Vec<int16_t, Isa::kBytes>;
  static constexpr int kShift = 23 - Format::kMantissa;
  static constexpr uint32_t kRebias = (127 - Format::kBias) << 23;
  static constexpr uint32_t kFirstNormal = kRebias + (1U << 23);  // in bits of float32

  DISTOS_COLL_INLINE Float widen(Bits code) {
    const Bits sign = (code & 0x80U) << 24;
    const Bits shifted = (code & 0x7fU) << kShift;
    const Bits normal = shifted + kRebias;
    // As in Float16Codec: glue m below the smallest normal value and take that away again.
    const Bits glue = Bits{} + kFirstNormal;
    const Bits subnormal = (Bits)((Float)(shifted + glue) - (Float)glue);
    // Sets what is missing of the exponent; E4M3's NaN keeps its mantissa.
    const Bits special = shifted | 0x7f800000U;
    Bits out = (Ints)shifted < (int32_t{1} << 23) ? subnormal : normal;
    out = (Ints)shifted >= int32_t{Format::kFirstSpecial << kShift} ? special : out;
    return (Float)(out | sign);
  }

  // Codes in the upper bytes of the lanes, zeros in the lower ones, as float16; E4m3's bias differs
  // by 8.
  DISTOS_COLL_INLINE Words as_float16(Words codes) {
    if constexpr (Format::kBias == 15) {
      return codes;
    } else {
      // The exponent's upper bit, which E4M3 lacks, is a copy of the sign at first. Only NaN
      // carries into it.
      const Words shifted = (Words)((SignedWords)codes >> 1) & 0xbf80;
      return shifted | ((shifted + 0x80) & 0x4000);
    }
  }
  DISTOS_COLL_INLINE Float from_float16(Float value) {
    if constexpr (Format::kBias == 15) {
      return value;
    } else {
      return value * 256.0F;
    }
  }

  DISTOS_COLL_INLINE Bits narrow(Float value) {
    constexpr uint32_t kHalf = (1U << (kShift - 1)) - 1;
    const Bits bits = (Bits)value;
    const Bits sign = (bits >> 24) & 0x80U;
    const Ints magnitude = (Ints)(bits & 0x7fffffffU);
    const Ints held = magnitude < Format::kCeiling ? magnitude : Ints{} + Format::kCeiling;
    // Half to even; a carry out of the mantissa lands in the exponent, as it should.
    const Bits normal = ((Bits)held - kRebias + kHalf + (((Bits)held >> kShift) & 1U)) >> kShift;
    // The last bit of this power of two is the unit of a subnormal: the addition itself rounds to
    // even.
    const Bits anchor = Bits{} + (kFirstNormal + (static_cast<uint32_t>(kShift) << 23));
    const Bits subnormal = (Bits)((Float)held + (Float)anchor) - anchor;
    Bits out = held < int32_t{kFirstNormal} ? subnormal : normal;
    out = magnitude > 0x7f800000 ? Bits{} + 0x7fU : out;
    return out | sign;
  }
};

}  // namespace distos_coll::reduce
