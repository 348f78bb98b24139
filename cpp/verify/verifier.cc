#include "verify/verifier.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "core/status.h"
#include "program/decode.h"
#include "verify/lane.h"

namespace distos_coll::verify {
namespace {

using program::Buffer;
using program::Param;
using std::to_string;

constexpr size_t kSome = 4;                // lanes that a deadlock names
constexpr int64_t kMostScratch = 1 << 26;  // elements of a rank: half a GiB

struct Group {
  const std::vector<int64_t>& domain_of;
  const std::vector<std::vector<int64_t>>& members;
  const std::vector<std::vector<int64_t>>& arrays;
};

class Machine : public World {
 public:
  Machine(const program::Program& program, const std::string& label, Algebra& contributions,
          const Group& group, const Call& call, const Schedule& schedule,
          const std::function<void()>& interrupted)
      : label_(label), group_(group), call_(call), schedule_(schedule), asked_(interrupted) {
    algebra = &contributions;
    code = &program;
    for (size_t op = 0; op < std::size(expressions); ++op) {
      for (int k = 0; k < program::kMaxOperands; ++k)
        expressions[op] |= program::operand_is_expression(static_cast<program::Opcode>(op), k) << k;
    }
    for (const auto& ranks : group.members) windows_.emplace_back(ranks);
  }

  Channel& channel(int64_t source, int64_t to, int64_t lane) override {
    const auto n = static_cast<uint64_t>(size());
    const uint64_t key =
        (static_cast<uint64_t>(source) * n + static_cast<uint64_t>(to)) * program::kMaxLanes +
        static_cast<uint64_t>(lane);
    Channel*& found = by_key_[key];
    if (found == nullptr) found = &channels_.emplace_back(source, to, lane, schedule_.credit);
    return *found;
  }
  int64_t size() const override { return static_cast<int64_t>(group_.domain_of.size()); }

  void run() {
    for (int32_t rank = 0; rank < size(); ++rank) start(rank);
    while (n_running_ > 0) {
      const int64_t before = progress;
      const std::vector<Lane*> live = living();
      for (Lane* lane : live) lane->resume();
      end_those_that_finished();
      if (progress == before) throw deadlock(live);
    }
    check_left_over();
    for (size_t rank = 0; rank < operations_.size(); ++rank) check_output(rank);
  }

 private:
  struct Running {
    std::vector<Lane> lanes;
    bool ended = false;
  };

  void interrupted() override { asked_(); }
  void start(int32_t rank);
  View memory(int32_t rank, int64_t n);
  void bind(Operation& operation, const RankCall& own);
  std::vector<Lane*> living();
  void end_those_that_finished();
  void end(Operation& operation) const;
  Fault deadlock(std::vector<Lane*> live) const;
  void check_left_over() const;
  void check_output(size_t rank) const;
  std::string who(int64_t rank) const { return "program " + label_ + ", rank " + to_string(rank); }

