// What a rank called, in one word that rides with the data, so that ranks that call different
// things find out at the first byte instead of computing nonsense or hanging.
#pragma once

#include <cstdint>
#include <string>

#include "core/status.h"
#include "core/types.h"

namespace distos_coll {

// What a half that travels as float32 is called here: beyond the dtypes that a caller can name.
// With these two, the word's 4 bits for the dtype are used up.
constexpr DType widened_half(DType half) {
  return static_cast<DType>(half == DType::kFloat16 ? kDTypeCount : kDTypeCount + 1);
}
static_assert(kDTypeCount + 1 <= 0xf);

class Signature {
 public:
  Signature() = default;
  explicit Signature(uint64_t word) : word_(word) {}
  Signature(Collective collective, DType dtype, ReduceOp op, int64_t root, int64_t count)
      : word_((uint64_t{1} << 63) | static_cast<uint64_t>(collective) << 58 |
              static_cast<uint64_t>(dtype) << 54 | static_cast<uint64_t>(op) << 50 |
              (static_cast<uint64_t>(root) & 0x3fff) << 36 |
              (static_cast<uint64_t>(count) & kCountMask)) {}

  uint64_t word() const { return word_; }
  // A word from outside can be described: all its names exist. No word is valid too.
  bool valid() const {
    return word_ == 0 || (static_cast<int>(word_ >> 58 & 0x1f) < kCollectiveCount &&
                          static_cast<int>(word_ >> 54 & 0xf) <= kDTypeCount + 1 &&
                          static_cast<int>(word_ >> 50 & 0xf) < kReduceOpCount);
  }
  bool operator==(const Signature& other) const { return word_ == other.word_; }

  Collective collective() const { return static_cast<Collective>(word_ >> 58 & 0x1f); }
  DType dtype() const { return static_cast<DType>(word_ >> 54 & 0xf); }
  // In units of the dtype; of the largest part where parts differ.
  int64_t count() const { return static_cast<int64_t>(word_ & kCountMask); }

  std::string describe() const {
    const Collective what = collective();
    std::string text = strf("%s of %lld %s", name_of(what), static_cast<long long>(count()),
                            is_reducing(what) ? dtype_text(dtype()) : "bytes");
    if (is_reducing(what))
      text += strf(", op %s", name_of(static_cast<ReduceOp>(word_ >> 50 & 0xf)));
    const bool rooted = what == Collective::kReduce || what == Collective::kBroadcast ||
                        what == Collective::kGather || what == Collective::kScatter;
    if (rooted) text += strf(", root %llu", static_cast<unsigned long long>(word_ >> 36 & 0x3fff));
    return text;
  }

 private:
  static const char* dtype_text(DType dtype) {
    if (dtype == widened_half(DType::kFloat16)) return "float16 (as float32)";
    if (dtype == widened_half(DType::kBfloat16)) return "bfloat16 (as float32)";
    return name_of(dtype);
  }

  static constexpr uint64_t kCountMask = (uint64_t{1} << 36) - 1;
  uint64_t word_ = 0;
};

}  // namespace distos_coll
