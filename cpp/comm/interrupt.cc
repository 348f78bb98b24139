#include "comm/interrupt.h"

#include <atomic>

namespace distos_coll {
namespace {

constexpr int64_t kFirstLookNs = 200'000'000;
constexpr int64_t kNextLookNs = 100'000'000;

std::atomic<bool (*)()> g_check{nullptr};

}  // namespace

void set_interrupt_check(bool (*check)()) { g_check.store(check, std::memory_order_release); }

bool InterruptWatch::interrupted(int64_t now) {
  if (next_ns_ == 0) next_ns_ = now + kFirstLookNs;
  if (now < next_ns_) return false;
  next_ns_ = now + kNextLookNs;
  const auto check = g_check.load(std::memory_order_acquire);
  return check != nullptr && check();
}

}  // namespace distos_coll
