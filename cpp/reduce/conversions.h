// Passes over memory outside the reduction itself: integer division, and halves to float32 and
// back.
#pragma once

#include <type_traits>

#include "reduce/half_codecs.h"
#include "reduce/vectors.h"

namespace distos_coll::reduce {

// Integer division towards zero, in place or not. Through a float type in which it is exact: with
// |a|, d < 2^m, the quotient is at least 2^-m (relatively) below the next integer, so a mantissa of
// more than m bits cannot round up to it. Larger divisors give 0 either way.
template <class Isa, class T>
struct IntegerQuotient {
  using Wide = std::conditional_t<(sizeof(T) < 4), float, double>;
  static constexpr size_t kLanes = Isa::kBytes / sizeof(Wide);
  using Packed = Vec<T, kLanes * sizeof(T)>;
  using WideInts = Vec<std::conditional_t<(sizeof(T) < 4), int32_t, int64_t>, Isa::kBytes>;
  using Floats = Vec<Wide, Isa::kBytes>;
  using M = Memory<Isa>;

  static void run(char* dst, const char* src, size_t count, int64_t divisor) {
    size_t at = 0;
    if constexpr (sizeof(T) < 8) {
      const Floats by = Floats{} + static_cast<Wide>(divisor);
      for (; count - at >= kLanes; at += kLanes) {
        const auto in = M::template load<Packed>(src + at * sizeof(T));
        M::store(dst + at * sizeof(T), quotient(in, by));
      }
    }
    for (; at < count; ++at) {
      const auto in = static_cast<int64_t>(M::template load<T>(src + at * sizeof(T)));
      M::store(dst + at * sizeof(T), static_cast<T>(in / divisor));
    }
  }

  DISTOS_COLL_INLINE Packed quotient(Packed in, Floats by) {
    if constexpr (sizeof(T) < 4) {
      const Floats floats = __builtin_convertvector(__builtin_convertvector(in, WideInts), Floats);
      return __builtin_convertvector(__builtin_convertvector(floats / by, WideInts), Packed);
    } else {
      return __builtin_convertvector(__builtin_convertvector(in, Floats) / by, Packed);
    }
  }
};

template <class Isa, class Codec>
struct HalfEntry {
  using M = Memory<Isa>;
  using Order = HalfInOrder<Isa, Codec>;
  using Packed = typename Order::Packed;
  using Float = typename Order::Float;
  static constexpr size_t kLanes = Isa::kBytes / 4;

  static void widen(float* dst, const void* src, size_t count) {
    char* out = reinterpret_cast<char*>(dst);
    const char* in = static_cast<const char*>(src);
    size_t at = 0;
    for (; count - at >= kLanes; at += kLanes) {
      M::store(out + at * 4, Order::widen(M::template load<Packed>(in + at * 2)));
    }
    if (at == count) return;
    const Float last =
        Order::widen(Isa::template load_partial<Packed>(in + at * 2, (count - at) * 2));
    Isa::template store_partial<Float>(out + at * 4, last, (count - at) * 4);
  }

  static void narrow(void* dst, const float* src, size_t count) {
    char* out = static_cast<char*>(dst);
    const char* in = reinterpret_cast<const char*>(src);
    size_t at = 0;
    for (; count - at >= kLanes; at += kLanes) {
      M::store(out + at * 2, Order::narrow(M::template load<Float>(in + at * 4)));
    }
    if (at == count) return;
    const Packed last =
        Order::narrow(Isa::template load_partial<Float>(in + at * 4, (count - at) * 4));
    Isa::template store_partial<Packed>(out + at * 2, last, (count - at) * 2);
  }
};

}  // namespace distos_coll::reduce
