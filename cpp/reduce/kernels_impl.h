// The entry points of reduce.h for one instruction set, and their table. Included by the kernel
// files only.
#pragma once

#include "reduce/conversions.h"
#include "reduce/loops.h"
#include "reduce/reduce.h"

namespace distos_coll::reduce {

template <class Isa, class Element>
struct Entry {
  using Lane = typename Element::Lane;
  using Acc = typename Element::Acc;
  using D = Divisor<Isa, Element>;
  // The integers, but not bool, whose division means nothing.
  static constexpr bool kInteger = !D::kUsed && Element::kCopyIsIdentity;
  static constexpr size_t kBlock = 4096 / Element::kSize;

  template <ReduceOp op>
  static void reduce(void* dst, const void* const* srcs, size_t n_srcs, size_t count,
                     int64_t divisor) {
    reduce_to_two<op>(dst, nullptr, srcs, n_srcs, count, divisor);
  }

  template <ReduceOp op>
  [[gnu::noinline]] static void reduce_to_two(void* dst, void* also, const void* const* srcs,
                                              size_t n_srcs, size_t count, int64_t divisor) {
    using R = Reduction<Isa, Element, op>;
    const typename R::Out out{static_cast<char*>(dst), static_cast<char*>(also)};
    if (n_srcs >= 2 && (!kInteger || divisor <= 1)) {
      R::run(out, srcs, n_srcs, 0, count, divisor);
      return;
    }
    if (n_srcs == 1) {
      divide(dst, srcs[0], count, divisor);
    } else if constexpr (kInteger) {
      for (size_t at = 0; n_srcs > 1 && at < count; at += kBlock) {
        const size_t n = count - at < kBlock ? count - at : kBlock;
        R::run({out.dst, nullptr}, srcs, n_srcs, at, at + n, 1);
        char* block = out.dst + at * Element::kSize;
        IntegerQuotient<Isa, Lane>::run(block, block, n, divisor);
      }
    }
    if (also != nullptr && also != dst) __builtin_memcpy(also, dst, count * Element::kSize);
  }

  static void divide(void* dst, const void* src, size_t count, int64_t divisor) {
    char* out = static_cast<char*>(dst);
    const char* in = static_cast<const char*>(src);
    if (Element::kCopyIsIdentity && divisor <= 1) {
      if (out != in && count > 0) __builtin_memcpy(out, in, count * Element::kSize);
    } else if constexpr (kInteger) {
      IntegerQuotient<Isa, Lane>::run(out, in, count, divisor);
    } else {
      Map<Isa, Element, false>::run(out, in, count, Acc{}, D::make(divisor));
    }
  }

  static void scale(void* dst, const void* src, size_t count, double factor) {
    Map<Isa, Element, true>::run(static_cast<char*>(dst), static_cast<const char*>(src), count,
                                 lane_of(factor) - Acc{}, D::make(1));  // 0 + -0 would be 0
  }

