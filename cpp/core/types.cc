#include "core/types.h"

namespace distos_coll {

const char* name_of(DType dtype) {
  static constexpr const char* kNames[kDTypeCount] = {
      "int8",    "uint8",   "int16", "int32",       "int64",       "float16",   "bfloat16",
      "float32", "float64", "bool",  "float8_e4m3", "float8_e5m2", "complex64", "complex128"};
  const auto i = static_cast<int>(dtype);
  return i >= 0 && i < kDTypeCount ? kNames[i] : "unknown";
}

const char* name_of(ReduceOp op) {
  static constexpr const char* kNames[kReduceOpCount] = {"sum",  "product", "min",  "max",
                                                         "band", "bor",     "bxor", "average"};
  const auto i = static_cast<int>(op);
  return i >= 0 && i < kReduceOpCount ? kNames[i] : "unknown";
}

const char* name_of(Collective collective) {
  static constexpr const char* kNames[kCollectiveCount] = {
      "all_reduce", "reduce",  "broadcast", "all_gather",   "reduce_scatter",   "all_to_all",
      "gather",     "scatter", "barrier",   "all_gather_v", "reduce_scatter_v", "all_to_all_v"};
  const auto i = static_cast<int>(collective);
  return i >= 0 && i < kCollectiveCount ? kNames[i] : "unknown";
}

}  // namespace distos_coll
