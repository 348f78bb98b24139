// The loops over memory. Each step loads all sources before it stores, so dst may be exactly one of
// them.
#pragma once

#include "reduce/elements.h"
#include "reduce/ops.h"

namespace distos_coll::reduce {

// Float averages divide the accumulators, before they are rounded. Integers and bool do not come
// here with a divisor.
template <class Isa, class Element>
struct Divisor {
  using Acc = typename Element::Acc;
  static constexpr bool kUsed = Ops<Isa, typename Element::Lane>::kFloating;
  bool active;
  Acc value;

  DISTOS_COLL_INLINE Divisor make(int64_t divisor) {
    return Divisor{divisor > 1, Acc{} + static_cast<typename Element::Lane>(divisor)};
  }

  template <size_t kVectors>
  [[gnu::always_inline]] inline void apply(Acc* acc) const {
    if constexpr (kUsed) {
      if (!active) return;
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) acc[v] = acc[v] / value;
    }
  }
};

// out = srcs[0] op srcs[1] op ... over elements [begin, end).
template <class Isa, class Element, ReduceOp op>
struct Reduction {
  using B = Batch<Isa, Element>;
  using Acc = typename Element::Acc;
  using D = Divisor<Isa, Element>;
  static constexpr size_t kParts = Element::kParts;
  static constexpr size_t kUnroll = 4 / kParts;

  // One place or two; `also` is null for one.
  struct Out {
    char* dst;
    char* also;
  };

  static void run(Out out, const void* const* srcs, size_t n_srcs, size_t begin, size_t end,
                  int64_t divisor) {
    const D by = D::make(divisor);
    size_t at = begin;
    switch (n_srcs) {
      case 2:
        at = stream<2>(out, srcs, n_srcs, begin, end, by);
        break;
      case 3:
        at = stream<3>(out, srcs, n_srcs, begin, end, by);
        break;
      case 4:
        at = stream<4>(out, srcs, n_srcs, begin, end, by);
        break;
      default:
        at = stream<0>(out, srcs, n_srcs, begin, end, by);
    }
    if (at < end) tail(out, srcs, n_srcs, at, end, by);
  }

 private:
  // The unrolled part; returns where it stopped. kSources > 0 fixes the number of sources, so that
  // their addresses stay in registers; 0 takes n_srcs. Many sources are read side by side too,
  // rather than in passes over a block of accumulators: it saves the accumulators' own traffic and
  // needs no block that `out` could overwrite.
  template <size_t kSources>
  DISTOS_COLL_INLINE size_t stream(Out out, const void* const* srcs, size_t n_srcs, size_t begin,
                                   size_t end, const D& by) {
    constexpr size_t kStep = kUnroll * B::kLanes;
    size_t at = begin;
    if constexpr (kSources == 0) {
      for (; end - at >= kStep; at += kStep) step<kUnroll, 0>(out, srcs, n_srcs, at, by);
    } else {
      const void* fixed[kSources];
#pragma GCC unroll 4
      for (size_t s = 0; s < kSources; ++s) fixed[s] = srcs[s];
      for (; end - at >= kStep; at += kStep) step<kUnroll, kSources>(out, fixed, n_srcs, at, by);
    }
    return at;
  }

  // Less than one unrolled step. Not inlined, so that it exists once for all numbers of sources.
  [[gnu::noinline]] static void tail(Out out, const void* const* srcs, size_t n_srcs, size_t at,
                                     size_t end, const D& by) {
    for (; end - at >= B::kLanes; at += B::kLanes) step<1, 0>(out, srcs, n_srcs, at, by);
    if (at == end) return;
    const size_t lanes = end - at;
    Acc acc[kParts];
    B::load_partial(source(srcs, 0, at), lanes, acc);
    for (size_t s = 1; s < n_srcs; ++s) {
      Acc in[kParts];
      B::load_partial(source(srcs, s, at), lanes, in);
      combine(acc, in);
    }
    by.template apply<kParts>(acc);
    B::store_partial(out.dst + at * Element::kSize, lanes, acc);
    if (out.also != nullptr) B::store_partial(out.also + at * Element::kSize, lanes, acc);
  }

  template <size_t kBatches, size_t kSources>
  DISTOS_COLL_INLINE void step(Out out, const void* const* srcs, size_t n_srcs, size_t at,
                               const D& by) {
    Acc acc[kBatches * kParts];
    B::template load<kBatches>(source(srcs, 0, at), acc);
    if constexpr (kSources > 0) {
#pragma GCC unroll 4
      for (size_t s = 1; s < kSources; ++s) take<kBatches>(source(srcs, s, at), acc);
    } else {
      for (size_t s = 1; s < n_srcs; ++s) take<kBatches>(source(srcs, s, at), acc);
    }
    by.template apply<kBatches * kParts>(acc);
    B::template store<kBatches>(out.dst + at * Element::kSize, acc);
    if (out.also != nullptr) B::template store<kBatches>(out.also + at * Element::kSize, acc);
  }

  DISTOS_COLL_INLINE const char* source(const void* const* srcs, size_t s, size_t at) {
    return static_cast<const char*>(srcs[s]) + at * Element::kSize;
  }

  template <size_t kBatches>
  DISTOS_COLL_INLINE void take(const char* src, Acc* acc) {
#pragma GCC unroll 4
    for (size_t b = 0; b < kBatches; ++b) {
      Acc in[kParts];
      B::template load<1>(src + b * B::kBytes, in);
      combine(acc + b * kParts, in);
    }
  }

  DISTOS_COLL_INLINE void combine(Acc* acc, const Acc* in) {
#pragma GCC unroll 4
    for (size_t p = 0; p < kParts; ++p) {
      acc[p] = ElementOps<Isa, Element>::template apply<op>(acc[p], in[p]);
    }
  }
};

// dst[i] = src[i] * factor / divisor, through the accumulators. One of the two is neutral.
template <class Isa, class Element, bool kScale>
struct Map {
  using B = Batch<Isa, Element>;
  using Acc = typename Element::Acc;
  using D = Divisor<Isa, Element>;
  static constexpr size_t kParts = Element::kParts;
  static constexpr size_t kUnroll = 4 / kParts;

  static void run(char* dst, const char* src, size_t count, Acc factor, const D& by) {
    constexpr size_t kStep = kUnroll * B::kLanes;
    size_t at = 0;
    for (; count - at >= kStep; at += kStep) step<kUnroll>(dst, src, at, factor, by);
    for (; count - at >= B::kLanes; at += B::kLanes) step<1>(dst, src, at, factor, by);
    if (at == count) return;
    Acc acc[kParts];
    B::load_partial(src + at * Element::kSize, count - at, acc);
    apply<kParts>(acc, factor, by);
    B::store_partial(dst + at * Element::kSize, count - at, acc);
  }

 private:
  template <size_t kBatches>
  DISTOS_COLL_INLINE void step(char* dst, const char* src, size_t at, Acc factor, const D& by) {
    Acc acc[kBatches * kParts];
    B::template load<kBatches>(src + at * Element::kSize, acc);
    apply<kBatches * kParts>(acc, factor, by);
    B::template store<kBatches>(dst + at * Element::kSize, acc);
  }

  template <size_t kVectors>
  DISTOS_COLL_INLINE void apply(Acc* acc, Acc factor, const D& by) {
    by.template apply<kVectors>(acc);
    if constexpr (kScale) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) {
        acc[v] = Ops<Isa, typename Element::Lane>::multiply(acc[v], factor);
      }
    }
  }
};

}  // namespace distos_coll::reduce