 private:
  // Integers take the factor's integral part, held to int64's range (a plain cast is undefined
  // beyond it).
  static Lane lane_of(double factor) {
    if constexpr (D::kUsed) {
      // One NaN for all, as Bfloat16Codec::narrow_reduced expects.
      return factor != factor ? static_cast<Lane>(__builtin_nan("")) : static_cast<Lane>(factor);
    } else if constexpr (!kInteger) {
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

// Most of what one does with complex numbers, one does with each part.
template <class Isa, class T>
struct ComplexEntry {
  using Parts = Entry<Isa, PlainElement<Isa, T>>;
  using Whole = Entry<Isa, ComplexElement<Isa, T>>;

  template <ReduceOp op>
  static void reduce(void* dst, const void* const* srcs, size_t n_srcs, size_t count,
                     int64_t divisor) {
    reduce_to_two<op>(dst, nullptr, srcs, n_srcs, count, divisor);
  }
  template <ReduceOp op>
  static void reduce_to_two(void* dst, void* also, const void* const* srcs, size_t n_srcs,
                            size_t count, int64_t divisor) {
    if constexpr (op == ReduceOp::kProduct) {
      if (n_srcs > 1) {
        Whole::template reduce_to_two<op>(dst, also, srcs, n_srcs, count, divisor);
        return;
      }
    }
    Parts::template reduce_to_two<ReduceOp::kSum>(dst, also, srcs, n_srcs, 2 * count, divisor);
  }
  static void divide(void* dst, const void* src, size_t count, int64_t divisor) {
    Parts::divide(dst, src, 2 * count, divisor);
  }
  static void scale(void* dst, const void* src, size_t count, double factor) {
    Parts::scale(dst, src, 2 * count, factor);
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
    arithmetic<Float8Element<Isa, Float8Codec<Isa, E4m3>>>(table, DType::kFloat8E4m3);
    arithmetic<Float8Element<Isa, Float8Codec<Isa, E5m2>>>(table, DType::kFloat8E5m2);
    complexes<float>(table, DType::kComplex64);
    complexes<double>(table, DType::kComplex128);
    booleans(table);
    return table;
  }

 private:
  // `op` is done by the kernel of `by`, which may be another name of the same thing.
  template <class E, ReduceOp op, ReduceOp by = op>
  static consteval void reduces(Kernels& table, DType dtype) {
    table.reduce[static_cast<int>(dtype)][static_cast<int>(op)] = &E::template reduce<by>;
    table.reduce_to_two[static_cast<int>(dtype)][static_cast<int>(op)] =
        &E::template reduce_to_two<by>;
  }

  template <class E>
  static consteval void linear(Kernels& table, DType dtype) {
    reduces<E, ReduceOp::kSum>(table, dtype);
    reduces<E, ReduceOp::kAverage, ReduceOp::kSum>(table, dtype);
    reduces<E, ReduceOp::kProduct>(table, dtype);
    table.scale[static_cast<int>(dtype)] = &E::scale;
    table.divide[static_cast<int>(dtype)] = &E::divide;
  }

  template <class Element>
  static consteval void arithmetic(Kernels& table, DType dtype) {
    using E = Entry<Isa, Element>;
    linear<E>(table, dtype);
    reduces<E, ReduceOp::kMin>(table, dtype);
    reduces<E, ReduceOp::kMax>(table, dtype);
  }

  template <class T>
  static consteval void integers(Kernels& table, DType dtype) {
    arithmetic<PlainElement<Isa, T>>(table, dtype);
    using E = Entry<Isa, PlainElement<Isa, T>>;
    reduces<E, ReduceOp::kBand>(table, dtype);
    reduces<E, ReduceOp::kBor>(table, dtype);
    reduces<E, ReduceOp::kBxor>(table, dtype);
  }

  template <class T>
  static consteval void complexes(Kernels& table, DType dtype) {
    linear<ComplexEntry<Isa, T>>(table, dtype);
  }

  static consteval void booleans(Kernels& table) {
    using E = Entry<Isa, BoolElement<Isa>>;
    reduces<E, ReduceOp::kSum, ReduceOp::kBor>(table, DType::kBool);
    reduces<E, ReduceOp::kMax, ReduceOp::kBor>(table, DType::kBool);
    reduces<E, ReduceOp::kBor>(table, DType::kBool);
    reduces<E, ReduceOp::kProduct, ReduceOp::kBand>(table, DType::kBool);
    reduces<E, ReduceOp::kMin, ReduceOp::kBand>(table, DType::kBool);
    reduces<E, ReduceOp::kBand>(table, DType::kBool);
    reduces<E, ReduceOp::kBxor>(table, DType::kBool);
    table.scale[static_cast<int>(DType::kBool)] = &E::scale;
  }

  template <class Codec>
  static consteval void half(Kernels& table, DType dtype) {
    table.widen[static_cast<int>(dtype)] = &HalfEntry<Isa, Codec>::widen;
    table.narrow[static_cast<int>(dtype)] = &HalfEntry<Isa, Codec>::narrow;
  }
};

}  // namespace distos_coll::reduce
