#include "verify/memory.h"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace distos_coll::verify {
namespace {

using std::to_string;

void check_idle(const Backing& backing, int64_t start, int64_t stop, bool writes) {
  for (const Use& use : backing.uses) {
    if (use.start >= stop || start >= use.stop || !(writes || use.writes)) continue;
    const std::string verb = writes ? "writes" : "reads";
    const std::string state = use.writes ? "being received into" : "being sent or reduced";
    throw Fault({verb + " memory that is " + state + " by ", use.place});
  }
}

bool is_over(const Access& access, const Observer& observer) {
  return access.who == observer.number ||
         observer.observed[static_cast<size_t>(access.who)] > access.round;
}

// Of two ranks of which one writes, the later must have seen the other go on. Rounds are compared,
// not moments, so that the order in which ranks run does not matter.
void check_order(Backing& backing, int64_t start, int64_t stop, const Observer& observer,
                 bool writes) {
  if (!backing.exposed) return;
  for (const Access& access : backing.accesses) {
    const bool apart = access.stop <= start || stop <= access.start;
    if (apart || !(writes || access.writes) || is_over(access, observer)) continue;
    throw Fault(std::string(writes ? "writes" : "reads") + " memory of rank " +
                to_string(backing.owner) + " that rank " + to_string(access.rank) +
                (access.writes ? " writes" : " reads") + ", without having waited for it");
  }
  backing.accesses.push_back(
      {start, stop, observer.number, observer.rank, observer.arrived, writes});
}

}  // namespace

int64_t View::span(int64_t off, int64_t n) const {
  if (off < 0 || n > length - off) {
    const auto end = static_cast<int64_t>(static_cast<uint64_t>(off) + static_cast<uint64_t>(n));
    throw Fault("elements " + to_string(off) + " to " + to_string(end) +
                " are outside the buffer, which has " + to_string(length));
  }
  return base + off;
}

Elements take(const Elements& data, int64_t start, int64_t n) {
  const auto first = data.begin() + start;
  const auto bad =
      std::find_if(first, first + n, [](const Element& each) { return each.index < 0; });
  if (bad != first + n)
    throw Fault("reads element " + to_string(bad - data.begin()) + ", which was never written");
  return {first, first + n};
}

Elements load(const Part& part, int64_t n, const Observer& observer) {
  const int64_t start = part.view.span(part.off, n);
  check_idle(*part.view.backing, start, start + n, false);
  check_order(*part.view.backing, start, start + n, observer, false);
  return take(part.view.backing->data, start, n);
}

void store(const Part& part, const Elements& elements, const Observer& observer) {
  const auto n = static_cast<int64_t>(elements.size());
  const int64_t start = part.view.span(part.off, n);
  check_idle(*part.view.backing, start, start + n, true);
  write(*part.view.backing, start, elements, observer);
}

void write(Backing& backing, int64_t start, const Elements& elements, const Observer& observer) {
  check_order(backing, start, start + static_cast<int64_t>(elements.size()), observer, true);
  std::copy(elements.begin(), elements.end(), backing.data.begin() + start);
}

void check_overlap(const Part& dst, const Part& src, int64_t n) {
  if (dst.view.backing != src.view.backing) return;
  const int64_t distance = std::abs(dst.start() - src.start());
  if (distance > 0 && distance < n) throw Fault("source and destination overlap partially");
}

void check_there(const View& view) {
  if (view.backing->returned)
    throw Fault("uses memory of rank " + to_string(view.backing->owner) +
                ", which has returned from the call");
}

void check_returned(const View& view, const Observer& observer, const std::string& who) {
  view.backing->returned = true;
  for (const Access& access : view.backing->accesses) {
    if (is_over(access, observer)) continue;
    throw Fault(who + " returns while rank " + to_string(access.rank) +
                " may still use its exposed memory; end with a round and await_all");
  }
}

uint64_t occupy(const Part& part, int64_t n, bool writes, const Place& place) {
  const int64_t start = part.view.span(part.off, n);
  Backing& backing = *part.view.backing;
  check_idle(backing, start, start + n, writes);
  const uint64_t id = backing.uses.empty() ? 1 : backing.uses.back().id + 1;
  backing.uses.push_back({start, start + n, writes, id, place});
  return id;
}

void release(Backing& backing, uint64_t use) {
  const auto found = std::find_if(backing.uses.begin(), backing.uses.end(),
                                  [use](const Use& each) { return each.id == use; });
  backing.uses.erase(found);
}

Elements Algebra::reduce(const std::vector<Elements>& inputs) {
  if (in_rank_order_) require_rank_order(inputs);
  Elements result = inputs.front();
  for (size_t i = 1; i < inputs.size(); ++i) {
    for (size_t k = 0; k < result.size(); ++k) add(result[k], inputs[i][k]);
  }
  return result;
}

void Algebra::add(Element& sum, const Element& other) {
  const auto element = [&sum] { return "element " + to_string(sum.index); };
  if (sum.index != other.index)
    throw Fault("reduces " + element() + " with element " + to_string(other.index));
  const auto both = sets.unite(sum.set, other.set);
  if (!both)
    throw Fault(element() + ": rank(s) " + sets.text_of_both(sum.set, other.set) +
                " would count twice");
  if (sum.done || other.done) throw Fault(element() + " is reduced after it was finalized");
  sum.set = *both;
}

void Algebra::require_rank_order(const std::vector<Elements>& inputs) const {
  for (size_t k = 0; k < inputs.front().size(); ++k) {
    bool right = static_cast<int64_t>(inputs.size()) == size_;
    for (size_t i = 0; right && i < inputs.size(); ++i)
      right = inputs[i][k].set == sets.single(static_cast<int64_t>(i));
    if (right) continue;
    std::string parts;
    for (const Elements& each : inputs)
      parts += (parts.empty() ? "" : ", ") + sets.text(each[k].set);
    throw Fault("reduces element " + to_string(inputs.front()[k].index) + " of ranks " + parts +
                ", which is not one contribution of each rank in the order of ranks");
  }
}

Elements Algebra::finalize(Elements elements) const {
  for (Element& each : elements) {
    if (each.done) throw Fault("element " + to_string(each.index) + " is finalized twice");
    if (each.set != sets.all())
      throw Fault("element " + to_string(each.index) + " is finalized without rank(s) " +
                  sets.text_of_missing(each.set));
    each.done = 1;
  }
  return elements;
}

std::string Algebra::text(const Element& element) const {
  if (element.index < 0) return "nothing";
  return "element " + to_string(element.index) + " of rank(s) " + sets.text(element.set) +
         (element.done ? ", finalized" : "");
}

}  // namespace distos_coll::verify
