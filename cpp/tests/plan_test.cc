// Decoding of plans: every byte may be wrong, nothing may be undefined.
#include <cstring>
#include <random>

#include "program/evaluate.h"
#include "program/ir.h"
#include "tests/local_group.h"

namespace distos_coll::testing {
namespace {

using program::decode_plan;

std::string refusal(const std::string& plan, int64_t size = 4) {
  try {
    decode_plan(plan.data(), plan.size(), size);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalid);
    return error.what();
  }
  return "";
}

TEST(Plan, AGoodOneIsRead) {
  const std::string plan = read_plan(4, 0, "ring");
  const auto table = decode_plan(plan.data(), plan.size(), 4);
  EXPECT_GT(table.programs.size(), 10u);
  EXPECT_EQ(table.choices.back().max_bytes, INT64_MAX);
}

TEST(Plan, EveryPrefixIsRefused) {
  const std::string plan = read_plan(4, 0, "ring");
  for (size_t bytes = 0; bytes < plan.size(); bytes += 8)
    EXPECT_NE(refusal(plan.substr(0, bytes)), "") << bytes;
  EXPECT_NE(refusal(plan + std::string(8, '\0')), "");
  EXPECT_NE(refusal(plan.substr(0, plan.size() - 3)), "");
}

TEST(Plan, RefusalsSayWhereAndWhat) {
  std::string plan = read_plan(4, 0, "ring");
  plan[3] = 'x';
  EXPECT_NE(refusal(plan).find("word 1: it does not begin with the plan's magic number"),
            std::string::npos)
      << refusal(plan);
}

// A changed word either is refused or gives a plan that still keeps every bound; running it is then
// safe, too.
TEST(Plan, DamagedWordsNeverBreakABound) {
  const std::string plan = read_plan(4, 0, "");
  std::mt19937_64 random(20261124);
  const int64_t interesting[] = {0, 1, -1, 2, 63, 64, 4096, INT64_MAX, INT64_MIN, 1 << 20};
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = plan;
    const int64_t value =
        random() % 2 ? interesting[random() % 10] : static_cast<int64_t>(random());
    std::memcpy(damaged.data() + 8 * (random() % (plan.size() / 8)), &value, 8);
    try {
      const auto table = decode_plan(damaged.data(), damaged.size(), 4);
      for (const auto& candidate : table.programs) {
        program::Environment environment;
        program::Values values;
        values.start(candidate, environment);
        for (int64_t v = 0; v < candidate.n_vars; ++v)
          values.set_var(v, static_cast<int64_t>(random()));
      }
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), Code::kInvalid);
    }
  }
}

}  // namespace
}  // namespace distos_coll::testing
