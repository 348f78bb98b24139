// Programs: one collective algorithm as data, parametric in rank, size, count and so on. Python
// writes them (distos_coll/program), this side decodes, validates and runs them.
// docs/decisions/0001 is the specification; the numbers below are the single list of opcodes,
// parameters and arrays, and Python reads it from the binding.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/types.h"

namespace distos_coll::program {

// A node of the expression pool. Operands a, b, c are indices of earlier nodes, but for leaves.
enum class ExprOp : int64_t {
  kConst = 0,  // a: the value
  kParam,      // a: Param
  kVar,        // a: loop variable
  kAdd,
  kSub,
  kMul,
  kDiv,  // floor; a zero divisor gives 0 (verification refuses it)
  kMod,  // floor, so the result has the divisor's sign; a zero divisor gives 0
  kMin,
  kMax,
  kXor,
  kAnd,
  kShl,
  kShr,
  kEq,      // 1 or 0
  kLt,      // 1 or 0
  kSelect,  // a ? b : c; all three are evaluated
  kIndex,   // a: Array (immediate), b: index; outside the array gives -1
};
inline constexpr int64_t kExprOpCount = 18;

enum class Param : int64_t {
  kRank = 0,
  kSize,
  kCount,  // elements; its meaning per collective is in docs/decisions/0001
  kRoot,
  kSegment,    // elements of a pipeline segment, from the plan
  kSlot,       // elements that fit in one window slot
  kDomains,    // number of domains
  kDomain,     // this rank's domain
  kLocalRank,  // index in the domain
  kLocalSize,
  kMinLocalSize,  // size of the smallest domain
  kElementBytes,
};
inline constexpr int64_t kParamCount = 12;

enum class Array : int64_t {
  kOrder = 0,      // [position] -> rank, the ring's order
  kPosition,       // [rank] -> position
  kDomainOf,       // [rank]
  kLocalIndex,     // [rank]
  kDomainStart,    // [domain] -> index into kDomainMembers; one more entry than domains
  kDomainMembers,  // ranks, domain by domain
  kTreeParent,     // [tree * size + rank] -> rank or -1, two trees
  kTreeChild0,
  kTreeChild1,
  kDomainRing,   // [place] -> domain, the ring of domains: kOrder's
  kDomainPlace,  // [domain] -> place
  kSendCounts,   // per call, elements, [rank]
  kSendOffsets,
  kRecvCounts,
  kRecvOffsets,
};
inline constexpr int64_t kArrayCount = 15;
inline constexpr int64_t kFirstCallArray = 11;  // from here on they are arguments of a call

enum class Buffer : int64_t { kInput = 0, kOutput, kScratch };
inline constexpr int64_t kBufferCount = 3;

// Operands are expression ids unless marked (buf) = Buffer or (imm) = immediate. Offsets and
// lengths are in elements. A transfer whose peer is negative, or whose length is zero or less, does
// nothing.
enum class Opcode : int64_t {
  kEnd = 0,     // closes kLoop, kIf, kGroup
  kLoop,        // var(imm), start, stop
  kIf,          // cond
  kGroup,       // the transfers up to kEnd progress concurrently; all must finish
  kSend,        // peer, buf, off, len
  kRecv,        // peer, buf, off, len
  kRecvReduce,  // peer, dst buf, dst off, src buf, src off, len: dst = src op incoming
  kCopy,        // dst buf, dst off, src buf, src off, len
  kFinalize,    // buf, off, len: the division of an average; nothing for other ops
  kFold,        // scratch off, dst buf, dst off, src buf, src off, len: dst = reduction in rank
                // order, finalized; own contribution from src, rank r's from scratch off + r * len
  kSignal,      // event(imm): adds one
  kAwait,       // event(imm), value: blocks this lane until the event reached value
  kRound,       // opens the next window round: blocks until this rank's slot of the round may be
                // overwritten
  kPut,         // slot off, buf, off, len: copies into this rank's slot of the open round
  kExpose,      // buf: lets the domain's members read this buffer directly during the round
  kCommit,      // publishes slot and exposure: this rank has arrived in the round
  kPull,  // member, slot off, buf, off, len: waits for that member's arrival, copies out of its
          // slot
  kPullReduce,   // slot off, dst buf, dst off, src buf, src off, len, finalize(imm): waits for all
                 // members, dst = reduction in member order, own contribution from src, the others'
                 // from their slots
  kRead,         // member, remote off, buf, off, len: as kPull, out of the exposed buffer
  kReadReduce,   // remote off, dst buf, dst off, src buf, src off, len, finalize(imm): as
                 // kPullReduce
  kAwaitAll,     // waits until every member of the domain has arrived in the current round
  kReduceToAll,  // input off, output off, len: registered programs only; reduces that part of all
                 // members' inputs in member order, finalized, into all members' outputs
};
inline constexpr int64_t kOpcodeCount = 22;
inline constexpr int kMaxOperands = 7;

// Bounds that the decoder enforces, so that a run needs fixed memory only.
inline constexpr int64_t kMaxLanes = 16;
inline constexpr int64_t kMaxNesting = 8;
inline constexpr int64_t kMaxGroup = 16;  // transfers in one group
inline constexpr int64_t kMaxExprs = 4096;
inline constexpr int64_t kMaxVars = 64;
inline constexpr int64_t kMaxEvents = 64;

struct Expr {
  ExprOp op;
  int64_t a = 0, b = 0, c = 0;
};

struct Instruction {
  Opcode op;
  int64_t arg[kMaxOperands] = {};
  // Filled by the decoder: for kLoop, kIf and kGroup the index of the matching kEnd, and for that
  // kEnd the opener.
  int64_t match = 0;
};

// What a program needs from the communicator. The planner leaves out candidates whose needs are not
// met.
enum Need : int64_t {
  kNeedOneDomain = 1 << 0,   // all ranks in one domain
  kNeedSingleCopy = 1 << 1,  // every pair of a domain can read the other's private memory
  kNeedRegistered = 1 << 2,  // the call's buffers lie in memory that all members map: it starts
                             // when all have arrived, and its reads are of the members' inputs
};

struct Program {
  std::string name;  // "ring", "hier", ...
  Collective collective;
  int64_t needs = 0;
  int64_t n_vars = 0;
  int64_t n_events = 0;
  int64_t scratch = -1;  // expression: elements of scratch, or -1
  std::vector<Expr> exprs;
  std::vector<std::vector<Instruction>> lanes;

