#include "program/decode.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "core/status.h"
#include "program/ir.h"

namespace distos_coll::program {
namespace {

constexpr int64_t kMaxPrograms = 4096;
constexpr int64_t kMaxInstructions = 1 << 16;
constexpr int64_t kMaxNameBytes = 256;

// What each operand of an opcode is. The table is the decoder's whole knowledge of operands.
enum class Kind : uint8_t { kNone, kExpr, kBuffer, kVar, kEvent, kFlag };

struct OpcodeInfo {
  Kind operand[kMaxOperands];
  bool transfer;  // may stand in a group
  bool window;    // lane 0 only
};

constexpr Kind N = Kind::kNone, X = Kind::kExpr, B = Kind::kBuffer, V = Kind::kVar,
               E = Kind::kEvent, F = Kind::kFlag;

constexpr OpcodeInfo kOpcodes[kOpcodeCount] = {
    {{N, N, N, N, N, N, N}, false, false},  // kEnd
    {{V, X, X, N, N, N, N}, false, false},  // kLoop
    {{X, N, N, N, N, N, N}, false, false},  // kIf
    {{N, N, N, N, N, N, N}, false, false},  // kGroup
    {{X, B, X, X, N, N, N}, true, false},   // kSend
    {{X, B, X, X, N, N, N}, true, false},   // kRecv
    {{X, B, X, B, X, X, N}, true, false},   // kRecvReduce
    {{B, X, B, X, X, N, N}, true, false},   // kCopy
    {{B, X, X, N, N, N, N}, false, false},  // kFinalize
    {{X, B, X, B, X, X, N}, false, false},  // kFold
    {{E, N, N, N, N, N, N}, false, false},  // kSignal
    {{E, X, N, N, N, N, N}, false, false},  // kAwait
    {{N, N, N, N, N, N, N}, false, true},   // kRound
    {{X, B, X, X, N, N, N}, false, true},   // kPut
    {{B, N, N, N, N, N, N}, false, true},   // kExpose
    {{N, N, N, N, N, N, N}, false, true},   // kCommit
    {{X, X, B, X, X, N, N}, false, true},   // kPull
    {{X, B, X, B, X, X, F}, false, true},   // kPullReduce
    {{X, X, B, X, X, N, N}, false, true},   // kRead
    {{X, B, X, B, X, X, F}, false, true},   // kReadReduce
    {{N, N, N, N, N, N, N}, false, true},   // kAwaitAll
    {{X, X, X, N, N, N, N}, false, true},   // kReduceToAll
};

class Reader {
 public:
  Reader(const void* data, size_t bytes)
      : data_(static_cast<const char*>(data)), words_(bytes / 8) {}

  [[noreturn]] void fail(const char* what) const {
    throw Error(
        Code::kInvalid,
        strf("plan is malformed at word %zu: %s; write it again with this version's planner", at_,
             what));
  }

  int64_t word() {
    if (at_ >= words_) fail("it ends too early");
    int64_t value;
    std::memcpy(&value, data_ + 8 * at_++, 8);
    return value;
  }

  int64_t in_range(int64_t low, int64_t high, const char* what) {
    const int64_t value = word();
    if (value < low || value > high) {
      --at_;
      fail(what);
    }
    return value;
  }

  // A length of items that take at least `words_each` words: bounded by what is left, so a hostile
  // length cannot make us reserve memory that the file does not back.
  int64_t length(int64_t limit, int64_t words_each, const char* what) {
    const int64_t value = in_range(0, limit, what);
    if (value * words_each > static_cast<int64_t>(words_ - at_)) fail(what);
    return value;
  }

  std::string text() {
    const int64_t bytes = in_range(0, kMaxNameBytes, "a name is too long");
    const size_t words = static_cast<size_t>(bytes + 7) / 8;
    if (words > words_ - at_) fail("a name is cut off");
    std::string value(data_ + 8 * at_, static_cast<size_t>(bytes));
    at_ += words;
    return value;
  }

  void expect_end() const {
    if (at_ != words_) fail("there is data after its end");
  }

