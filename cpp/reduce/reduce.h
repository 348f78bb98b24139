// Reduction kernels: element-wise arithmetic on untyped memory, chosen once per process for the
// instruction set of the machine (DISTOS_COLL_ISA forces one). They are the only code that knows
// what an element means.
//
// Contract shared by all of them
//   * count is in elements and may be 0; pointers need no alignment; dst may be exactly equal to
//   any
//     source, but must not overlap one partially.
//   * The result depends only on the values and their order, never on the kernel: every ISA gives
//     the same bits, up to the payload of NaNs.
//   * Integers wrap. min and max propagate NaN and order -0 below +0. bool reads any non-zero byte
//     as true and writes 0 or 1: sum, max and bor are "or", product, min and band "and", bxor
//     "xor".
//   * float16 and bfloat16 are widened to float32, reduced over all inputs in order, and rounded
//     once (to nearest even). So are the 8-bit floats; float8_e4m3 has no infinities, and a result
//     past its largest value, +-448, becomes that, as in torch.
//   * Complex numbers are summed, divided and scaled part by part; a product is
//     (ac - bd) + (ad + bc)i, each operation rounded, without C's rules for infinities.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/types.h"

namespace distos_coll::reduce {

// dst[i] = srcs[0][i] op srcs[1][i] op ... , from left to right; at least one source. divisor > 1
// divides the result (kSum and kAverage are the same kernel): before the single rounding for
// floats; integers wrap, then divide towards zero, as NCCL does; bool ignores it.
using ReduceFn = void (*)(void* dst, const void* const* srcs, size_t n_srcs, size_t count,
                          int64_t divisor);
// The same into two places, while it is in registers. They are equal or disjoint, and each may be
// one of the sources.
using ReduceToTwoFn = void (*)(void* dst, void* also, const void* const* srcs, size_t n_srcs,
                               size_t count, int64_t divisor);

// dst[i] = src[i] * factor, factor and product in the accumulation type (float32 for halves and
// 8-bit floats). Integers take the factor's integral part as an int64 and wrap; bool is "src and
// factor != 0".
using ScaleFn = void (*)(void* dst, const void* src, size_t count, double factor);

// dst[i] = src[i] / divisor, the finalizing step of an average whose sum was built hop by hop; a
// divisor below 2 copies. Null for bool.
using DivideFn = void (*)(void* dst, const void* src, size_t count, int64_t divisor);

// Half to float32 and back (round to nearest even), for operations that ask for float32 on the
// wire.
using WidenFn = void (*)(float* dst, const void* src, size_t count);
using NarrowFn = void (*)(void* dst, const float* src, size_t count);

// One instruction set's kernels. A null entry means that the pair is refused (see `supported`).
struct Kernels {
  const char* isa;  // "generic", "avx2", "avx512"
  ReduceFn reduce[kDTypeCount][kReduceOpCount];
  ReduceToTwoFn reduce_to_two[kDTypeCount][kReduceOpCount];
  ScaleFn scale[kDTypeCount];
  DivideFn divide[kDTypeCount];
  WidenFn widen[kDTypeCount];    // halves only
  NarrowFn narrow[kDTypeCount];  // halves only
};

// The kernels in use. DISTOS_COLL_ISA is read at the first call; a name that this machine cannot
// run is reported by isa_error() and the best one is used.
const Kernels& kernels();

// Every implementation compiled in that this CPU can run, generic first. For tests.
std::span<const Kernels* const> available_kernels();

// Null if DISTOS_COLL_ISA was honoured or unset; else a sentence that names what is available.
const char* isa_error();

// False for pairs without a meaning: bitwise operations on floats, average of bool, bitwise
// operations and order on complex numbers.
bool supported(DType dtype, ReduceOp op);

}  // namespace distos_coll::reduce
