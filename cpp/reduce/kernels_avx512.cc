// AVX-512 F, BW, VL and DQ, which every server CPU with AVX-512 has; partial vectors are masked.
#if defined(__x86_64__)

#include <immintrin.h>

#include "reduce/kernel_tables.h"

// From here on; headers above are shared with code for every CPU and must not be compiled for this
// one.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#endif

#include "reduce/kernels_impl.h"

namespace distos_coll::reduce {
namespace {

struct Avx512Isa {
  static constexpr const char* kName = "avx512";
  static constexpr size_t kBytes = 64;
  static constexpr bool kNativeFloat16 = true;
  using Halves = Vec<uint16_t, 32>;
  using Floats = Vec<float, 64>;
  static constexpr __mmask16 kAllLanes = 0xffff;

  // The masked forms with a full mask compile to the plain instruction; g++ 12 warns about the
  // plain forms' own headers (an "undefined" vector initialised with itself).
  DISTOS_COLL_INLINE Floats widen_float16(Halves halves) {
    return (Floats)_mm512_maskz_cvtph_ps(kAllLanes, (__m256i)halves);
  }
  DISTOS_COLL_INLINE Halves narrow_float16(Floats floats) {
    return (Halves)_mm512_maskz_cvtps_ph(kAllLanes, (__m512)floats, _MM_FROUND_TO_NEAREST_INT);
  }

  template <class V>
  DISTOS_COLL_INLINE V load_partial(const char* src, size_t bytes) {
    const uint64_t mask = (uint64_t{1} << bytes) - 1;
    if constexpr (sizeof(V) == 64) {
      return (V)_mm512_maskz_loadu_epi8(mask, src);
    } else {
      return (V)_mm256_maskz_loadu_epi8(static_cast<__mmask32>(mask), src);
    }
  }

  template <class V>
  DISTOS_COLL_INLINE void store_partial(char* dst, V v, size_t bytes) {
    const uint64_t mask = (uint64_t{1} << bytes) - 1;
    if constexpr (sizeof(V) == 64) {
      _mm512_mask_storeu_epi8(dst, mask, (__m512i)v);
    } else {
      _mm256_mask_storeu_epi8(dst, static_cast<__mmask32>(mask), (__m256i)v);
    }
  }
};

}  // namespace

constinit const Kernels kAvx512Kernels = Table<Avx512Isa>::make();

}  // namespace distos_coll::reduce

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif  // __x86_64__