 private:
  const char* data_;
  size_t words_;
  size_t at_ = 0;
};

void read_exprs(Reader& in, Program& program, std::vector<uint64_t>& vars_of) {
  const int64_t n = in.length(kMaxExprs, 4, "too many expressions");
  program.exprs.reserve(static_cast<size_t>(n));
  vars_of.assign(static_cast<size_t>(n), 0);
  for (int64_t i = 0; i < n; ++i) {
    Expr e{static_cast<ExprOp>(in.in_range(0, kExprOpCount - 1, "unknown expression")), in.word(),
           in.word(), in.word()};
    uint64_t vars = 0;
    const auto operand = [&](int64_t id) {
      if (id < 0 || id >= i) in.fail("an expression refers to a later one");
      vars |= vars_of[static_cast<size_t>(id)];
    };
    switch (e.op) {
      case ExprOp::kConst:
        break;
      case ExprOp::kParam:
        if (e.a < 0 || e.a >= kParamCount) in.fail("unknown parameter");
        break;
      case ExprOp::kVar:
        if (e.a < 0 || e.a >= program.n_vars) in.fail("unknown loop variable");
        vars = uint64_t{1} << e.a;
        break;
      case ExprOp::kIndex:
        if (e.a < 0 || e.a >= kArrayCount) in.fail("unknown array");
        operand(e.b);
        break;
      case ExprOp::kSelect:
        operand(e.a);
        operand(e.b);
        operand(e.c);
        break;
      default:
        operand(e.a);
        operand(e.b);
    }
    vars_of[static_cast<size_t>(i)] = vars;
    program.exprs.push_back(e);
  }
  program.dependents.assign(static_cast<size_t>(program.n_vars), {});
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t v = 0; v < program.n_vars; ++v) {
      if (vars_of[static_cast<size_t>(i)] >> v & 1)
        program.dependents[static_cast<size_t>(v)].push_back(static_cast<int32_t>(i));
    }
  }
}

void check_operand(const Reader& in, const Program& program, Kind kind, int64_t value) {
  switch (kind) {
    case Kind::kNone:
      break;
    case Kind::kExpr:
      if (value < 0 || value >= static_cast<int64_t>(program.exprs.size()))
        in.fail("unknown expression in an instruction");
      break;
    case Kind::kBuffer:
      if (value < 0 || value >= kBufferCount) in.fail("unknown buffer");
      break;
    case Kind::kVar:
      if (value < 0 || value >= program.n_vars) in.fail("unknown loop variable");
      break;
    case Kind::kEvent:
      if (value < 0 || value >= program.n_events) in.fail("unknown event");
      break;
    case Kind::kFlag:
      if (value != 0 && value != 1) in.fail("a flag is neither 0 nor 1");
      break;
  }
}

// Nesting of one lane: which blocks are open, and which loop variables.
class Nesting {
 public:
  Nesting(const Reader& in, std::vector<Instruction>& lane) : in_(in), lane_(lane) {}

  void see(size_t index) {
    Instruction& instruction = lane_[index];
    const Opcode op = instruction.op;
    if (op == Opcode::kEnd) {
      close(index);
      return;
    }
    const bool in_group = !open_.empty() && lane_[open_.back()].op == Opcode::kGroup;
    if (in_group) {
      if (!kOpcodes[static_cast<size_t>(op)].transfer)
        in_.fail("only transfers may stand in a group");
      if (static_cast<int64_t>(index - open_.back()) > kMaxGroup)
        in_.fail("a group has too many transfers");
    }
    if (op != Opcode::kLoop && op != Opcode::kIf && op != Opcode::kGroup) return;
    if (static_cast<int64_t>(open_.size()) >= kMaxNesting) in_.fail("blocks are nested too deeply");
    if (op == Opcode::kLoop) {
      if (open_vars_ >> instruction.arg[0] & 1)
        in_.fail("a loop uses the variable of a loop around it");
      open_vars_ |= uint64_t{1} << instruction.arg[0];
      used_vars_ |= uint64_t{1} << instruction.arg[0];
    }
    open_.push_back(index);
  }

