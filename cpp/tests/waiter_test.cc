// How a thread waits: whatever it does meanwhile, it looks at the clock around every sleep.
#include "comm/waiter.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace distos_coll {
namespace {

// Nothing ever comes; counts what a waiter asks for.
class Quiet final : public Runtime {
 public:
  explicit Quiet(bool shares_cpu) : shares_cpu_(shares_cpu) {
    settings_.spin_us = 0;
    settings_.yield_us = 0;
  }

  int64_t sleeps = 0;

  const Settings& settings() const override { return settings_; }
  const PeerCard& card() const override { return card_; }
  std::vector<std::shared_ptr<Peer>> connect(const std::vector<PeerCard>&, int64_t,
                                             const WhileWaiting&) override {
    return {};
  }
  void register_comm(uint64_t, CommEvents*) override {}
  void unregister_comm(uint64_t) override {}
  const std::shared_ptr<Regions>& regions() const override { return regions_; }
  int poll_links() override { return 0; }
  bool shares_cpu() override { return shares_cpu_; }
  void count_peers_here(CpuUse*) override {}
  void ring_self() override {}
  void sleep(int64_t, const std::function<bool()>& ready) override {
    ++sleeps;
    EXPECT_FALSE(ready());
  }
  void shutdown() override {}
  std::string describe() const override { return ""; }

 private:
  const bool shares_cpu_;
  Settings settings_;
  PeerCard card_;
  std::shared_ptr<Regions> regions_;
};

class Waiting : public testing::TestWithParam<bool> {};

// Deadlines, Ctrl-C and losses are seen there.
TEST_P(Waiting, LooksBetweenAnyTwoSleeps) {
  Quiet runtime(GetParam());
  Waiter waiter(runtime);
  const auto nothing = [] { return false; };
  int64_t looks = 0, sleeps_at_look = 0;
  for (int pass = 0; pass < 2000; ++pass) {
    if (waiter.time_to_look()) {
      ++looks;
      EXPECT_LE(runtime.sleeps - sleeps_at_look, 1) << pass;
      sleeps_at_look = runtime.sleeps;
    }
    waiter.idle(0, nothing);
  }
  EXPECT_GT(runtime.sleeps, 50);
  EXPECT_GE(looks, runtime.sleeps - 1);
}

INSTANTIATE_TEST_SUITE_P(Cpu, Waiting, testing::Bool());

}  // namespace
}  // namespace distos_coll
