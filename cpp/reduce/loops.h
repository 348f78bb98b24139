// The loops over memory. Each step loads all sources before it stores, so dst may be exactly one of
// them.
#pragma once

#include "reduce/elements.h"
#include "reduce/ops.h"

namespace distos_coll::reduce {

// Runs a body over the elements [begin, end): `whole<n>(at)` does n batches, `partial(at, lanes)`
// less than one.
template <class Isa, class Element>
struct Walk {
  static constexpr size_t kLanes = Batch<Isa, Element>::kLanes;
  static constexpr size_t kUnroll = 4 / Element::kParts;

  template <class Body>
  DISTOS_COLL_INLINE void run(const Body& body, size_t begin, size_t end) {
    size_t at = begin;
    for (; end - at >= kUnroll * kLanes; at += kUnroll * kLanes) body.template whole<kUnroll>(at);
    for (; end - at >= kLanes; at += kLanes) body.template whole<1>(at);
    if (at < end) body.partial(at, end - at);
  }
};

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

// kSources > 0 fixes the number of sources, so that their addresses stay in registers; 0 takes
// `n_srcs`. Many sources are read side by side too, rather than in passes over a block of
// accumulators: it saves the accumulators' own traffic and needs no block that dst could overwrite.
template <class Isa, class Element, ReduceOp op, size_t kSources>
struct ReduceBody {
  using B = Batch<Isa, Element>;
  using Acc = typename Element::Acc;
  static constexpr size_t kParts = Element::kParts;
  char* dst;
  const void* const* srcs;
  size_t n_srcs;
  Divisor<Isa, Element> divisor;
  const char* fixed[kSources > 0 ? kSources : 1];

  DISTOS_COLL_INLINE ReduceBody make(void* dst, const void* const* srcs, size_t n_srcs,
                                     int64_t divisor) {
    ReduceBody body{
        static_cast<char*>(dst), srcs, n_srcs, Divisor<Isa, Element>::make(divisor), {}};
#pragma GCC unroll 4
    for (size_t s = 0; s < kSources; ++s) body.fixed[s] = static_cast<const char*>(srcs[s]);
    return body;
  }

  [[gnu::always_inline]] inline const char* source(size_t s, size_t at) const {
    const char* base = kSources > 0 ? fixed[s] : static_cast<const char*>(srcs[s]);
    return base + at * Element::kSize;
  }

  template <size_t kBatches>
  [[gnu::always_inline]] inline void whole(size_t at) const {
    constexpr size_t kBatchBytes = sizeof(typename Element::Raw);
    Acc acc[kBatches * kParts];
    const char* first = source(0, at);
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatches; ++b) B::load(first + b * kBatchBytes, acc + b * kParts);
    if constexpr (kSources > 0) {
#pragma GCC unroll 4
      for (size_t s = 1; s < kSources; ++s) take<kBatches>(source(s, at), acc);
    } else {
      for (size_t s = 1; s < n_srcs; ++s) take<kBatches>(source(s, at), acc);
    }
    divisor.template apply<kBatches * kParts>(acc);
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatches; ++b)
      B::store(dst + at * Element::kSize + b * kBatchBytes, acc + b * kParts);
  }

  template <size_t kBatches>
  DISTOS_COLL_INLINE void take(const char* src, Acc* acc) {
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatches; ++b) {
      Acc in[kParts];
      B::load(src + b * sizeof(typename Element::Raw), in);
      combine(acc + b * kParts, in);
    }
  }

  [[gnu::always_inline]] inline void partial(size_t at, size_t lanes) const {
    Acc acc[kParts];
    B::load_partial(source(0, at), lanes, acc);
    for (size_t s = 1; s < (kSources > 0 ? kSources : n_srcs); ++s) {
      Acc in[kParts];
      B::load_partial(source(s, at), lanes, in);
      combine(acc, in);
    }
    divisor.template apply<kParts>(acc);
    B::store_partial(dst + at * Element::kSize, lanes, acc);
  }

  DISTOS_COLL_INLINE void combine(Acc* acc, const Acc* in) {
#pragma GCC unroll 2
    for (size_t p = 0; p < kParts; ++p)
      acc[p] = Ops<Isa, typename Element::Lane>::template apply<op>(acc[p], in[p]);
  }
};

// dst[i] = src[i] (scaled by `factor` or divided by `divisor`), through the accumulators.
template <class Isa, class Element, bool kScale>
struct MapBody {
  using B = Batch<Isa, Element>;
  using Acc = typename Element::Acc;
  using O = Ops<Isa, typename Element::Lane>;
  static constexpr size_t kParts = Element::kParts;
  char* dst;
  const char* src;
  Acc factor;
  Divisor<Isa, Element> divisor;

  template <size_t kBatches>
  [[gnu::always_inline]] inline void whole(size_t at) const {
    constexpr size_t kBatchBytes = sizeof(typename Element::Raw);
    const size_t offset = at * Element::kSize;
    Acc acc[kBatches * kParts];
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatches; ++b) B::load(src + offset + b * kBatchBytes, acc + b * kParts);
    map<kBatches * kParts>(acc);
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatches; ++b)
      B::store(dst + offset + b * kBatchBytes, acc + b * kParts);
  }

  [[gnu::always_inline]] inline void partial(size_t at, size_t lanes) const {
    Acc acc[kParts];
    B::load_partial(src + at * Element::kSize, lanes, acc);
    map<kParts>(acc);
    B::store_partial(dst + at * Element::kSize, lanes, acc);
  }

  template <size_t kVectors>
  [[gnu::always_inline]] inline void map(Acc* acc) const {
    divisor.template apply<kVectors>(acc);
    if constexpr (kScale) {
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) acc[v] = O::multiply(acc[v], factor);
    }
  }
};

}  // namespace distos_coll::reduce
