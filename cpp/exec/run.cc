#include "exec/run.h"

#include <algorithm>
#include <cstring>

#include "core/caches.h"
#include "core/streaming_copy.h"

namespace distos_coll::exec {

using program::Instruction;
using program::Opcode;

Run::Run(Window* window, Streams* streams, const std::vector<int>& domain_ranks)
    : window_(window), streams_(streams), domain_ranks_(domain_ranks) {}

Run::~Run() = default;

void Run::start(const Call& call) {
  call_ = call;
  for (int a = 0; a < program::kArrayCount; ++a)
    call_.environment.arrays[a] = call.environment.arrays[a];
  element_bytes_ = dtype_bytes(call.dtype);
  const auto size =
      static_cast<size_t>(call.environment.params[static_cast<int>(program::Param::kSize)]);
  past_caches_ = outgrows_caches();
  sources_.reserve(size);
  targets_.reserve(size);
  values_.start(*call.program, call_.environment);
  n_lanes_ = call.program->lanes.size();
  if (lanes_.size() < n_lanes_) lanes_.resize(n_lanes_);
  for (size_t i = 0; i < n_lanes_; ++i) {
    Lane& lane = lanes_[i];
    lane.code = &call.program->lanes[i];
    if (call.program->uses_streams && !lane.transfers)
      lane.transfers = std::make_unique<Transfer[]>(program::kMaxGroup);
  }
  rewind();
}

// What the members write would push one another out of the cache that they share.
bool Run::outgrows_caches() const {
  const size_t cache = last_cache_bytes();
  if (cache == 0 || window_ == nullptr) return false;
  const auto output = call_.capacity[static_cast<int>(program::Buffer::kOutput)];
  return static_cast<size_t>(output) * element_bytes_ >=
         cache / static_cast<size_t>(window_->size());
}

void Run::copy(std::byte* dst, const std::byte* src, size_t bytes) const {
  if (past_caches_) {
    streaming_copy(dst, src, bytes);
  } else {
    std::memmove(dst, src, bytes);
  }
}

void Run::restart(std::byte* input, std::byte* output) {
  call_.buffer[static_cast<int>(program::Buffer::kInput)] = input;
  call_.buffer[static_cast<int>(program::Buffer::kOutput)] = output;
  values_.rewind();
  rewind();
}

void Run::rewind() {
  for (size_t i = 0; i < n_lanes_; ++i) {
    lanes_[i].pc = 0;
    lanes_[i].depth = 0;
    lanes_[i].in_transfers = false;
  }
  std::fill_n(events_, call_.program->n_events, 0);
  code_ = Code::kOk;
  failed_rank_ = -1;
}

Code Run::advance(bool* progressed) {
  bool again = true;
  bool finished = false;
  while (again) {
    // A lane may wait for an event that a later lane signals, so go round until nobody moves.
    again = false;
    finished = true;
    for (size_t i = 0; i < n_lanes_; ++i) {
      Lane& lane = lanes_[i];
      bool moved = false;
      while (lane.pc < lane.code->size()) {
        const Step result = step(static_cast<int>(i), lane, &moved);
        if (result == Step::kFailed) {
          failed_lane_ = i;
          return code_;
        }
        if (result == Step::kBlocked) break;
        moved = true;
      }
      finished &= lane.pc >= lane.code->size();
      *progressed |= moved;
      again |= moved && n_lanes_ > 1;
    }
    if (finished) return Code::kOk;
  }
  return Code::kAgain;
}

Run::Step Run::fail(Code code, int rank) {
  code_ = code;
  failed_rank_ = rank;
  return Step::kFailed;
}

std::string Run::failed_at() const {
  return strf("lane %zu, instruction %zu", failed_lane_, lanes_[failed_lane_].pc);
}

Run::Step Run::step(int lane_index, Lane& lane, bool* progressed) {
  const Instruction& instruction = (*lane.code)[lane.pc];
  switch (instruction.op) {
    case Opcode::kEnd:
    case Opcode::kLoop:
    case Opcode::kIf:
    case Opcode::kSignal:
    case Opcode::kAwait:
      return control(lane, instruction);
    case Opcode::kGroup:
    case Opcode::kSend:
    case Opcode::kRecv:
    case Opcode::kRecvReduce:
      return transfers(lane_index, lane, progressed);
    case Opcode::kCopy: {
      const int64_t length = value(instruction.arg[4]);
      if (length > 0) {
        std::byte* dst = at(instruction.arg[0], value(instruction.arg[1]), length);
        const std::byte* src = at(instruction.arg[2], value(instruction.arg[3]), length);
        if (dst == nullptr || src == nullptr) return fail(Code::kInternal);
        if (dst != src) copy(dst, src, static_cast<size_t>(length) * element_bytes_);
      }
      ++lane.pc;
      return Step::kNext;
    }
    case Opcode::kFinalize:
    case Opcode::kFold: {
      const bool folds = instruction.op == Opcode::kFold;
      const Step result = folds ? fold(instruction) : finalize(instruction);
      if (result == Step::kNext) ++lane.pc;
      return result;
    }
    default:
      return window_step(lane, instruction);
  }
}

Run::Step Run::control(Lane& lane, const Instruction& instruction) {
  switch (instruction.op) {
    case Opcode::kLoop: {
      const int64_t start = value(instruction.arg[1]), stop = value(instruction.arg[2]);
      if (start >= stop) {
        lane.pc = static_cast<size_t>(instruction.match) + 1;
        return Step::kNext;
      }
      lane.loops[lane.depth++] = {lane.pc + 1, instruction.arg[0], start, stop};
      values_.set_var(instruction.arg[0], start);
      ++lane.pc;
      return Step::kNext;
    }
    case Opcode::kIf:
      lane.pc =
          value(instruction.arg[0]) != 0 ? lane.pc + 1 : static_cast<size_t>(instruction.match) + 1;
      return Step::kNext;
    case Opcode::kEnd: {
      if ((*lane.code)[static_cast<size_t>(instruction.match)].op != Opcode::kLoop) {
        ++lane.pc;
        return Step::kNext;
      }
      Loop& loop = lane.loops[lane.depth - 1];
      if (++loop.current < loop.stop) {
        values_.set_var(loop.var, loop.current);
        lane.pc = loop.body;
      } else {
        --lane.depth;
        ++lane.pc;
      }
      return Step::kNext;
    }
    case Opcode::kSignal:
      ++events_[instruction.arg[0]];
      ++lane.pc;
      return Step::kNext;
    default:  // kAwait
      if (events_[instruction.arg[0]] < value(instruction.arg[1])) return Step::kBlocked;
      ++lane.pc;
      return Step::kNext;
  }
}

std::byte* Run::at(int64_t buffer, int64_t offset, int64_t length) {
  if (offset < 0 || length > call_.capacity[buffer] - offset) return nullptr;
  return call_.buffer[buffer] + static_cast<size_t>(offset) * element_bytes_;
}

// In elements, so that no product can wrap.
bool Run::fits_slot(int64_t offset, int64_t length) const {
  const auto elements = static_cast<int64_t>(window_->slot_bytes() / element_bytes_);
  return offset >= 0 && length <= elements && offset <= elements - length;
}

// --- Message transfers

Run::Step Run::transfers(int lane_index, Lane& lane, bool* progressed) {
  const auto& code = *lane.code;
  const bool group = code[lane.pc].op == Opcode::kGroup;
  const size_t first = group ? lane.pc + 1 : lane.pc;
  const size_t last = group ? static_cast<size_t>(code[lane.pc].match) : lane.pc + 1;
  if (!lane.in_transfers) {
    lane.in_transfers = true;
    for (size_t i = first; i < last; ++i) {
      Transfer& state = lane.transfers[i - first];
      state.done = state.posted = false;
      state.moved = 0;
    }
  }
  bool all_done = true;
  for (size_t i = first; i < last; ++i) {
    Transfer& state = lane.transfers[i - first];
    if (state.done) continue;
    const Step result = transfer(lane_index, state, code[i], progressed);
    if (result == Step::kFailed) return result;
    state.done = result == Step::kNext;
    *progressed |= state.done;
    all_done &= state.done;
  }
  if (!all_done) return Step::kBlocked;
  lane.in_transfers = false;
  lane.pc = group ? last + 1 : last;
  return Step::kNext;
}

Run::Step Run::transfer(int lane_index, Transfer& state, const Instruction& instruction,
                        bool* progressed) {
  switch (instruction.op) {
    case Opcode::kSend:
      return send(lane_index, state, instruction, progressed);
    case Opcode::kCopy: {
      const int64_t length = value(instruction.arg[4]);
      if (length <= 0) return Step::kNext;
      std::byte* dst = at(instruction.arg[0], value(instruction.arg[1]), length);
      const std::byte* src = at(instruction.arg[2], value(instruction.arg[3]), length);
      if (dst == nullptr || src == nullptr) return fail(Code::kInternal);
      if (dst != src) copy(dst, src, static_cast<size_t>(length) * element_bytes_);
      return Step::kNext;
    }
    default:
      return receive(lane_index, state, instruction, progressed);
  }
}

Run::Step Run::send(int lane_index, Transfer& state, const Instruction& instruction,
                    bool* progressed) {
  const int64_t peer = value(instruction.arg[0]), length = value(instruction.arg[3]);
  if (peer < 0 || length <= 0) return Step::kNext;
  const std::byte* data = at(instruction.arg[1], value(instruction.arg[2]), length);
  if (data == nullptr ||
      peer >= call_.environment.params[static_cast<int>(program::Param::kSize)]) {
    return fail(Code::kInternal);
  }
  const size_t bytes = static_cast<size_t>(length) * element_bytes_;
  size_t sent = 0;
  const Code code = streams_->send(static_cast<int>(peer), lane_index, call_.signature, bytes,
                                   data + state.moved, bytes - state.moved, &sent);
  if (code != Code::kOk) return fail(code, static_cast<int>(peer));
  state.moved += sent;
  *progressed |= sent > 0;
  return state.moved == bytes ? Step::kNext : Step::kBlocked;
}

Run::Step Run::receive(int lane_index, Transfer& state, const Instruction& instruction,
                       bool* progressed) {
  Sink& sink = state.sink;
  if (!state.posted) {
    const bool reduces = instruction.op == Opcode::kRecvReduce;
    const int64_t peer = value(instruction.arg[0]),
                  length = value(instruction.arg[reduces ? 5 : 3]);
    if (peer < 0 || length <= 0) return Step::kNext;
    sink.dst = at(instruction.arg[1], value(instruction.arg[2]), length);
    sink.src = reduces ? at(instruction.arg[3], value(instruction.arg[4]), length) : nullptr;
    const bool valid = sink.dst != nullptr && (!reduces || sink.src != nullptr) &&
                       peer < call_.environment.params[static_cast<int>(program::Param::kSize)];
    if (!valid) return fail(Code::kInternal);
    sink.bytes = static_cast<size_t>(length) * element_bytes_;
    sink.element_bytes = element_bytes_;
    sink.reduce = reduces ? reduce_fn() : nullptr;
    sink.signature = call_.signature;
    sink.received = 0;
    sink.code = Code::kOk;
    sink.next = nullptr;
    sink.done.store(false, std::memory_order_relaxed);
    state.posted = true;
    *progressed = true;
    streams_->post(static_cast<int>(peer), lane_index, &sink);
  }
  if (!sink.done.load(std::memory_order_acquire)) return Step::kBlocked;
  if (sink.code == Code::kOk) return Step::kNext;
  failed_signature_ = sink.other;
  return fail(sink.code, static_cast<int>(value(instruction.arg[0])));
}

void Run::cancel() {
  if (streams_ == nullptr || call_.program == nullptr || !call_.program->uses_streams) return;
  for (size_t i = 0; i < n_lanes_; ++i) {
    const Lane& lane = lanes_[i];
    if (!lane.in_transfers) continue;
    const auto& code = *lane.code;
    const bool group = code[lane.pc].op == Opcode::kGroup;
    const size_t first = group ? lane.pc + 1 : lane.pc;
    const size_t last = group ? static_cast<size_t>(code[lane.pc].match) : lane.pc + 1;
    for (size_t k = first; k < last; ++k) {
      if (!lane.transfers[k - first].posted) continue;
      streams_->cancel(static_cast<int>(value(code[k].arg[0])), static_cast<int>(i));
    }
  }
}

std::vector<int> Run::waiting_for() const {
  std::vector<int> ranks;
  if (call_.program == nullptr) return ranks;
  for (size_t i = 0; i < n_lanes_; ++i) {
    const Lane& lane = lanes_[i];
    const auto& code = *lane.code;
    if (lane.pc >= code.size()) continue;
    if (lane.in_transfers) {
      const bool group = code[lane.pc].op == Opcode::kGroup;
      const size_t first = group ? lane.pc + 1 : lane.pc;
      const size_t last = group ? static_cast<size_t>(code[lane.pc].match) : lane.pc + 1;
      for (size_t k = first; k < last; ++k) {
        if (!lane.transfers[k - first].done)
          ranks.push_back(static_cast<int>(value(code[k].arg[0])));
      }
    } else if (code[lane.pc].op >= Opcode::kRound) {
      const bool one = code[lane.pc].op == Opcode::kPull || code[lane.pc].op == Opcode::kRead;
      for (int member = 0; member < window_->size(); ++member) {
        if (one && member != value(code[lane.pc].arg[0])) continue;
        if (window_->waits_for(member)) ranks.push_back(domain_ranks_[static_cast<size_t>(member)]);
      }
    }
  }
  return ranks;
}

// --- Window transfers

bool Run::member_ready(int member) { return window_->arrived(member); }

Run::Step Run::window_step(Lane& lane, const Instruction& instruction) {
  Step result = Step::kNext;
  switch (instruction.op) {
    case Opcode::kRound:
      if (!window_->can_open()) return Step::kBlocked;
      window_->open(call_.signature);
      break;
    case Opcode::kPut: {
      const int64_t length = value(instruction.arg[3]);
      if (length <= 0) break;
      const std::byte* data = at(instruction.arg[1], value(instruction.arg[2]), length);
      const int64_t offset = value(instruction.arg[0]);
      const size_t bytes = static_cast<size_t>(length) * element_bytes_;
      if (data == nullptr || !fits_slot(offset, length)) return fail(Code::kInternal);
      if (!window_->put(static_cast<size_t>(offset) * element_bytes_, data, bytes))
        return Step::kBlocked;
      break;
    }
    case Opcode::kExpose:
      window_->expose(call_.buffer[instruction.arg[0]]);
      break;
    case Opcode::kCommit:
      window_->commit();
      break;
    case Opcode::kPull:
    case Opcode::kRead:
      result = pull(instruction, instruction.op == Opcode::kRead);
      break;
    case Opcode::kPullReduce:
    case Opcode::kReadReduce:
      result = pull_reduce(instruction, instruction.op == Opcode::kReadReduce);
      break;
    case Opcode::kReduceToAll:
      result = reduce_to_all(instruction);
      break;
    default:  // kAwaitAll
      if (!window_->all_arrived()) return Step::kBlocked;
      break;
  }
  if (result == Step::kNext) ++lane.pc;
  return result;
}

Run::Step Run::pull(const Instruction& instruction, bool exposed) {
  const int64_t member = value(instruction.arg[0]), length = value(instruction.arg[4]);
  if (member < 0 || length <= 0) return Step::kNext;
  if (member >= window_->size()) return fail(Code::kInternal);
  const auto m = static_cast<int>(member);
  if (!member_ready(m)) return Step::kBlocked;
  if (!(window_->signature_of(m) == call_.signature)) {
    failed_signature_ = window_->signature_of(m);
    return fail(Code::kMismatch, domain_ranks_[static_cast<size_t>(m)]);
  }
  std::byte* dst = at(instruction.arg[2], value(instruction.arg[3]), length);
  const int64_t offset = value(instruction.arg[1]);
  const size_t bytes = static_cast<size_t>(length) * element_bytes_;
  if (dst == nullptr || offset < 0) return fail(Code::kInternal);
  const size_t byte_offset = static_cast<size_t>(offset) * element_bytes_;
  if (exposed && !call_.registered.empty()) {
    const std::byte* from = registered_at(m, program::Buffer::kInput, byte_offset, bytes);
    if (from == nullptr) return Step::kFailed;
    copy(dst, from, bytes);
    return Step::kNext;
  }
  if (exposed) {
    const Code code = window_->read(m, byte_offset, dst, bytes);
    return code == Code::kOk ? Step::kNext : fail(code, domain_ranks_[static_cast<size_t>(m)]);
  }
  if (!fits_slot(offset, length)) return fail(Code::kInternal);
  copy(dst, window_->data(m, byte_offset, bytes), bytes);
  return Step::kNext;
}

Run::Step Run::all_ready() {
  for (int member = 0; member < window_->size(); ++member) {
    if (!member_ready(member)) return Step::kBlocked;
    if (window_->signature_of(member) == call_.signature) continue;
    failed_signature_ = window_->signature_of(member);
    return fail(Code::kMismatch, domain_ranks_[static_cast<size_t>(member)]);
  }
  return Step::kNext;
}

Run::Step Run::pull_reduce(const Instruction& instruction, bool exposed) {
  const int64_t length = value(instruction.arg[5]);
  if (length <= 0) return Step::kNext;
  if (const Step ready = all_ready(); ready != Step::kNext) return ready;
  const int64_t offset = value(instruction.arg[0]);
  if (offset < 0) return fail(Code::kInternal);
  return exposed ? reduce_exposed(instruction, offset, length)
                 : reduce_slots(instruction, offset, length);
}

Run::Step Run::reduce_slots(const Instruction& instruction, int64_t slot_offset, int64_t length) {
  std::byte* dst = at(instruction.arg[1], value(instruction.arg[2]), length);
  const std::byte* own = at(instruction.arg[3], value(instruction.arg[4]), length);
  const size_t offset = static_cast<size_t>(slot_offset) * element_bytes_;
  const size_t bytes = static_cast<size_t>(length) * element_bytes_;
  if (dst == nullptr || own == nullptr || !fits_slot(slot_offset, length))
    return fail(Code::kInternal);
  const auto local_rank = call_.environment.params[static_cast<int>(program::Param::kLocalRank)];
  sources_.clear();
  for (int member = 0; member < window_->size(); ++member) {
    sources_.push_back(member == local_rank ? own : window_->data(member, offset, bytes));
  }
  reduce_fn()(dst, sources_.data(), sources_.size(), static_cast<size_t>(length),
              instruction.arg[6] != 0 ? call_.divisor : 1);
  return Step::kNext;
}

Run::Step Run::finalize(const Instruction& instruction) {
  const int64_t length = value(instruction.arg[2]);
  if (length <= 0 || call_.divisor <= 1) return Step::kNext;
  std::byte* data = at(instruction.arg[0], value(instruction.arg[1]), length);
  if (data == nullptr) return fail(Code::kInternal);
  reduce::kernels().divide[static_cast<int>(call_.dtype)](data, data, static_cast<size_t>(length),
                                                          call_.divisor);
  return Step::kNext;
}

// The same kernel over the same sources as a pull_reduce of all ranks, hence the same bits.
Run::Step Run::fold(const Instruction& instruction) {
  const int64_t length = value(instruction.arg[5]);
  if (length <= 0) return Step::kNext;
  const int64_t size = call_.environment.params[static_cast<int>(program::Param::kSize)];
  const int64_t own_rank = call_.environment.params[static_cast<int>(program::Param::kRank)];
  std::byte* dst = at(instruction.arg[1], value(instruction.arg[2]), length);
  const std::byte* own = at(instruction.arg[3], value(instruction.arg[4]), length);
  if (dst == nullptr || own == nullptr) return fail(Code::kInternal);
  const std::byte* staged =
      at(static_cast<int64_t>(program::Buffer::kScratch), value(instruction.arg[0]), size * length);
  if (staged == nullptr) return fail(Code::kInternal);
  sources_.clear();
  for (int64_t rank = 0; rank < size; ++rank) {
    const size_t offset = static_cast<size_t>(rank * length) * element_bytes_;
    sources_.push_back(rank == own_rank ? own : staged + offset);
  }
  reduce_fn()(dst, sources_.data(), sources_.size(), static_cast<size_t>(length), call_.divisor);
  return Step::kNext;
}

}  // namespace distos_coll::exec
