// The entry points of reduce.h for one instruction set, and their table. Included by the kernel
// files only.
#pragma once

#include "reduce/loops.h"
#include "reduce/reduce.h"

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

template <class Isa, class Element>
struct Entry {
  using Lane = typename Element::Lane;
  using W = Walk<Isa, Element>;
  using D = Divisor<Isa, Element>;
  static constexpr bool kDividesInPlace =
      !D::kUsed && Element::kCopyIsIdentity;  // the integers, but not bool
  static constexpr size_t kBlock = 4096 / Element::kSize;

  template <ReduceOp op>
  static void reduce(void* dst, const void* const* srcs, size_t n_srcs, size_t count,
                     int64_t divisor) {
    if (n_srcs <= 1) {
      if (n_srcs == 1) copy_or_divide(dst, srcs[0], count, divisor);
      return;
    }
    if constexpr (kDividesInPlace) {
      if (divisor > 1) {
        char* out = static_cast<char*>(dst);
        for (size_t at = 0; at < count; at += kBlock) {
          const size_t n = count - at < kBlock ? count - at : kBlock;
          reduce_range<op>(dst, srcs, n_srcs, at, at + n, 1);
          char* block = out + at * Element::kSize;
          IntegerQuotient<Isa, Lane>::run(block, block, n, divisor);
        }
        return;
      }
    }
    reduce_range<op>(dst, srcs, n_srcs, 0, count, divisor);
  }

  static void divide(void* dst, const void* src, size_t count, int64_t divisor) {
    copy_or_divide(dst, src, count, divisor);
  }

  static void scale(void* dst, const void* src, size_t count, double factor) {
    using Acc = typename Element::Acc;
    const Acc by = Acc{} + lane_of(factor);
    W::run(MapBody<Isa, Element, true>{static_cast<char*>(dst), static_cast<const char*>(src), by,
                                       D::make(1)},
           0, count);
  }

 private:
  template <ReduceOp op>
  static void reduce_range(void* dst, const void* const* srcs, size_t n_srcs, size_t begin,
                           size_t end, int64_t divisor) {
    switch (n_srcs) {
      case 2:
        return W::run(ReduceBody<Isa, Element, op, 2>::make(dst, srcs, n_srcs, divisor), begin,
                      end);
      case 3:
        return W::run(ReduceBody<Isa, Element, op, 3>::make(dst, srcs, n_srcs, divisor), begin,
                      end);
      case 4:
        return W::run(ReduceBody<Isa, Element, op, 4>::make(dst, srcs, n_srcs, divisor), begin,
                      end);
      default:
        return W::run(ReduceBody<Isa, Element, op, 0>::make(dst, srcs, n_srcs, divisor), begin,
                      end);
    }
  }

  static void copy_or_divide(void* dst, const void* src, size_t count, int64_t divisor) {
    if (Element::kCopyIsIdentity && divisor <= 1) {
      if (dst != src && count > 0) __builtin_memcpy(dst, src, count * Element::kSize);
      return;
    }
    if constexpr (kDividesInPlace) {
      IntegerQuotient<Isa, Lane>::run(static_cast<char*>(dst), static_cast<const char*>(src), count,
                                      divisor);
    } else {
      using Acc = typename Element::Acc;
      W::run(MapBody<Isa, Element, false>{static_cast<char*>(dst), static_cast<const char*>(src),
                                          Acc{}, D::make(divisor)},
             0, count);
    }
  }

  // Integers take the factor's integral part, held to int64's range (a plain cast is undefined
  // beyond it).
  static Lane lane_of(double factor) {
    if constexpr (D::kUsed) {
      return static_cast<Lane>(factor);
    } else if constexpr (!Element::kCopyIsIdentity) {
      return factor != 0 ? 1 : 0;
    } else {
      constexpr double kLimit = 9223372036854775808.0;
      if (factor != factor) return 0;
      if (factor >= kLimit) return static_cast<Lane>(INT64_MAX);
      if (factor < -kLimit) return static_cast<Lane>(INT64_MIN);
      return static_cast<Lane>(static_cast<int64_t>(factor));
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

// consteval leaves no code behind (see vectors.h).
template <class Isa>
struct Table {
  static consteval Kernels make() {
    Kernels table{};
    table.isa = Isa::kName;
    integers<int8_t>(table, DType::kInt8);
    integers<uint8_t>(table, DType::kUint8);
    integers<int16_t>(table, DType::kInt16);
    integers<int32_t>(table, DType::kInt32);
    integers<int64_t>(table, DType::kInt64);
    arithmetic<HalfElement<Isa, Float16Codec<Isa>>>(table, DType::kFloat16);
    arithmetic<HalfElement<Isa, Bfloat16Codec<Isa>>>(table, DType::kBfloat16);
    arithmetic<PlainElement<Isa, float>>(table, DType::kFloat32);
    arithmetic<PlainElement<Isa, double>>(table, DType::kFloat64);
    half<Float16Codec<Isa>>(table, DType::kFloat16);
    half<Bfloat16Codec<Isa>>(table, DType::kBfloat16);
    booleans(table);
    return table;
  }

 private:
  static consteval ReduceFn& slot(Kernels& table, DType dtype, ReduceOp op) {
    return table.reduce[static_cast<int>(dtype)][static_cast<int>(op)];
  }

  template <class Element>
  static consteval void arithmetic(Kernels& table, DType dtype) {
    using E = Entry<Isa, Element>;
    slot(table, dtype, ReduceOp::kSum) = &E::template reduce<ReduceOp::kSum>;
    slot(table, dtype, ReduceOp::kAverage) = &E::template reduce<ReduceOp::kSum>;
    slot(table, dtype, ReduceOp::kProduct) = &E::template reduce<ReduceOp::kProduct>;
    slot(table, dtype, ReduceOp::kMin) = &E::template reduce<ReduceOp::kMin>;
    slot(table, dtype, ReduceOp::kMax) = &E::template reduce<ReduceOp::kMax>;
    table.scale[static_cast<int>(dtype)] = &E::scale;
    table.divide[static_cast<int>(dtype)] = &E::divide;
  }

  template <class T>
  static consteval void integers(Kernels& table, DType dtype) {
    arithmetic<PlainElement<Isa, T>>(table, dtype);
    using E = Entry<Isa, PlainElement<Isa, T>>;
    slot(table, dtype, ReduceOp::kBand) = &E::template reduce<ReduceOp::kBand>;
    slot(table, dtype, ReduceOp::kBor) = &E::template reduce<ReduceOp::kBor>;
    slot(table, dtype, ReduceOp::kBxor) = &E::template reduce<ReduceOp::kBxor>;
  }

  static consteval void booleans(Kernels& table) {
    using E = Entry<Isa, BoolElement<Isa>>;
    for (const auto op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kBor}) {
      slot(table, DType::kBool, op) = &E::template reduce<ReduceOp::kBor>;
    }
    for (const auto op : {ReduceOp::kProduct, ReduceOp::kMin, ReduceOp::kBand}) {
      slot(table, DType::kBool, op) = &E::template reduce<ReduceOp::kBand>;
    }
    slot(table, DType::kBool, ReduceOp::kBxor) = &E::template reduce<ReduceOp::kBxor>;
    table.scale[static_cast<int>(DType::kBool)] = &E::scale;
  }

  template <class Codec>
  static consteval void half(Kernels& table, DType dtype) {
    table.widen[static_cast<int>(dtype)] = &HalfEntry<Isa, Codec>::widen;
    table.narrow[static_cast<int>(dtype)] = &HalfEntry<Isa, Codec>::narrow;
  }
};

}  // namespace distos_coll::reduce
