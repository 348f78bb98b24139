// The portable kernels: vectors of 16 bytes, which are SSE2 on x86-64 and NEON on aarch64, both
// always present. NEON's half converters are part of every aarch64, too.
#include "reduce/kernel_tables.h"
#include "reduce/kernels_impl.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace distos_coll::reduce {
namespace {

struct GenericIsa : PartialByCopy<GenericIsa> {
  static constexpr const char* kName = "generic";
  static constexpr size_t kBytes = 16;
#if defined(__aarch64__)
  static constexpr bool kNativeFloat16 = true;
  using Halves = Vec<uint16_t, 8>;
  using Floats = Vec<float, 16>;

  DISTOS_COLL_INLINE Floats widen_float16(Halves halves) {
    return (Floats)vcvt_f32_f16((float16x4_t)halves);
  }
  DISTOS_COLL_INLINE Halves narrow_float16(Floats floats) {
    return (Halves)vcvt_f16_f32((float32x4_t)floats);
  }
#else
  static constexpr bool kNativeFloat16 = false;
#endif
};

}  // namespace

constinit const Kernels kGenericKernels = Table<GenericIsa>::make();

}  // namespace distos_coll::reduce
