// What the loops know about an element type: how a batch of elements in memory (`Raw`, one vector)
// becomes `kParts` vectors of accumulators, and back.
#pragma once

#include <utility>

#include "reduce/float8_codecs.h"
#include "reduce/half_codecs.h"
#include "reduce/vectors.h"

namespace distos_coll::reduce {

// Accumulates in its own type.
template <class Isa, class T>
struct PlainElement {
  using Lane = T;
  using Raw = Vec<T, Isa::kBytes>;
  using Acc = Raw;
  static constexpr size_t kSize = sizeof(T);
  static constexpr int kParts = 1;
  static constexpr bool kCopyIsIdentity = true;

  DISTOS_COLL_INLINE void decode(Raw raw, Acc* acc) { acc[0] = raw; }
  DISTOS_COLL_INLINE Raw encode(const Acc* acc) { return acc[0]; }
};

// Pairs of T, side by side as they lie in memory: for what a pair does not share with two reals.
template <class Isa, class T>
struct ComplexElement : PlainElement<Isa, T> {
  static constexpr size_t kSize = 2 * sizeof(T);
};

// Any non-zero byte is true; after decoding, the bitwise operations are the logical ones.
template <class Isa>
struct BoolElement {
  using Lane = uint8_t;
  using Raw = Vec<uint8_t, Isa::kBytes>;
  using Acc = Raw;
  static constexpr size_t kSize = 1;
  static constexpr int kParts = 1;
  static constexpr bool kCopyIsIdentity = false;

  DISTOS_COLL_INLINE void decode(Raw raw, Acc* acc) { acc[0] = (Raw)(raw != 0) & 1; }
  DISTOS_COLL_INLINE Raw encode(const Acc* acc) { return acc[0]; }
};

// Halves, accumulated in float32: even elements in one part, odd ones in the other. Order within a
// batch does not matter to a reduction, and this split costs two operations a batch where unpacking
// in order costs shuffles.
template <class Isa, class Codec, bool kNative = Codec::kNative>
struct HalfElement {
  using Lane = float;
  using Raw = Vec<uint32_t, Isa::kBytes>;
  using Acc = Vec<float, Isa::kBytes>;
  static constexpr size_t kSize = 2;
  static constexpr int kParts = 2;
  static constexpr bool kCopyIsIdentity = true;

  DISTOS_COLL_INLINE void decode(Raw raw, Acc* acc) {
    acc[0] = Codec::widen_low(raw);
    acc[1] = Codec::widen_high(raw);
  }
  DISTOS_COLL_INLINE Raw encode(const Acc* acc) {
    return Codec::narrow_reduced(acc[0]) | (Codec::narrow_reduced(acc[1]) << 16);
  }
};

// With a converter in hardware, which works in order and reads memory itself.
template <class Isa, class Codec>
struct HalfElement<Isa, Codec, true> {
  using Lane = float;
  using Raw = Vec<uint16_t, Isa::kBytes / 2>;
  using Acc = Vec<float, Isa::kBytes>;
  static constexpr size_t kSize = 2;
  static constexpr int kParts = 1;
  static constexpr bool kCopyIsIdentity = true;

  DISTOS_COLL_INLINE void decode(Raw raw, Acc* acc) {
    acc[0] = HalfInOrder<Isa, Codec>::widen(raw);
  }
  DISTOS_COLL_INLINE Raw encode(const Acc* acc) { return HalfInOrder<Isa, Codec>::narrow(acc[0]); }
};

// Accumulated in float32, byte p of each lane in part p.
template <class Isa, class Codec, bool kThroughFloat16 = Isa::kNativeFloat16>
struct Float8Element {
  using Lane = float;
  using Raw = Vec<uint32_t, Isa::kBytes>;
  using Acc = Vec<float, Isa::kBytes>;
  static constexpr size_t kSize = 1;
  static constexpr int kParts = 4;
  static constexpr bool kCopyIsIdentity = true;