  void finish() const {
    if (!open_.empty()) in_.fail("a block is not closed");
  }
  uint64_t used_vars() const { return used_vars_; }

 private:
  void close(size_t index) {
    if (open_.empty()) in_.fail("an end has no beginning");
    const size_t opener = open_.back();
    open_.pop_back();
    lane_[opener].match = static_cast<int64_t>(index);
    lane_[index].match = static_cast<int64_t>(opener);
    if (lane_[opener].op == Opcode::kLoop) open_vars_ &= ~(uint64_t{1} << lane_[opener].arg[0]);
  }

  const Reader& in_;
  std::vector<Instruction>& lane_;
  std::vector<size_t> open_;
  uint64_t open_vars_ = 0, used_vars_ = 0;
};

uint64_t read_lane(Reader& in, Program& program, bool first) {
  const int64_t n = in.length(kMaxInstructions, 1 + kMaxOperands, "too many instructions");
  auto& lane = program.lanes.emplace_back();
  lane.reserve(static_cast<size_t>(n));
  Nesting nesting(in, lane);
  for (int64_t i = 0; i < n; ++i) {
    Instruction instruction{
        static_cast<Opcode>(in.in_range(0, kOpcodeCount - 1, "unknown opcode"))};
    for (int64_t& arg : instruction.arg) arg = in.word();
    const OpcodeInfo& info = kOpcodes[static_cast<size_t>(instruction.op)];
    for (int k = 0; k < kMaxOperands; ++k)
      check_operand(in, program, info.operand[k], instruction.arg[k]);
    if (info.window && !first) in.fail("only the first lane may use the window");
    program.uses_window |= info.window;
    program.uses_streams |= instruction.op == Opcode::kSend || instruction.op == Opcode::kRecv ||
                            instruction.op == Opcode::kRecvReduce;
    program.reduces_per_hop |= instruction.op == Opcode::kRecvReduce;
    program.writes_to_others |= instruction.op == Opcode::kReduceToAll;
    lane.push_back(instruction);
    nesting.see(static_cast<size_t>(i));
  }
  nesting.finish();
  return nesting.used_vars();
}

Program read_program(Reader& in) {
  Program program;
  program.name = in.text();
  program.collective =
      static_cast<Collective>(in.in_range(0, kCollectiveCount - 1, "unknown collective"));
  program.needs =
      in.in_range(0, kNeedOneDomain | kNeedSingleCopy | kNeedRegistered, "unknown needs");
  program.n_vars = in.in_range(0, kMaxVars - 1, "too many loop variables");
  program.n_events = in.in_range(0, kMaxEvents, "too many events");
  program.scratch = in.in_range(-1, kMaxExprs, "scratch is not an expression");
  std::vector<uint64_t> vars_of;
  read_exprs(in, program, vars_of);
  if (program.scratch >= static_cast<int64_t>(program.exprs.size()))
    in.fail("scratch is not an expression");
  const int64_t n_lanes = in.in_range(1, kMaxLanes, "a program needs 1 to 16 lanes");
  uint64_t vars = 0;
  for (int64_t i = 0; i < n_lanes; ++i) {
    const uint64_t used = read_lane(in, program, i == 0);
    // Values of expressions are kept once per run, so a variable belongs to one lane.
    if (used & vars) in.fail("two lanes use the same loop variable");
    vars |= used;
  }
  const bool registered = (program.needs & kNeedRegistered) != 0;
  if (program.writes_to_others && !registered)
    in.fail("a program writes to others without registered memory");
  const bool alone = (program.needs & kNeedOneDomain) != 0 && !program.uses_streams && n_lanes == 1;
  if (registered && !alone)
    in.fail("a program for registered memory needs one domain, one lane and no messages");
  return program;
}