  const std::string& label_;
  const Group& group_;
  const Call& call_;
  const Schedule& schedule_;
  const std::function<void()>& asked_;
  std::deque<Window> windows_;
  std::deque<Backing> backings_;
  std::deque<Operation> operations_;
  std::vector<Running> running_;
  int64_t n_running_ = 0;
  std::deque<Channel> channels_;
  std::unordered_map<uint64_t, Channel*> by_key_;
};

void Machine::start(int32_t rank) {
  const auto index = static_cast<size_t>(rank);
  const auto domain = static_cast<size_t>(group_.domain_of[index]);
  const RankCall& own = call_.ranks[index];
  Operation& operation = operations_.emplace_back();
  operation.rank = rank;
  operation.events.assign(static_cast<size_t>(code->n_events), 0);
  if (code->collective == Collective::kBarrier) {
    operation.knowledge.assign(static_cast<size_t>(size() + 63) / 64, 0);
    operation.knowledge[index / 64] |= uint64_t{1} << (index % 64);
  }
  const auto least =
      std::min_element(group_.members.begin(), group_.members.end(),
                       [](const auto& a, const auto& b) { return a.size() < b.size(); });
  const int64_t local = group_.arrays[static_cast<size_t>(program::Array::kLocalIndex)][index];
  std::copy(std::begin(call_.params), std::end(call_.params),
            std::begin(operation.environment.params));
  const std::pair<Param, int64_t> params[] = {
      {Param::kRank, rank},
      {Param::kSize, size()},
      {Param::kDomains, static_cast<int64_t>(group_.members.size())},
      {Param::kDomain, static_cast<int64_t>(domain)},
      {Param::kLocalRank, local},
      {Param::kLocalSize, static_cast<int64_t>(group_.members[domain].size())},
      {Param::kMinLocalSize, static_cast<int64_t>(least->size())}};
  for (const auto& [param, value] : params)
    operation.environment.params[static_cast<size_t>(param)] = value;
  for (size_t i = 0; i < group_.arrays.size(); ++i)
    operation.environment.arrays[i] = group_.arrays[i];
  for (size_t i = 0; i < own.arrays.size(); ++i)
    operation.environment.arrays[program::kFirstCallArray + i] = own.arrays[i];
  operation.values.start(*code, operation.environment);
  operation.window = &windows_[domain];
  operation.member = &windows_[domain].members[static_cast<size_t>(local)];
  bind(operation, own);
  running_.emplace_back().lanes.reserve(code->lanes.size());
  for (size_t lane = 0; lane < code->lanes.size(); ++lane)
    running_.back().lanes.emplace_back(*this, operation, static_cast<int32_t>(lane));
  ++n_running_;
}

View Machine::memory(int32_t rank, int64_t n) {
  Backing& backing = backings_.emplace_back();
  backing.owner = rank;
  backing.data.resize(static_cast<size_t>(n));
  return {&backing, 0, n};
}

// Input filled with its own symbols, output unwritten; one backing where they share memory.
void Machine::bind(Operation& operation, const RankCall& own) {
  View input, output;
  if (own.in_base < 0) {
    input = memory(operation.rank, own.n_in);
    output = memory(operation.rank, own.n_out);
  } else {
    const View whole =
        memory(operation.rank, std::max(own.in_base + own.n_in, own.out_base + own.n_out));
    input = {whole.backing, own.in_base, own.n_in};
    output = {whole.backing, own.out_base, own.n_out};
  }
  for (int64_t i = 0; i < own.n_in; ++i) {
    Element& element = input.backing->data[static_cast<size_t>(input.base + i)];
    element.index = static_cast<int32_t>(i);
    element.set = algebra->sets.single(operation.rank);
  }
  int64_t elements = 0;
  if (code->scratch >= 0) {
    for (const auto& varying : code->dependents) {
      if (std::find(varying.begin(), varying.end(), code->scratch) != varying.end())
        throw Fault("scratch depends on a loop variable");
    }
    if (operation.values.bad(code->scratch)) throw Fault(operation.values.why(code->scratch));
    elements = std::max<int64_t>(operation.values[code->scratch], 0);
    if (elements > kMostScratch)
      throw Fault("scratch has " + to_string(elements) + " elements; verification holds " +
                  to_string(kMostScratch));
  }
  const View scratch = memory(operation.rank, elements);
  if (code->collective == Collective::kBarrier) {
    // What a barrier sends means nothing, but may be sent.
    Element nothing;
    nothing.index = 0;
    std::fill(scratch.backing->data.begin(), scratch.backing->data.end(), nothing);
  }
  operation.views[static_cast<size_t>(Buffer::kInput)] = input;
  operation.views[static_cast<size_t>(Buffer::kOutput)] = output;
  operation.views[static_cast<size_t>(Buffer::kScratch)] = scratch;
}

std::vector<Lane*> Machine::living() {
  std::vector<Lane*> live;
  for (Running& each : running_) {
    for (Lane& lane : each.lanes) {
      if (!lane.finished()) live.push_back(&lane);
    }
  }
  if (schedule_.descending) std::reverse(live.begin(), live.end());
  return live;
}

void Machine::end_those_that_finished() {
  for (size_t rank = 0; rank < running_.size(); ++rank) {
    Running& each = running_[rank];
    const bool done = std::all_of(each.lanes.begin(), each.lanes.end(),
                                  [](const Lane& lane) { return lane.finished(); });
    if (each.ended || !done) continue;
    each.ended = true;
    --n_running_;
    ++progress;
    end(operations_[rank]);
  }
}

void Machine::end(Operation& operation) const {
  if (operation.member->open)
    throw Fault(who(operation.rank) + " ends with an open round; commit it");
  if (code->collective == Collective::kBarrier) {
    std::string missing;
    for (size_t rank = 0; rank < group_.domain_of.size(); ++rank) {
      if ((operation.knowledge[rank / 64] >> (rank % 64) & 1) == 0)
        missing += (missing.empty() ? "" : ", ") + to_string(rank);
    }
    if (!missing.empty())
      throw Fault(who(operation.rank) + " leaves the barrier without having heard of [" + missing +
                  "]");
  }
  for (const View& view : operation.views)
    check_returned(view, *operation.member, who(operation.rank));
}

Fault Machine::deadlock(std::vector<Lane*> live) const {
  std::vector<Fault::Part> parts{std::string("deadlock, nobody can go on. Waiting: ")};
  for (size_t i = 0; i < std::min(live.size(), kSome); ++i) {
    if (i > 0) parts.emplace_back(std::string("; "));
    parts.emplace_back(live[i]->place());
  }
  if (live.size() > kSome)
    parts.emplace_back("; and " + to_string(live.size() - kSome) + " more lanes");
  return Fault(std::move(parts));
}

void Machine::check_left_over() const {
  for (const Channel& each : channels_) each.check_left_over();
  for (const Window& window : windows_) {
    std::string rounds;
    bool even = true;
    for (const Member& member : window.members) {
      rounds +=
          (rounds.empty() ? "" : ", ") + to_string(member.rank) + ": " + to_string(member.arrived);
      even = even && member.arrived == window.members.front().arrived;
    }
    if (!even) throw Fault("members of a domain ran different numbers of rounds: {" + rounds + "}");
  }
}

void Machine::check_output(size_t rank) const {
  const View& output = operations_[rank].views[static_cast<size_t>(Buffer::kOutput)];
  for (const Expected& run : call_.ranks[rank].expected) {
    Element wanted;
    wanted.set = run.rank < 0 ? algebra->sets.all() : algebra->sets.single(run.rank);
    // Only what is reduced is declared complete.
    wanted.done = run.rank < 0;
    for (int64_t i = 0; i < run.count; ++i) {
      wanted.index = static_cast<int32_t>(run.index + i);
      const Element& found = output.backing->data[static_cast<size_t>(output.base + run.at + i)];
      if (found == wanted) continue;
      throw Fault("program " + label_ + " leaves " + algebra->text(found) + " in element " +
                  to_string(run.at + i) + " of rank " + to_string(rank) + "'s output, instead of " +
                  algebra->text(wanted));
    }
  }
}

void require(bool right, const char* what) {
  if (!right) throw Error(Code::kInvalid, std::string("a call to verify is malformed: ") + what);
}

// Memory is reached through these, so they must be right whoever made them.
void check_call(const Call& call, size_t size) {
  require(call.ranks.size() == size, "it is of another number of ranks");
  for (const RankCall& own : call.ranks) {
    require(own.n_in >= 0 && own.n_in < INT32_MAX && own.n_out >= 0 && own.n_out < INT32_MAX,
            "a buffer is too long");
    require((own.in_base < 0) == (own.out_base < 0) && own.in_base < INT32_MAX &&
                own.out_base < INT32_MAX,
            "input and output do not lie in one memory");
    require(own.arrays.size() <= program::kArrayCount - program::kFirstCallArray,
            "it has too many arrays");
    for (const Expected& run : own.expected) {
      require(run.at >= 0 && run.count >= 0 && run.at <= own.n_out &&
                  run.count <= own.n_out - run.at && run.index >= 0 &&
                  run.index < INT32_MAX - run.count && run.rank < static_cast<int64_t>(size),
              "it expects what no output holds");
    }
  }
}

}  // namespace

Verifier::Verifier(program::Program code, std::string label, std::vector<int64_t> domain_of,
                   std::vector<std::vector<int64_t>> arrays, bool in_rank_order,
                   std::function<void()> interrupted)
    : code_(std::move(code)),
      label_(std::move(label)),
      domain_of_(std::move(domain_of)),
      arrays_(std::move(arrays)),
      interrupted_(std::move(interrupted)),
      algebra_(static_cast<int64_t>(domain_of_.size()), in_rank_order) {
  require(!domain_of_.empty(), "it has no ranks");
  require(arrays_.size() == program::kFirstCallArray, "arrays of the plan are missing");
  const auto& local = arrays_[static_cast<size_t>(program::Array::kLocalIndex)];
  require(local.size() == domain_of_.size(), "it is of another number of ranks");
  for (size_t rank = 0; rank < domain_of_.size(); ++rank) {
    const int64_t domain = domain_of_[rank];
    const auto known = static_cast<int64_t>(members_.size());
    require(domain >= 0 && domain <= known, "domains are not numbered by their smallest rank");
    if (domain == known) members_.emplace_back();
    auto& ranks = members_[static_cast<size_t>(domain)];
    require(local[rank] == static_cast<int64_t>(ranks.size()), "members are not in order");
    ranks.push_back(static_cast<int64_t>(rank));
  }
}

std::optional<Fault> Verifier::run(const Call& call, const Schedule& schedule) {
  check_call(call, domain_of_.size());
  const Group group{domain_of_, members_, arrays_};
  Machine machine(code_, label_, algebra_, group, call, schedule, interrupted_);
  std::optional<Fault> found;
  try {
    machine.run();
  } catch (Fault& fault) {
    found = std::move(fault);
  }
  steps_ += machine.progress;
  return found;
}

}  // namespace distos_coll::verify
