// One operation in progress: a program, bound to a call, stepped until it ends. A run never blocks
// and never throws; it is driven by whoever has time (the caller, or the engine).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "exec/streams.h"
#include "exec/window.h"
#include "program/evaluate.h"
#include "program/ir.h"
#include "reduce/reduce.h"

namespace distos_coll::exec {

// A member's input and output in registered memory, where this process has them; indexed by Buffer.
struct RegisteredBuffers {
  std::byte* data[2] = {};
  size_t bytes[2] = {};
  bool gone = false;  // the member has ended since it offered them
};

// Everything of one call that a run needs. Counts in elements.
struct Call {
  const program::Program* program = nullptr;
  program::Environment environment;
  std::byte* buffer[program::kBufferCount] = {};
  int64_t capacity[program::kBufferCount] = {};
  DType dtype = DType::kUint8;
  ReduceOp op = ReduceOp::kSum;
  int64_t divisor = 1;  // > 1: average
  Signature signature;
  std::span<const RegisteredBuffers> registered;  // by member, for a program that needs them
};

class Run {
 public:
  // Either may be null where no program uses it.
  Run(Window* window, Streams* streams, const std::vector<int>& domain_ranks);
  ~Run();

  void start(const Call& call);
  // The same call once more with other buffers, after one that ended well.
  void restart(std::byte* input, std::byte* output);
  // kOk: finished. kAgain: blocked; *progressed says whether anything moved. Else: failed, see
  // failure().
  Code advance(bool* progressed);
  // Takes back posted receives. After it the run's buffers are not touched.
  void cancel();

  // Ranks that this run waits for right now; may name a rank twice.
  std::vector<int> waiting_for() const;
  // For a mismatch: who, and what it called.
  int failed_rank() const { return failed_rank_; }
  // Where in the program, for reports: "lane 0, instruction 12".
  std::string failed_at() const;
  Signature failed_signature() const { return failed_signature_; }
  Signature signature() const { return call_.signature; }

 private:
  struct Transfer {
    bool done = false;
    bool posted = false;
    size_t moved = 0;
    Sink sink;
  };
  struct Loop {
    size_t body = 0;  // first instruction inside
    int64_t var = 0, current = 0, stop = 0;
  };
  struct Lane {
    const std::vector<program::Instruction>* code = nullptr;
    size_t pc = 0;
    int depth = 0;
    bool in_transfers = false;
    Loop loops[program::kMaxNesting];
    std::unique_ptr<Transfer[]> transfers;
  };
  void rewind();
  enum class Step { kNext, kBlocked, kFailed };

  Step step(int lane_index, Lane& lane, bool* progressed);
  Step control(Lane& lane, const program::Instruction& instruction);
  Step window_step(Lane& lane, const program::Instruction& instruction);
  Step transfers(int lane_index, Lane& lane, bool* progressed);
  Step transfer(int lane_index, Transfer& state, const program::Instruction& instruction,
                bool* progressed);
  Step send(int lane_index, Transfer& state, const program::Instruction& instruction,
            bool* progressed);
  Step receive(int lane_index, Transfer& state, const program::Instruction& instruction,
               bool* progressed);
  Step pull(const program::Instruction& instruction, bool exposed);
  Step pull_reduce(const program::Instruction& instruction, bool exposed);
  Step reduce_slots(const program::Instruction& instruction, int64_t slot_offset, int64_t length);
  Step reduce_exposed(const program::Instruction& instruction, int64_t remote_offset,
                      int64_t length);
  Step reduce_to_all(const program::Instruction& instruction);
  std::byte* registered_at(int member, program::Buffer buffer, size_t offset, size_t bytes);
  Step all_ready();
  Step finalize(const program::Instruction& instruction);
  Step fold(const program::Instruction& instruction);

  bool outgrows_caches() const;
  void copy(std::byte* dst, const std::byte* src, size_t bytes) const;
  bool fits_slot(int64_t offset, int64_t length) const;
  std::byte* at(int64_t buffer, int64_t offset, int64_t length);
  bool member_ready(int member);
  Step fail(Code code, int rank = -1);

  int64_t value(int64_t expr) const { return values_[expr]; }
  reduce::ReduceFn reduce_fn() const {
    return reduce::kernels().reduce[static_cast<int>(call_.dtype)][static_cast<int>(call_.op)];
  }

  Window* window_;
  Streams* streams_;
  const std::vector<int>& domain_ranks_;  // member -> rank
  Call call_;
  program::Values values_;
  size_t element_bytes_ = 1;
  bool past_caches_ = false;  // copies of this call leave the caches to others
  std::vector<Lane> lanes_;
  size_t n_lanes_ = 0;
  int64_t events_[program::kMaxEvents] = {};
  std::vector<std::byte> bounce_;     // reduce_exposed reads the members' pieces here
  std::vector<const void*> sources_;  // scratch for k-input reductions
  std::vector<std::byte*> targets_;   // and for those into all members' memory
  Code code_ = Code::kOk;
  int failed_rank_ = -1;
  size_t failed_lane_ = 0;
  Signature failed_signature_;
};

}  // namespace distos_coll::exec
