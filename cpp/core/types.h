// The vocabulary that Python, the C ABI and every layer of the core share. Each list is written
// once, here: the binding exports it to Python, and the plan decoder checks against it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace distos_coll {

enum class DType : int32_t {
  kInt8 = 0,
  kUint8,
  kInt16,
  kInt32,
  kInt64,
  kFloat16,
  kBfloat16,
  kFloat32,
  kFloat64,
  kBool,
  kFloat8E4m3,  // torch.float8_e4m3fn: no infinities, largest value 448
  kFloat8E5m2,  // torch.float8_e5m2: as IEEE 754 would define it
  kComplex64,   // two float32: real part, imaginary part
  kComplex128,
};
inline constexpr int kDTypeCount = 14;

// The reductions that a kernel implements. Average is kSum followed by a division at the place
// where a chunk is complete (opcode kFinalize); premul-sum is a scaled copy followed by kSum.
enum class ReduceOp : int32_t {
  kSum = 0,
  kProduct,
  kMin,
  kMax,
  kBand,
  kBor,
  kBxor,
  kAverage,
};
inline constexpr int kReduceOpCount = 8;

enum class Collective : int32_t {
  kAllReduce = 0,
  kReduce,
  kBroadcast,
  kAllGather,
  kReduceScatter,
  kAllToAll,
  kGather,
  kScatter,
  kBarrier,
  kAllGatherV,
  kReduceScatterV,
  kAllToAllV,
};
inline constexpr int kCollectiveCount = 12;

constexpr size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kUint8:
    case DType::kBool:
    case DType::kFloat8E4m3:
    case DType::kFloat8E5m2:
      return 1;
    case DType::kInt16:
    case DType::kFloat16:
    case DType::kBfloat16:
      return 2;
    case DType::kInt32:
    case DType::kFloat32:
      return 4;
    case DType::kInt64:
    case DType::kFloat64:
    case DType::kComplex64:
      return 8;
    case DType::kComplex128:
      return 16;
  }
  return 0;
}

constexpr bool is_half(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBfloat16;
}

constexpr bool is_float8(DType dtype) {
  return dtype == DType::kFloat8E4m3 || dtype == DType::kFloat8E5m2;
}

constexpr bool is_floating(DType dtype) {
  return is_half(dtype) || is_float8(dtype) || dtype == DType::kFloat32 || dtype == DType::kFloat64;
}

constexpr bool is_complex(DType dtype) {
  return dtype == DType::kComplex64 || dtype == DType::kComplex128;
}

constexpr bool is_reducing(Collective collective) {
  return collective == Collective::kAllReduce || collective == Collective::kReduce ||
         collective == Collective::kReduceScatter || collective == Collective::kReduceScatterV;
}

const char* name_of(DType dtype);
const char* name_of(ReduceOp op);
const char* name_of(Collective collective);

// The size of the machine's unit of sharing; flags that different ranks write lie this far apart
// (two lines, because the adjacent-line prefetcher pairs them).
inline constexpr size_t kLineBytes = 128;

}  // namespace distos_coll