  DISTOS_COLL_INLINE void decode(Raw raw, Acc* acc) {
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) acc[p] = Codec::widen((raw >> (8 * p)) & 0xffU);
  }
  DISTOS_COLL_INLINE Raw encode(const Acc* acc) {
    Raw out = Codec::narrow(acc[0]);
#pragma GCC unroll 4
    for (int p = 1; p < kParts; ++p) out |= Codec::narrow(acc[p]) << (8 * p);
    return out;
  }
};

// Two parts from the even bytes, two from the odd ones.
template <class Isa, class Codec>
struct Float8Element<Isa, Codec, true> {
  using Lane = float;
  using Raw = Vec<uint16_t, Isa::kBytes>;
  using Acc = Vec<float, Isa::kBytes>;
  using Half = Vec<uint16_t, Isa::kBytes / 2>;
  static constexpr size_t kSize = 1;
  static constexpr int kParts = 4;
  static constexpr bool kCopyIsIdentity = true;

  DISTOS_COLL_INLINE void decode(Raw raw, Acc* acc) {
    widen(Codec::as_float16(raw << 8), acc);
    widen(Codec::as_float16(raw & 0xff00), acc + 2);
  }
  DISTOS_COLL_INLINE Raw encode(const Acc* acc) {
    return join(pair(acc[0], acc[2]), pair(acc[1], acc[3]), Lanes{});
  }

 private:
  using Lanes = std::make_index_sequence<Isa::kBytes / 4>;

  DISTOS_COLL_INLINE void widen(Raw float16, Acc* acc) {
    acc[0] = Codec::from_float16(Isa::widen_float16(part<0>(float16, Lanes{})));
    acc[1] = Codec::from_float16(Isa::widen_float16(part<1>(float16, Lanes{})));
  }
  template <size_t kPart, size_t... kLane>
  DISTOS_COLL_INLINE Half part(Raw whole, std::index_sequence<kLane...> /*lanes*/) {
    return __builtin_shufflevector(whole, whole, (kPart * sizeof...(kLane) + kLane)...);
  }
  DISTOS_COLL_INLINE Half pair(Acc even, Acc odd) {
    return __builtin_convertvector(Codec::narrow(even) | (Codec::narrow(odd) << 8), Half);
  }
  template <size_t... kLane>
  DISTOS_COLL_INLINE Raw join(Half first, Half second, std::index_sequence<kLane...> /*lanes*/) {
    return __builtin_shufflevector(first, second, kLane..., (sizeof...(kLane) + kLane)...);
  }
};

template <class Isa, class Element>
struct Batch {
  using Raw = typename Element::Raw;
  using Acc = typename Element::Acc;
  static constexpr size_t kBytes = sizeof(Raw);
  static constexpr size_t kLanes = kBytes / Element::kSize;

  template <size_t kBatches>
  DISTOS_COLL_INLINE void load(const char* src, Acc* acc) {
#pragma GCC unroll 4
    for (size_t b = 0; b < kBatches; ++b) {
      Element::decode(Memory<Isa>::template load<Raw>(src + b * kBytes), acc + b * Element::kParts);
    }
  }
  template <size_t kBatches>
  DISTOS_COLL_INLINE void store(char* dst, const Acc* acc) {
#pragma GCC unroll 4
    for (size_t b = 0; b < kBatches; ++b) {
      Memory<Isa>::template store<Raw>(dst + b * kBytes,
                                       Element::encode(acc + b * Element::kParts));
    }
  }
  DISTOS_COLL_INLINE void load_partial(const char* src, size_t lanes, Acc* acc) {
    Element::decode(Isa::template load_partial<Raw>(src, lanes * Element::kSize), acc);
  }
  DISTOS_COLL_INLINE void store_partial(char* dst, size_t lanes, const Acc* acc) {
    Isa::template store_partial<Raw>(dst, Element::encode(acc), lanes * Element::kSize);
  }
};

}  // namespace distos_coll::reduce
