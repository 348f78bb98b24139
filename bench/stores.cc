// What it costs to write memory that another core has read, and to read it there: the figures of
// docs/results/stores.md, which cpp/core/shared_writer.h and cpp/exec/window.h go by.
//
//   build/dev/stores        (cmake --build build/dev --target stores; best under chrt -f 10)
//
// Two threads, each on a core of its own. In a round both write a slot, meet, and add the other's
// slot to a buffer of their own. Slots are used in turn: two of them, or as many as fit in 2 MiB.
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/shared_writer.h"
#include "reduce/reduce.h"

namespace distos_coll {
namespace {

constexpr size_t kArea = 2 << 20;
constexpr int kRounds = 200;
constexpr uint64_t kFlagRounds = 50'000;

struct alignas(128) Flag {
  std::atomic<uint64_t> value{0};
  void wait_for(uint64_t wanted) const {
    while (value.load(std::memory_order_acquire) < wanted) {
    }
  }
};
Flag g_flags[2];

struct Times {
  std::vector<double> write, read;
};

double median(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void on_both(const std::function<void(int)>& body) {
  const auto pinned = [&](int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores) != 0)
      std::fprintf(stderr, "not pinned to core %d: the figures may be of one core\n", core);
    body(core);
  };
  for (Flag& flag : g_flags) flag.value = 0;
  std::thread other(pinned, 1);
  std::thread(pinned, 0).join();
  other.join();
}

double flag_ns() {
  double ns = 0;
  on_both([&](int me) {
    const int64_t start = now_ns();
    for (uint64_t round = 1; round <= kFlagRounds; ++round) {
      if (me == 1) g_flags[0].wait_for(round);
      g_flags[me].value.store(round, std::memory_order_release);
      if (me == 0) g_flags[1].wait_for(round);
    }
    if (me == 0) ns = static_cast<double>(now_ns() - start) / (2.0 * kFlagRounds);
  });
  return ns;
}

Times measure(std::byte* const areas[2], size_t bytes, size_t slots, bool streams) {
  Times times;
  on_both([&](int me) {
    std::vector<std::byte> own(bytes);
    for (uint64_t round = 1; round <= kRounds; ++round) {
      const size_t at = round % slots * bytes;
      const int64_t start = now_ns();
      if (streams) {
        // A new one each time: it has had no chance to try the other way.
        SharedWriter(true).copy(areas[me] + at, own.data(), bytes);
      } else {
        std::memcpy(areas[me] + at, own.data(), bytes);
      }
      const int64_t written = now_ns();
      g_flags[me].value.store(round, std::memory_order_release);
      g_flags[1 - me].wait_for(round);
      const int64_t met = now_ns();
      const void* sources[] = {own.data(), areas[1 - me] + at};
      reduce::kernels().reduce[static_cast<int>(DType::kFloat32)][static_cast<int>(ReduceOp::kSum)](
          own.data(), sources, 2, bytes / sizeof(float), 1);
      if (me == 1) continue;
      times.write.push_back(static_cast<double>(written - start));
      times.read.push_back(static_cast<double>(now_ns() - met));
    }
  });
  return times;
}

}  // namespace
}  // namespace distos_coll

int main() {
  using namespace distos_coll;
  std::vector<std::byte> memory[2] = {std::vector<std::byte>(kArea), std::vector<std::byte>(kArea)};
  std::byte* const areas[2] = {memory[0].data(), memory[1].data()};
  std::printf("flag, one way: %.0f ns\n", flag_ns());
  std::printf("%8s %6s %-16s %10s %8s %12s\n", "bytes", "slots", "stores", "write us", "GB/s",
              "read+add us");
  for (const size_t bytes : {8 << 10, 64 << 10, 256 << 10, 512 << 10}) {
    for (const size_t slots : {size_t{2}, kArea / bytes}) {
      for (const bool streams : {false, true}) {
        Times times = measure(areas, bytes, slots, streams);
        const double write = median(times.write);
        std::printf("%8zu %6zu %-16s %10.2f %8.1f %12.2f\n", bytes, slots,
                    streams ? "past the caches" : "ordinary", write / 1e3,
                    static_cast<double>(bytes) / write, median(times.read) / 1e3);
      }
    }
  }
  return 0;
}
