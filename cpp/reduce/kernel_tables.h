// The tables that the kernel files define, for reduce.cc alone.
#pragma once

#include "reduce/reduce.h"

namespace distos_coll::reduce {

extern const Kernels kGenericKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

}  // namespace distos_coll::reduce
