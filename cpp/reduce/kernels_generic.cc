// The portable kernels: vectors of 16 bytes, which are SSE2 on x86-64 and NEON on aarch64, both
// always present.
#include "reduce/kernel_tables.h"
#include "reduce/kernels_impl.h"

namespace distos_coll::reduce {
namespace {

struct GenericIsa : PartialByCopy<GenericIsa> {
  static constexpr const char* kName = "generic";
  static constexpr size_t kBytes = 16;
  static constexpr bool kNativeFloat16 = false;
};

}  // namespace

constinit const Kernels kGenericKernels = Table<GenericIsa>::make();

}  // namespace distos_coll::reduce
