#include "verify/window.h"

#include <algorithm>
#include <string>

namespace distos_coll::verify {

using std::to_string;

Window::Window(const std::vector<int64_t>& ranks) : members(ranks.size()) {
  for (size_t i = 0; i < ranks.size(); ++i) {
    members[i].number = static_cast<int32_t>(i);
    members[i].rank = static_cast<int32_t>(ranks[i]);
    members[i].observed.assign(ranks.size(), 0);
  }
}

bool Window::may_open(Member& me) {
  if (me.open) throw Fault("opens a round before the last one was committed");
  return std::all_of(members.begin(), members.end(), [&me](const Member& each) {
    return has_reached(me, each, me.arrived + 2 - kDepth);
  });
}

bool Window::has_arrived(Member& me, const Member& other) {
  return has_reached(me, other, me.arrived);
}

bool Window::has_reached(Member& me, const Member& other, int64_t rounds) {
  if (other.arrived < rounds) return false;
  int64_t& observed = me.observed[static_cast<size_t>(other.number)];
  observed = std::max(observed, rounds);
  return true;
}

void Window::open(Member& me, int64_t slot) {
  free_slots(me);
  slot_ = slot;
  me.open = true;
  Round& round = me.at(me.arrived);
  round.slot.clear();
  round.exposed.reset();
}

// A member reads the round that it committed last, so nobody reads what all have gone beyond.
void Window::free_slots(Member& me) const {
  int64_t least = me.arrived;
  for (const Member& each : members) least = std::min(least, each.arrived);
  for (; me.freed < least - 1; ++me.freed) Elements().swap(me.at(me.freed).slot);
}

void Window::check_slot(int64_t off, int64_t n) const {
  if (off >= 0 && n <= slot_ - off) return;
  const auto end = static_cast<int64_t>(static_cast<uint64_t>(off) + static_cast<uint64_t>(n));
  throw Fault("elements " + to_string(off) + " to " + to_string(end) + " are outside the slot of " +
              to_string(slot_));
}

void Window::put(Member& me, int64_t off, const Elements& elements) {
  require_open(me);
  check_slot(off, static_cast<int64_t>(elements.size()));
  Elements& slot = me.at(me.arrived).slot;
  const auto start = static_cast<size_t>(off);
  if (slot.size() < start + elements.size()) slot.resize(start + elements.size());
  std::copy(elements.begin(), elements.end(), slot.begin() + off);
}

void Window::expose(Member& me, const View& view) {
  require_open(me);
  me.at(me.arrived).exposed = view;
  view.backing->exposed = true;
}

void Window::offer(Member& me, const View& input, const View& output) {
  require_open(me);
  me.offered_input = input;
  me.offered_output = output;
  input.backing->exposed = true;
  output.backing->exposed = true;
}

void Window::commit(Member& me, const Knowledge& knowledge) {
  require_open(me);
  me.at(me.arrived).knowledge = knowledge;
  me.open = false;
  ++me.arrived;
  me.observed[static_cast<size_t>(me.number)] = me.arrived;
}

void Window::require_round(const Member& me) const {
  if (me.open || me.arrived == 0) throw Fault("needs a committed round");
}

Member& Window::member(int64_t index) {
  if (index < 0 || index >= static_cast<int64_t>(members.size()))
    throw Fault("member " + to_string(index) + " is not in the domain, which has " +
                to_string(members.size()));
  return members[static_cast<size_t>(index)];
}

Elements Window::pull(const Member& me, Member& other, int64_t off, int64_t n) const {
  check_slot(off, n);
  const Elements& slot = other.at(me.arrived - 1).slot;
  if (static_cast<int64_t>(slot.size()) >= off + n) return take(slot, off, n);
  Elements whole = slot;
  whole.resize(static_cast<size_t>(off + n));
  return take(whole, off, n);
}

const View& Window::exposed_by(const Member& me, Member& other) const {
  const auto& view = other.at(me.arrived - 1).exposed;
  if (!view) throw Fault("rank " + to_string(other.rank) + " exposed nothing in this round");
  return *view;
}

void Window::require_open(const Member& me) {
  if (!me.open) throw Fault("needs an open round");
}

}  // namespace distos_coll::verify
