// AVX2 with F16C's half converters. FMA is not asked for: contraction would change bits.
#if defined(__x86_64__)

#include <immintrin.h>

#include "reduce/kernel_tables.h"

// From here on; headers above are shared with code for every CPU and must not be compiled for this
// one.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,f16c")
#endif

#include "reduce/kernels_impl.h"

namespace distos_coll::reduce {
namespace {

struct Avx2Isa : PartialByCopy<Avx2Isa> {
  static constexpr const char* kName = "avx2";
  static constexpr size_t kBytes = 32;
  static constexpr bool kNativeFloat16 = true;
  using Halves = Vec<uint16_t, 16>;
  using Floats = Vec<float, 32>;

  DISTOS_COLL_INLINE Floats widen_float16(Halves halves) {
    return (Floats)_mm256_cvtph_ps((__m128i)halves);
  }
  DISTOS_COLL_INLINE Halves narrow_float16(Floats floats) {
    return (Halves)_mm256_cvtps_ph((__m256)floats, _MM_FROUND_TO_NEAREST_INT);
  }
};

}  // namespace

constinit const Kernels kAvx2Kernels = Table<Avx2Isa>::make();

}  // namespace distos_coll::reduce

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif  // __x86_64__
