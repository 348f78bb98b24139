// The instructions of a lane that use the window of its domain.
#include <utility>

#include "verify/lane.h"

namespace distos_coll::verify {

using program::Opcode;

void Lane::begin_window(Opcode op) {
  switch (op) {
    case Opcode::kRound:
      wait_ = Wait::kRound;
      return;
    case Opcode::kPut:
      return put();
    case Opcode::kExpose:
      return window_.expose(me_, operation_.views[static_cast<size_t>(operands_[0])]);
    case Opcode::kCommit:
      return window_.commit(me_, operation_.knowledge);
    case Opcode::kPull:
    case Opcode::kRead:
      if (operands_[4] <= 0) return;
      awaited_ = &window_.member(operands_[0]);
      window_.require_round(me_);
      wait_ = Wait::kMember;
      return;
    case Opcode::kPullReduce:
    case Opcode::kReadReduce:
      if (operands_[5] <= 0) return;
      [[fallthrough]];
    case Opcode::kAwaitAll:
      window_.require_round(me_);
      heard_ = 0;
      wait_ = Wait::kAll;
      return;
    case Opcode::kReduceToAll:
      return reduce_to_all();
    default:
      return;
  }
}

bool Lane::wait_for(Member& member) {
  if (!window_.has_arrived(me_, member)) return false;
  learn(operation_.knowledge, member.at(me_.arrived - 1).knowledge);
  return true;
}

bool Lane::wait_for_all() {
  for (; heard_ < window_.members.size(); ++heard_) {
    if (!wait_for(window_.members[heard_])) return false;
  }
  return true;
}

void Lane::put() {
  const int64_t n = operands_[3];
  if (n > 0) window_.put(me_, operands_[0], load_part(part(1, 2), n));
}

void Lane::pull() {
  store(part(2, 3), window_.pull(me_, *awaited_, operands_[1], operands_[4]), me_);
}

void Lane::read() { store(part(2, 3), remote(*awaited_, operands_[1], operands_[4]), me_); }

Elements Lane::remote(Member& member, int64_t off, int64_t n) const {
  const bool registered = (world_.code->needs & program::kNeedRegistered) != 0;
  const View& view = registered ? *member.offered_input : window_.exposed_by(me_, member);
  check_there(view);
  return load_part({view, off}, n);
}

void Lane::reduce_members(bool from_memory) {
  const Part dst = part(1, 2), src = part(3, 4);
  const int64_t n = operands_[5];
  check_overlap(dst, src, n);
  std::vector<Elements> inputs;
  inputs.reserve(window_.members.size());
  for (Member& member : window_.members) {
    if (&member == &me_) {
      inputs.push_back(load_part(src, n));
    } else if (from_memory) {
      inputs.push_back(remote(member, operands_[0], n));
    } else {
      inputs.push_back(window_.pull(me_, member, operands_[0], n));
    }
  }
  Elements result = world_.algebra->reduce(inputs);
  if (operands_[6] != 0) result = world_.algebra->finalize(std::move(result));
  store(dst, result, me_);
}

void Lane::reduce_to_all() {
  const int64_t n = operands_[2];
  if (n <= 0) return;
  std::vector<Elements> inputs;
  inputs.reserve(window_.members.size());
  for (Member& member : window_.members) inputs.push_back(remote(member, operands_[0], n));
  const Elements result = world_.algebra->finalize(world_.algebra->reduce(inputs));
  for (Member& member : window_.members) store({*member.offered_output, operands_[1]}, result, me_);
}

}  // namespace distos_coll::verify
