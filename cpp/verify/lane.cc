#include "verify/lane.h"

#include <algorithm>
#include <string>
#include <utility>

namespace distos_coll::verify {

using program::Buffer;
using program::Opcode;

Lane::Lane(World& world, Operation& operation, int32_t number)
    : world_(world),
      operation_(operation),
      code_(world.code->lanes[static_cast<size_t>(number)]),
      window_(*operation.window),
      me_(*operation.member),
      number_(number),
      offers_((world.code->needs & program::kNeedRegistered) != 0) {}

Place Lane::place() const {
  Place found{operation_.rank, number_, at_, evaluated_, {}};
  std::copy(std::begin(operands_), std::end(operands_), std::begin(found.operands));
  return found;
}

void Lane::resume() {
  try {
    run();
  } catch (Fault& fault) {
    fault.put_at(place());
    throw;
  }
}

void Lane::run() {
  if (offers_ && !offer()) return;
  while (at_ < static_cast<int32_t>(code_.size())) {
    if (!begun_) {
      world_.tick();
      evaluated_ = false;
      evaluate();
      if (control()) continue;
      wait_ = Wait::kNothing;
      begin();
      begun_ = true;
    }
    if (!goes_on()) return;
    complete();
    next();
  }
  finished_ = true;
  ++world_.progress;
}

void Lane::next() {
  begun_ = false;
  if (group_end_ >= 0) at_ = static_cast<int32_t>(std::exchange(group_end_, -1));
  ++world_.progress;
  ++at_;
}

// What a program of registered memory may rely on: all have offered both buffers.
bool Lane::offer() {
  if (!offered_) {
    if (!window_.may_open(me_)) return false;
    window_.open(me_, operation_.environment.params[static_cast<size_t>(program::Param::kSlot)]);
    window_.offer(me_, operation_.views[static_cast<size_t>(Buffer::kInput)],
                  operation_.views[static_cast<size_t>(Buffer::kOutput)]);
    window_.commit(me_, operation_.knowledge);
    offered_ = true;
    heard_ = 0;
    ++world_.progress;
  }
  if (!wait_for_all()) return false;
  offers_ = false;
  return true;
}

void Lane::evaluate() {
  const program::Instruction& instruction = here();
  const unsigned expressions = world_.expressions[static_cast<size_t>(instruction.op)];
  for (int k = 0; k < program::kMaxOperands; ++k) {
    const int64_t arg = instruction.arg[k];
    if ((expressions >> k & 1) == 0) {
      operands_[k] = arg;
      continue;
    }
    if (operation_.values.bad(arg)) throw Fault(operation_.values.why(arg));
    operands_[k] = operation_.values[arg];
  }
  evaluated_ = true;
}

// Loops and conditions; false for all others.
bool Lane::control() {
  const program::Instruction& instruction = here();
  const auto match = static_cast<int32_t>(instruction.match);
  switch (instruction.op) {
    case Opcode::kLoop:
      if (operands_[1] >= operands_[2]) {
        at_ = match + 1;
        return true;
      }
      stops_.push_back(operands_[2]);
      counts_.push_back(operands_[1]);
      operation_.values.set_var(operands_[0], operands_[1]);
      ++at_;
      return true;
    case Opcode::kIf:
      at_ = operands_[0] != 0 ? at_ + 1 : match + 1;
      return true;
    case Opcode::kEnd: {
      const program::Instruction& opener = code_[static_cast<size_t>(match)];
      if (opener.op == Opcode::kLoop) {
        if (++counts_.back() < stops_.back()) {
          operation_.values.set_var(opener.arg[0], counts_.back());
          at_ = match + 1;
          return true;
        }
        stops_.pop_back();
        counts_.pop_back();
      }
      ++at_;
      return true;
    }
    default:
      return false;
  }
}

void Lane::begin() {
  const Opcode op = here().op;
  switch (op) {
    case Opcode::kGroup:
      return group();
    case Opcode::kSend:
    case Opcode::kRecv:
    case Opcode::kRecvReduce:
      if (post(op)) wait_ = Wait::kTransfers;
      return;
    case Opcode::kCopy:
      return copy();
    case Opcode::kFinalize:
      return finalize();
    case Opcode::kFold:
      return fold();
    case Opcode::kSignal:
      ++operation_.events[static_cast<size_t>(operands_[0])];
      return;
    case Opcode::kAwait:
      wait_ = Wait::kEvent;
      return;
    default:
      return begin_window(op);
  }
}

bool Lane::goes_on() {
  switch (wait_) {
    case Wait::kNothing:
      return true;
    case Wait::kTransfers:
      return unfinished_ == 0;
    case Wait::kEvent:
      return operation_.events[static_cast<size_t>(operands_[0])] >= operands_[1];
    case Wait::kRound:
      return window_.may_open(me_);
    case Wait::kMember:
      return wait_for(*awaited_);
    case Wait::kAll:
      return wait_for_all();
  }
  return true;
}

// What follows a wait.
void Lane::complete() {
  if (wait_ == Wait::kRound) {
    window_.open(me_, operation_.environment.params[static_cast<size_t>(program::Param::kSlot)]);
  } else if (wait_ == Wait::kMember) {
    here().op == Opcode::kPull ? pull() : read();
  } else if (wait_ == Wait::kAll && here().op != Opcode::kAwaitAll) {
    reduce_members(here().op == Opcode::kReadReduce);
  }
}

// --- messages

void Lane::group() {
  group_end_ = here().match;
  bool any = false;
  while (at_ + 1 < group_end_) {
    ++at_;
    evaluated_ = false;
    evaluate();
    if (here().op == Opcode::kCopy) {
      copy();
    } else {
      any |= post(here().op);
    }
  }
  if (any) wait_ = Wait::kTransfers;
}

// Begins a transfer; false if there is nothing to transfer.
bool Lane::post(Opcode op) {
  const int64_t n = operands_[op == Opcode::kRecvReduce ? 5 : 3];
  if (operands_[0] < 0 || n <= 0) return false;
  if (op == Opcode::kSend) {
    send();
  } else if (op == Opcode::kRecv) {
    recv();
  } else {
    recv_reduce();
  }
  ++world_.progress;
  return true;
}

Part Lane::part(size_t buffer, size_t off) const {
  return {operation_.views[static_cast<size_t>(operands_[buffer])], operands_[off]};
}

Channel& Lane::channel(int64_t source, int64_t to, bool sends) {
  for (const int64_t rank : {source, to}) {
    if (rank >= world_.size()) throw Fault("peer " + std::to_string(rank) + " does not exist");
  }
  if (source == to) throw Fault("a rank cannot send to itself; use copy");
  const int64_t peer = sends ? to : source;
  Known& known = known_[sends ? 1 : 0][static_cast<size_t>(peer) % kKnown];
  if (known.peer != peer) known = {peer, &world_.channel(source, to, number_)};
  return *known.channel;
}

void Lane::send() {
  const Part from = part(1, 2);
  const int64_t n = operands_[3];
  const Place where = place();
  Channel& stream = channel(operation_.rank, operands_[0], true);
  const uint64_t use = occupy(from, n, false, where);
  ++unfinished_;
  stream.post(*world_.algebra, Send{from, n, use, where, &operation_.knowledge, &unfinished_});
}

void Lane::recv() {
  const Part dst = part(1, 2);
  post(Recv{dst, dst, false, true, operands_[3], 0, 0, place(), &me_, &operation_.knowledge,
            &unfinished_},
       operands_[0], operands_[3]);
}

void Lane::recv_reduce() {
  const Part dst = part(1, 2), src = part(3, 4);
  const int64_t n = operands_[5];
  check_overlap(dst, src, n);
  post(Recv{dst, src, true, dst.same_place(src), n, 0, 0, place(), &me_, &operation_.knowledge,
            &unfinished_},
       operands_[0], n);
}

void Lane::post(Recv recv, int64_t peer, int64_t n) {
  Channel& stream = channel(peer, operation_.rank, false);
  recv.dst_use = occupy(recv.dst, n, true, recv.place);
  if (!recv.same_place) recv.src_use = occupy(recv.src, n, false, recv.place);
  ++unfinished_;
  stream.post(*world_.algebra, recv);
}

// --- local work

Elements Lane::load_part(const Part& part, int64_t n) const { return load(part, n, me_); }

void Lane::copy() {
  const Part dst = part(0, 1), src = part(2, 3);
  const int64_t n = operands_[4];
  if (n <= 0) return;
  check_overlap(dst, src, n);
  if (!dst.same_place(src)) store(dst, load_part(src, n), me_);
}

void Lane::finalize() {
  const int64_t n = operands_[2];
  if (n > 0) store(part(0, 1), world_.algebra->finalize(load_part(part(0, 1), n)), me_);
}

void Lane::fold() {
  const int64_t n = operands_[5], size = world_.size();
  if (n <= 0) return;
  const View& scratch = operation_.views[static_cast<size_t>(Buffer::kScratch)];
  int64_t whole = 0;
  if (__builtin_mul_overflow(size, n, &whole)) whole = INT64_MAX;
  scratch.span(operands_[0], whole);
  std::vector<Part> places;
  places.reserve(static_cast<size_t>(size));
  for (int64_t rank = 0; rank < size; ++rank)
    places.push_back(rank == operation_.rank ? part(3, 4) : Part{scratch, operands_[0] + rank * n});
  const Part dst = part(1, 2);
  for (const Part& each : places) check_overlap(dst, each, n);
  std::vector<Elements> inputs;
  inputs.reserve(places.size());
  for (const Part& each : places) inputs.push_back(load_part(each, n));
  store(dst, world_.algebra->finalize(world_.algebra->reduce(inputs)), me_);
}

}  // namespace distos_coll::verify
