// Speed of the reduction kernels beside memcpy, per instruction set, type, number of sources and
// size. GB/s counts every byte that is read or written once, memcpy's as well, so the columns
// compare.
//
//   reduce_bench [--dtype NAME] [--op NAME] [--in-place] [--ms MILLISECONDS_PER_CELL]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "core/types.h"
#include "reduce/reduce.h"

namespace distos_coll {
namespace {

struct Options {
  const char* dtype = nullptr;
  const char* op = "sum";
  bool in_place = false;
  double cell_ms = 30;
};

constexpr size_t kSizes[] = {64, 4 << 10, 64 << 10, 1 << 20, 16 << 20};
constexpr size_t kSources[] = {2, 3, 4, 8};

double seconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// The best of several bursts: what the machine can do, with the least of its other work.
template <class Function>
double best_seconds(double cell_ms, const Function& function) {
  function();
  double best = 1e9;
  size_t repeat = 1;
  const double end = seconds() + cell_ms / 1e3;
  while (seconds() < end) {
    const double start = seconds();
    for (size_t i = 0; i < repeat; ++i) function();
    const double took = seconds() - start;
    best = std::min(best, took / static_cast<double>(repeat));
    if (took < 1e-4) repeat *= 2;
  }
  return best;
}

class Buffers {
 public:
  Buffers(size_t n, size_t bytes) {
    for (size_t i = 0; i < n; ++i) {
      void* memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
      if (memory == nullptr) {
        std::fprintf(stderr, "reduce_bench: no memory for %zu bytes; free some\n", bytes);
        std::exit(1);
      }
      std::memset(memory, 1, bytes);  // small, positive, normal numbers in every type
      buffers_.emplace_back(static_cast<char*>(memory), &std::free);
    }
  }
  char* operator[](size_t i) const { return buffers_[i].get(); }

 private:
  std::vector<std::unique_ptr<char, decltype(&std::free)>> buffers_;
};

void row(const reduce::Kernels& kernels, DType dtype, ReduceOp op, size_t n_srcs,
         const Options& options) {
  const auto function = kernels.reduce[static_cast<int>(dtype)][static_cast<int>(op)];
  if (function == nullptr) return;
  std::printf("%-8s %-11s %-8s %4zu ", kernels.isa, name_of(dtype), name_of(op), n_srcs);
  for (const size_t bytes : kSizes) {
    const Buffers buffers(n_srcs + 1, bytes);
    std::vector<const void*> srcs;
    srcs.reserve(n_srcs);
    for (size_t s = 0; s < n_srcs; ++s) srcs.push_back(buffers[s]);
    char* dst = options.in_place ? buffers[0] : buffers[n_srcs];
    const int64_t divisor = op == ReduceOp::kAverage ? static_cast<int64_t>(n_srcs) : 1;
    const size_t count = bytes / dtype_bytes(dtype);
    const double took =
        best_seconds(options.cell_ms, [&] { function(dst, srcs.data(), n_srcs, count, divisor); });
    std::printf(" %9.1f", static_cast<double>(bytes * (n_srcs + 1)) / took / 1e9);
  }
  std::printf("\n");
  std::fflush(stdout);
}

void memcpy_row(const Options& options) {
  std::printf("%-8s %-11s %-8s %4d ", "memcpy", "-", "copy", 1);
  for (const size_t bytes : kSizes) {
    const Buffers buffers(2, bytes);
    const double took = best_seconds(options.cell_ms, [&] {
      std::memcpy(buffers[1], buffers[0], bytes);
      asm volatile("" ::: "memory");  // the copies are not dead stores
    });
    std::printf(" %9.1f", static_cast<double>(bytes * 2) / took / 1e9);
  }
  std::printf("\n");
}

bool parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--in-place") {
      options->in_place = true;
    } else if (i + 1 < argc && name == "--dtype") {
      options->dtype = argv[++i];
    } else if (i + 1 < argc && name == "--op") {
      options->op = argv[++i];
    } else if (i + 1 < argc && name == "--ms") {
      options->cell_ms = std::max(1.0, std::atof(argv[++i]));
    } else {
      return false;
    }
  }
  return true;
}

int run(const Options& options) {
  std::printf("%-8s %-11s %-8s %4s ", "isa", "dtype", "op", "srcs");
  for (const size_t bytes : kSizes) std::printf(" %7zu B", bytes);
  std::printf("   (GB/s, bytes read and written)\n");
  memcpy_row(options);
  for (int d = 0; d < kDTypeCount; ++d) {
    const auto dtype = static_cast<DType>(d);
    const bool usual =
        dtype == DType::kFloat16 || dtype == DType::kBfloat16 || dtype == DType::kFloat32;
    if (options.dtype != nullptr ? std::string_view(name_of(dtype)) != options.dtype : !usual)
      continue;
    for (int o = 0; o < kReduceOpCount; ++o) {
      const auto op = static_cast<ReduceOp>(o);
      if (std::string_view(name_of(op)) != options.op) continue;
      for (const reduce::Kernels* kernels : reduce::available_kernels()) {
        for (const size_t n_srcs : kSources) row(*kernels, dtype, op, n_srcs, options);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace distos_coll

int main(int argc, char** argv) {
  distos_coll::Options options;
  if (!distos_coll::parse(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: %s [--dtype NAME] [--op NAME] [--in-place] [--ms MILLISECONDS_PER_CELL]\n",
                 argv[0]);
    return 2;
  }
  return distos_coll::run(options);
}
