// Verification of programs in the core. What it finds is tested in Python, against the reference
// (tests/unit/test_verify_engines.py); here, that nothing which passes the decoder breaks it.
#include "verify/verifier.h"

#include <cstring>
#include <random>

#include "exec/window.h"
#include "program/decode.h"
#include "tests/local_group.h"
#include "verify/window.h"

namespace distos_coll::testing {
namespace {

using program::Program;
using verify::Call;
using verify::Verifier;

// Programs run in windows as deep as those in which they are verified.
static_assert(verify::kDepth == exec::kLines);

constexpr int64_t kRanks = 4;
constexpr int64_t kCount = 11;

program::PlanTable ring_plan() {
  const std::string plan = read_plan(kRanks, 0, "ring");
  return program::decode_plan(plan.data(), plan.size(), kRanks);
}

Call all_reduce(int64_t ranks = kRanks) {
  Call call;
  call.params[static_cast<size_t>(program::Param::kCount)] = kCount;
  call.params[static_cast<size_t>(program::Param::kSegment)] = 2;
  call.params[static_cast<size_t>(program::Param::kSlot)] = 2 * ranks;
  call.params[static_cast<size_t>(program::Param::kElementBytes)] = 1;
  verify::RankCall own;
  own.n_in = own.n_out = kCount;
  own.expected = {{0, kCount, 0, -1}};
  call.ranks.assign(static_cast<size_t>(ranks), own);
  return call;
}

std::string text_of(const verify::Fault& fault) {
  std::string text;
  for (const auto& part : fault.parts) {
    if (const auto* own = std::get_if<std::string>(&part)) {
      text += *own;
    } else {
      const auto& place = std::get<verify::Place>(part);
      text += strf("<%d %d %d>", place.rank, place.lane, place.at);
    }
  }
  return text;
}

const Program& all_reduce_of(const program::PlanTable& plan) {
  return *std::find_if(plan.programs.begin(), plan.programs.end(), [](const Program& each) {
    return each.collective == Collective::kAllReduce && each.uses_streams;
  });
}

Verifier verifier(
    const program::PlanTable& plan, const Program& program,
    std::function<void()> interrupted = [] {}) {
  return {program,     "'it'", std::vector<int64_t>(kRanks, 0),
          plan.arrays, false,  std::move(interrupted)};
}

TEST(Verify, TheRingIsRightAndItsStepsAreCounted) {
  const auto plan = ring_plan();
  Verifier found = verifier(plan, all_reduce_of(plan));
  for (const bool descending : {false, true}) {
    const auto fault = found.run(all_reduce(), {descending ? 1 << 30 : 0, descending});
    EXPECT_FALSE(fault) << text_of(*fault);
  }
  EXPECT_GT(found.steps(), 2 * kRanks * 2 * (kRanks - 1));
  // Runs of neighbours, and nothing.
  EXPECT_EQ(found.sets(), 1 + kRanks * (kRanks - 1) + 1);
}

TEST(Verify, AMissingTransferIsADeadlock) {
  const auto plan = ring_plan();
  Program wrong = all_reduce_of(plan);
  for (auto& each : wrong.lanes[0]) {
    if (each.op != program::Opcode::kRecvReduce) continue;
    // A copy of what would be received onto itself, which does nothing.
    each.op = program::Opcode::kCopy;
    const int64_t args[] = {each.arg[1], each.arg[2], each.arg[1], each.arg[2], each.arg[5], 0, 0};
    std::copy(std::begin(args), std::end(args), std::begin(each.arg));
  }
  const auto fault = verifier(plan, wrong).run(all_reduce(), {});
  ASSERT_TRUE(fault);
  EXPECT_NE(text_of(*fault).find("deadlock, nobody can go on. Waiting: <0 0 "), std::string::npos)
      << text_of(*fault);
}

TEST(Verify, CallsThatDoNotFitAreRefused) {
  const auto plan = ring_plan();
  Verifier found = verifier(plan, all_reduce_of(plan));
  Call longer = all_reduce();
  longer.ranks[1].expected = {{kCount - 1, 2, 0, -1}};
  EXPECT_THROW((void)found.run(longer, {}), Error);
  EXPECT_THROW((void)found.run(all_reduce(kRanks + 1), {}), Error);
  Call apart = all_reduce();
  apart.ranks[0].in_base = 0;
  EXPECT_THROW((void)found.run(apart, {}), Error);
}

struct TooLong {};

// A changed operand or expression gives a program that is refused or right, and never more.
TEST(Verify, DamagedProgramsBreakNothing) {
  const auto plan = ring_plan();
  std::mt19937_64 random(20261201);
  const int64_t interesting[] = {0, 1, -1, 2, 63, 64, 5, INT64_MAX, INT64_MIN, 1 << 20};
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    Program damaged = plan.programs[random() % plan.programs.size()];
    for (auto& each : damaged.exprs) {
      if (each.op == program::ExprOp::kConst && random() % 8 == 0)
        each.a = interesting[random() % 10];
      const bool binary = each.op >= program::ExprOp::kAdd && each.op <= program::ExprOp::kLt;
      if (binary && random() % 16 == 0)
        each.op = static_cast<program::ExprOp>(static_cast<int64_t>(program::ExprOp::kAdd) +
                                               static_cast<int64_t>(random() % 12));
    }
    int64_t asked = 0;
    Verifier found = verifier(plan, damaged, [&asked] {
      if (++asked > 1) throw TooLong{};
    });
    try {
      refused += found.run(all_reduce(), {round % 2 ? 1 << 30 : 0, round % 2 != 0}).has_value();
    } catch (const TooLong&) {
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace distos_coll::testing
