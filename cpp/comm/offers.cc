#include "comm/offers.h"

#include <algorithm>
#include <utility>

#include "program/choose.h"

namespace distos_coll {

using program::Buffer;
using program::ExprOp;
using program::Instruction;
using program::Opcode;
using program::Program;

namespace {

// So many operations without a round are followed by one that offers, for an eighth of a meeting
// each.
constexpr int64_t kMaxQuiet = 8;

// Waits for all members to arrive in the round before.
Program arriving_program() {
  Program program;
  program.name = "offer";
  program.lanes = {{Instruction{Opcode::kAwaitAll}}};
  program.uses_window = true;
  return program;
}

// Every member's bytes to every member, through the window.
Program offering_program(int64_t members, int64_t bytes) {
  Program program;
  program.name = "offer";
  program.uses_window = true;
  const auto constant = [&](int64_t value) {
    program.exprs.push_back({ExprOp::kConst, value});
    return static_cast<int64_t>(program.exprs.size()) - 1;
  };
  constexpr auto kIn = static_cast<int64_t>(Buffer::kInput);
  constexpr auto kOut = static_cast<int64_t>(Buffer::kOutput);
  const int64_t start = constant(0), length = constant(bytes);
  std::vector<Instruction> code = {
      {Opcode::kRound}, {Opcode::kPut, {start, kIn, start, length}}, {Opcode::kCommit}};
  for (int64_t member = 0; member < members; ++member) {
    const int64_t place = constant(member * bytes);
    code.push_back({Opcode::kPull, {constant(member), start, kOut, place, length}});
  }
  program.lanes = {std::move(code)};
  return program;
}

}  // namespace

// --- One round

OfferRound::OfferRound(std::shared_ptr<Regions> regions, std::vector<std::shared_ptr<Peer>> members,
                       const program::Environment& fixed)
    : regions_(std::move(regions)),
      members_(std::move(members)),
      program_(offering_program(static_cast<int64_t>(members_.size()), sizeof(Offer))),
      all_(members_.size()) {
  for (const auto& peer : members_) {
    if (peer) uids_.push_back(peer->card().uid);
  }
  buffers_.reserve(members_.size());
  held_.reserve(2 * members_.size());
  call_.program = &program_;
  call_.environment = fixed;
  call_.buffer[static_cast<int>(Buffer::kInput)] = reinterpret_cast<std::byte*>(&own_);
  call_.capacity[static_cast<int>(Buffer::kInput)] = sizeof(Offer);
  call_.buffer[static_cast<int>(Buffer::kOutput)] = reinterpret_cast<std::byte*>(all_.data());
  call_.capacity[static_cast<int>(Buffer::kOutput)] =
      static_cast<int64_t>(all_.size() * sizeof(Offer));
}

void OfferRound::begin(const Operation& operation, bool outputs) {
  own_ = {};
  const auto place = [&](Buffer buffer) {
    const size_t bytes = operation.bytes(buffer);
    if (bytes == 0) return true;
    Regions::Place& here = own_.place[static_cast<size_t>(buffer)];
    here = regions_->find(operation.data(buffer), bytes, uids_);
    return here.region != 0;
  };
  offered_ = place(Buffer::kInput) && (!outputs || place(Buffer::kOutput));
  if (!offered_) own_.place[0].region = Offer::kVeto;
  call_.signature = operation.signature();
}

// A region that a peer has offered is mapped here, or the peer would not know that it may offer it;
// unless the peer has ended since.
void OfferRound::end(const Operation& operation) {
  if (std::any_of(all_.begin(), all_.end(), [](const Offer& each) { return each.vetoes(); })) {
    offered_ = false;
    return;
  }
  for (size_t member = 0; member < members_.size(); ++member) {
    exec::RegisteredBuffers& of = buffers_.emplace_back();
    for (const Buffer buffer : {Buffer::kInput, Buffer::kOutput}) {
      const auto which = static_cast<size_t>(buffer);
      if (!members_[member]) {
        of.data[which] = operation.data(buffer);
        of.bytes[which] = operation.bytes(buffer);
        continue;
      }
      const auto [region, offset] = all_[member].place[which];
      auto memory = regions_->of_peer(members_[member]->card().uid, region);
      of.gone |= region != 0 && !memory;
      if (!memory || offset > memory->size()) continue;
      of.data[which] = memory->data() + offset;
      of.bytes[which] = memory->size() - offset;
      held_.push_back(std::move(memory));
    }
  }
}

void OfferRound::release(bool well) {
  if (offered_ && !well) {
    for (const Regions::Place& place : own_.place) regions_->distrust(place);
  }
  offered_ = false;
  buffers_.clear();
  held_.clear();
}

// --- When to have one

Offers::Offers(std::shared_ptr<Regions> regions, exec::Window& window,
               std::vector<std::shared_ptr<Peer>> members, const program::Environment& fixed,
               const program::PlanTable& plan)
    : regions_(std::move(regions)),
      window_(window),
      plan_(plan),
      arriving_(arriving_program()),
      round_(regions_, std::move(members), fixed),
      quiet_(kMaxQuiet) {
  arriving_call_.program = &arriving_;
  arriving_call_.environment = fixed;
  say();
}

void Offers::say() {
  const uint64_t changes = regions_->changes();
  if (changes == seen_changes_) return;
  seen_changes_ = changes;
  window_.say_registers(regions_->any_mapped(round_.peers()));
}

void Offers::note_program(const Program& program) { quiet_ = program.uses_window ? 0 : quiet_ + 1; }

const Program* Offers::alternative(const Operation& operation) const {
  const Program& chosen =
      program_of(plan_, program::choose(plan_, program::Rows::kRegistered, operation.collective(),
                                        operation.choice_bytes()));
  return (chosen.needs & program::kNeedRegistered) != 0 ? &chosen : nullptr;
}

bool Offers::begin(const Operation& operation) {
  const Program* const shared = alternative(operation);
  if (shared == nullptr) return false;
  operation_ = &operation;
  outputs_ = shared->writes_to_others;
  if (quiet_ >= kMaxQuiet) return offer();
  if (!window_.registers_own()) return false;
  if (window_.all_arrived()) return window_.all_register() && offer();
  stage_ = Stage::kArriving;
  return true;
}

bool Offers::next() {
  if (std::exchange(stage_, Stage::kDecided) == Stage::kArriving)
    return window_.all_register() && offer();
  round_.end(*operation_);
  return false;
}

bool Offers::offer() {
  round_.begin(*operation_, outputs_);
  quiet_ = 0;
  stage_ = Stage::kOffering;
  return true;
}

void Offers::release(bool well) {
  stage_ = Stage::kDecided;
  round_.release(well);
}

}  // namespace distos_coll