  // Filled by the decoder. For each loop variable, the expressions to evaluate again when it
  // changes, in order.
  std::vector<std::vector<int32_t>> dependents;
  bool uses_streams = false;  // any send or receive
  bool uses_window = false;
  bool reduces_per_hop = false;   // any kRecvReduce: halves would be rounded at every hop
  bool writes_to_others = false;  // any kReduceToAll: outputs must be registered, too
};

// What a row of the choice table is for. Where the one that a call asks for has no rows, those for
// all calls decide.
enum class Rows : int64_t {
  kAll = 0,
  kHalves,      // float16 and bfloat16
  kRegistered,  // all ranks' buffers lie in registered memory
};
inline constexpr int64_t kRowsCount = 3;

// One row of the choice table: the first row of the collective whose max_bytes is not exceeded
// wins.
struct Choice {
  Rows rows;
  Collective collective;
  int64_t max_bytes;      // inclusive; the last row of a collective has INT64_MAX
  int64_t program;        // index into PlanTable::programs
  int64_t segment_bytes;  // kSegment is this divided by the element size, at least one
};

struct PlanTable {
  uint64_t fingerprint = 0;
  std::vector<Program> programs;
  std::vector<std::vector<int64_t>> arrays;  // indexed by Array, up to kFirstCallArray
  std::vector<Choice> choices;               // sorted by (rows, collective, max_bytes)
};

inline constexpr uint64_t kPlanMagic =
    0x314e414c50434400ULL;  // bytes 00 'D' 'C' 'P' 'L' 'A' 'N' '1'
inline constexpr int64_t kPlanVersion = 5;
// A row's key in the choice table is its collective plus its Rows times this.
inline constexpr int64_t kRowsKey = 32;

// Decodes and validates everything that can be checked without running: bounds of every index,
// nesting, operand kinds, ordering of expressions, sorted choices. Throws Error(kInvalid) with the
// word offset. `size` is the communicator's.
PlanTable decode_plan(const void* data, size_t bytes, int64_t size);

}  // namespace distos_coll::program
