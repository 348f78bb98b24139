// A collective operation from call to completion: its arguments, checked and brought to the form
// that programs use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/work.h"
#include "core/signature.h"
#include "exec/run.h"

namespace distos_coll {

struct CallOptions {
  int64_t timeout_ms = 0;  // 0: the communicator's
  bool blocking = false;
  bool wide = false;  // halves travel as float32 between domains too
  void (*on_done)(void*, int) = nullptr;
  void* on_done_ctx = nullptr;
};

// Counts in elements, as docs/decisions/0001 defines them per collective.
struct CollectiveCall {
  Collective collective = Collective::kBarrier;
  DType dtype = DType::kUint8;
  ReduceOp op = ReduceOp::kSum;
  int root = 0;
  const void* input = nullptr;
  void* output = nullptr;
  int64_t count = 0;
  const int64_t* send_counts = nullptr;
  const int64_t* send_offsets = nullptr;
  const int64_t* recv_counts = nullptr;
  const int64_t* recv_offsets = nullptr;
  CallOptions options;
};

class Operation final : public Work {
 public:
  // Throws Error(kInvalid) saying which argument is wrong.
  Operation(const CollectiveCall& call, int rank, int size);

  // True if there is nothing to exchange; then `copy_locally` is all there is to do.
  bool local() const { return local_; }
  void copy_locally() const;

  // Binds the call to a program. `scratch` must hold program scratch; `widen` runs halves on a
  // float32 copy.
  void bind(const program::Program& program, const program::Environment& fixed,
            int64_t segment_bytes, size_t slot_bytes, bool widen, std::vector<std::byte>& scratch,
            exec::Call* call);
  // A call that is alike but perhaps for its vectors has the same ones. Of collectives without any:
  // true.
  bool has_vectors_of(const CollectiveCall& call) const;
  // The same call again with other buffers; false: one is missing.
  bool renew(const void* input, void* output);
  // After a successful run: brings a float32 copy back.
  void unbind() const;

  Signature signature() const { return signature(false); }
  // "#12 all_reduce of 4096 float32, op sum"
  std::string describe() const;

  // What this rank passes, as programs see it.
  std::byte* data(program::Buffer buffer) const;
  size_t bytes(program::Buffer buffer) const;
  Collective collective() const { return call_.collective; }
  int64_t choice_bytes() const { return choice_bytes_; }
  DType dtype() const { return call_.dtype; }
  bool wide() const { return call_.options.wide; }
  // Valid once bound.
  bool uses_streams() const { return uses_streams_; }
  void set_algorithm(const char* name) { algorithm_ = name; }

  int64_t sequence = 0;

 private:
  void check(int rank, int size);
  bool has_buffers() const;
  void take_vectors(int size);
  void measure();
  int64_t measure_even();
  int64_t measure_v();
  void widen_input(exec::Call* call);
  Signature signature(bool widened) const;
  bool is_v() const {
    return call_.collective == Collective::kAllGatherV ||
           call_.collective == Collective::kReduceScatterV ||
           call_.collective == Collective::kAllToAllV;
  }

  CollectiveCall call_;  // count and vectors in units of dtype; bytes for what does not reduce
  int rank_;
  int size_;
  std::vector<int64_t> vectors_;  // send counts, send offsets, recv counts, recv offsets
  int64_t unit_ = 1;              // of what the caller counts in
  int64_t input_elements_ = 0;
  int64_t output_elements_ = 0;
  int64_t choice_bytes_ = 0;
  bool local_ = false;
  bool uses_streams_ = false;
  std::unique_ptr<float[]> wide_;  // input, then output
  int64_t wide_input_elements_ = 0;
  std::vector<int64_t> wide_offsets_;
};

}  // namespace distos_coll
