// Small blocking calls that are made again and again with the same arguments but for the buffers:
// checked, chosen and evaluated once. Without it they spend most of their time on that.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "comm/operation.h"
#include "exec/run.h"

namespace distos_coll {

struct Prepared {
  Ref<Operation> operation;
  exec::Run run;
};

class PreparedCalls {
  // All that a program depends on.
  struct Key {
    int64_t count = -1;
    int root = 0;
    Collective collective = Collective::kBarrier;
    DType dtype = DType::kUint8;
    ReduceOp op = ReduceOp::kSum;
    bool wide = false;
    uint64_t vectors = 0;  // a digest; who finds an operation compares them
    bool operator==(const Key&) const = default;
  };

 public:
  // Without `prepared` it is yet to be made, unless such calls are unfit.
  struct Place {
    Key key;
    std::unique_ptr<Prepared> prepared;
    bool unfit = false;
  };

  explicit PreparedCalls(int size) : size_(static_cast<size_t>(size)) {}

  // What a larger call would save does not show.
  static constexpr int64_t kMaxBytes = 1 << 16;

  // Where such a call is kept; null for a call that is not worth it, is unfit, or is made for the
  // first time, and while another thread's runs there.
  Place* place_of(const CollectiveCall& call) {
    const Key key = key_of(call);
    Place& place = places_[index_of(key)];
    if (place.prepared && place.prepared->operation->shared()) return nullptr;
    if (place.key == key) return place.unfit ? nullptr : &place;
    if (is_worth_it(call)) place = {key, nullptr};
    return nullptr;
  }

 private:
  static constexpr size_t kPlaces = 16;

  Key key_of(const CollectiveCall& call) const {
    return {call.count, call.root,         call.collective, call.dtype,
            call.op,    call.options.wide, digest(call)};
  }
  uint64_t digest(const CollectiveCall& call) const {
    uint64_t mixed = 0;
    for (const int64_t* vector :
         {call.send_counts, call.send_offsets, call.recv_counts, call.recv_offsets}) {
      if (vector == nullptr) continue;
      for (const int64_t value : std::span(vector, size_))
        mixed = (mixed ^ static_cast<uint64_t>(value)) * 0x9e3779b97f4a7c15;
      mixed ^= mixed >> 29;
    }
    return mixed;
  }
  static size_t index_of(const Key& key) {
    const auto mixed = static_cast<uint64_t>(key.count) * 0x9e3779b97f4a7c15 + key.vectors +
                       static_cast<uint64_t>(key.collective) * 5 +
                       static_cast<uint64_t>(key.dtype) * 3 + static_cast<uint64_t>(key.op);
    return (mixed ^ mixed >> 32) % kPlaces;
  }
  // The arguments of a call are not checked yet.
  bool is_worth_it(const CollectiveCall& call) const {
    const int64_t most = kMaxBytes / static_cast<int64_t>(dtype_bytes(call.dtype));
    return call.options.on_done == nullptr && call.count >= 0 && call.count <= most &&
           adds_up(call.send_counts, most) && adds_up(call.recv_counts, most);
  }
  bool adds_up(const int64_t* counts, int64_t most) const {
    if (counts == nullptr) return true;
    int64_t left = most;
    for (const int64_t count : std::span(counts, size_)) {
      if (count < 0 || count > left) return false;
      left -= count;
    }
    return true;
  }

  const size_t size_;
  std::array<Place, kPlaces> places_;
};

}  // namespace distos_coll