void read_arrays(Reader& in, PlanTable& plan, int64_t size) {
  plan.arrays.assign(static_cast<size_t>(kFirstCallArray), {});
  const int64_t n = in.length(kFirstCallArray, 2, "too many arrays");
  for (int64_t i = 0; i < n; ++i) {
    auto& array =
        plan.arrays[static_cast<size_t>(in.in_range(0, kFirstCallArray - 1, "unknown array"))];
    const int64_t length =
        in.length(4 * size + 4, 1, "an array is longer than the communicator allows");
    array.resize(static_cast<size_t>(length));
    for (int64_t& value : array) value = in.word();
  }
}

std::tuple<Rows, Collective, int64_t> order_of(const Choice& choice) {
  return {choice.rows, choice.collective, choice.max_bytes};
}

// Every collective has a choice for the largest sizes, and so has every kind of row that it has.
void check_last_rows(const Reader& in, const PlanTable& plan) {
  const Choice* last[kRowsCount][kCollectiveCount] = {};
  for (const Choice& choice : plan.choices)
    last[static_cast<size_t>(choice.rows)][static_cast<size_t>(choice.collective)] = &choice;
  for (int64_t rows = 0; rows < kRowsCount; ++rows) {
    for (int c = 0; c < kCollectiveCount; ++c) {
      const bool optional = rows != static_cast<int64_t>(Rows::kAll);
      const bool complete =
          last[rows][c] == nullptr ? optional : last[rows][c]->max_bytes == INT64_MAX;
      if (!complete) in.fail("a collective has no choice for the largest sizes");
    }
  }
}

void read_choices(Reader& in, PlanTable& plan) {
  const int64_t n = in.length(kRowsCount * kCollectiveCount * 1024, 4, "too many choices");
  for (int64_t i = 0; i < n; ++i) {
    Choice choice{};
    const int64_t key = in.in_range(0, kRowsCount * kRowsKey - 1, "unknown kind of row");
    choice.rows = static_cast<Rows>(key / kRowsKey);
    if (key % kRowsKey >= kCollectiveCount) in.fail("unknown collective");
    choice.collective = static_cast<Collective>(key % kRowsKey);
    choice.max_bytes = in.in_range(0, INT64_MAX, "a cut-over is negative");
    choice.program =
        in.in_range(0, static_cast<int64_t>(plan.programs.size()) - 1, "unknown program");
    choice.segment_bytes = in.in_range(1, int64_t{1} << 40, "a segment is empty");
    if (plan.programs[static_cast<size_t>(choice.program)].collective != choice.collective)
      in.fail("a choice names another collective's program");
    if (choice.rows != Rows::kRegistered &&
        (plan.programs[static_cast<size_t>(choice.program)].needs & kNeedRegistered) != 0)
      in.fail("a choice for any memory names a program for registered memory");
    if (!plan.choices.empty()) {
      const Choice& last = plan.choices.back();
      if (order_of(last) >= order_of(choice)) in.fail("choices are not sorted");
    }
    plan.choices.push_back(choice);
  }
  check_last_rows(in, plan);
}

}  // namespace

PlanTable decode_plan(const void* data, size_t bytes, int64_t size) {
  Reader in(data, bytes);
  if (bytes % 8 != 0) in.fail("its size is not a multiple of 8");
  if (static_cast<uint64_t>(in.word()) != kPlanMagic)
    in.fail("it does not begin with the plan's magic number");
  if (in.word() != kPlanVersion) in.fail("it is of another version");
  PlanTable plan;
  plan.fingerprint = static_cast<uint64_t>(in.word());
  const int64_t n = in.length(kMaxPrograms, 8, "too many programs");
  plan.programs.reserve(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) plan.programs.push_back(read_program(in));
  read_arrays(in, plan, size);
  read_choices(in, plan);
  in.expect_end();
  return plan;
}

Program decode_program(const void* data, size_t bytes) {
  Reader in(data, bytes);
  if (bytes % 8 != 0) in.fail("its size is not a multiple of 8");
  Program program = read_program(in);
  in.expect_end();
  return program;
}

bool operand_is_expression(Opcode op, int operand) {
  return kOpcodes[static_cast<size_t>(op)].operand[operand] == Kind::kExpr;
}

}  // namespace distos_coll::program
