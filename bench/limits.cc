// What no library can beat on this machine: the same collectives by threads of one address space,
// without processes, messages or copies that the result does not need.
//
//   limits RANKS SOCKET
//
// bench/peers starts it and tells it over the Unix socket what to run, a line at a time:
//   run COLLECTIVE ELEMENTS DTYPE CALLS fresh    times CALLS calls; each thread writes its buffer
//                                                before each of them, untimed
//   flag ROUNDS                                  two cores, a cache line there and back
//   end
// Reductions are two-phase: each thread reduces its share of all buffers and writes it into every
// one that shall have it. The others are memcpy of what each rank receives. A call ends with a
// barrier of flags, the least that tells the threads that the result is there.
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/types.h"
#include "reduce/reduce.h"

namespace distos_coll {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kPage = 4096;
// Stays in the first cache between being reduced and being written to the other buffers.
constexpr size_t kBlock = 8 << 10;
constexpr int kSpins = 20'000;

double seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct alignas(2 * kLine) Flag {
  std::atomic<uint64_t> value{0};
};

void wait_for(const Flag& flag, uint64_t value) {
  for (int spins = 0; flag.value.load(std::memory_order_acquire) < value; ++spins) {
    // More threads than cores, or somebody else's load.
    if (spins >= kSpins) sched_yield();
  }
}

// One flag for each thread, which alone writes it.
class Barrier {
 public:
  explicit Barrier(int threads) : flags_(static_cast<size_t>(threads)) {}
  void wait(int self) {
    Flag& own = flags_[static_cast<size_t>(self)];
    const uint64_t round = own.value.load(std::memory_order_relaxed) + 1;
    own.value.store(round, std::memory_order_release);
    for (const Flag& flag : flags_) wait_for(flag, round);
  }

 private:
  std::vector<Flag> flags_;
};

// Give a thread a core of its own where there are enough: two that spin on one core measure how
// long they spin.
void pin(size_t which, size_t threads) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  if (threads > static_cast<size_t>(CPU_COUNT(&allowed))) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || which-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};
using Buffer = std::unique_ptr<char, Free>;

Buffer allocate(size_t bytes) {
  auto* memory = static_cast<char*>(std::aligned_alloc(kPage, (bytes + kPage) / kPage * kPage));
  if (memory == nullptr) throw std::runtime_error("no memory for " + std::to_string(bytes) + " B");
  return Buffer(memory);
}

struct Case {
  std::string collective;
  size_t elements = 0;
  DType dtype = DType::kFloat32;
  int calls = 0;
};

// One collective on buffers of its own, by so many threads.
class Team {
 public:
  Team(int ranks, const Case& what)
      : ranks_(static_cast<size_t>(ranks)),
        what_(what),
        width_(dtype_bytes(what.dtype)),
        part_(what.elements / ranks_ * width_),
        in_(ranks_),
        out_(ranks_),
        barrier_(ranks),
        took_(ranks_) {}

  // The slowest thread's seconds for all calls.
  double run() {
    std::vector<std::thread> threads;
    threads.reserve(ranks_);
    for (size_t rank = 0; rank < ranks_; ++rank) threads.emplace_back([this, rank] { work(rank); });
    for (std::thread& thread : threads) thread.join();
    if (wrong_.load()) throw std::runtime_error("wrong results of " + what_.collective);
    return *std::max_element(took_.begin(), took_.end());
  }

 private:
  bool is(const char* name) const { return what_.collective == name; }
  bool in_place() const { return is("all_reduce") || is("reduce") || is("broadcast"); }
  size_t whole() const { return what_.elements * width_; }
  size_t in_bytes() const { return is("all_gather") ? part_ : whole(); }
  size_t out_bytes() const { return is("reduce_scatter") ? part_ : whole(); }

  void work(size_t rank) {
    pin(rank, ranks_);
    // By its owner, so that it lies where the owner runs.
    in_[rank] = allocate(in_bytes());
    if (!in_place()) {
      out_[rank] = allocate(out_bytes());
      std::memset(out_[rank].get(), 0, out_bytes());
    }
    time(rank, std::min(50, 1 + what_.calls / 10));
    check(rank);
    took_[rank] = time(rank, what_.calls);
  }

  double time(size_t rank, int calls) {
    double total = 0;
    for (int i = 0; i < calls; ++i) {
      fill(in_[rank].get(), in_bytes(), static_cast<float>(rank + 1));
      wait(rank);
      const double start = seconds();
      call(rank);
      wait(rank);
      total += seconds() - start;
    }
    return total;
  }

  void wait(size_t rank) { barrier_.wait(static_cast<int>(rank)); }

  void call(size_t rank) {
    if (is("barrier")) return;
    if (is("broadcast")) {
      if (rank > 0) std::memcpy(in_[rank].get(), in_[0].get(), whole());
    } else if (is("all_gather") || is("all_to_all")) {
      const size_t from = is("all_gather") ? 0 : rank * part_;
      for (size_t step = 0; step < ranks_; ++step) {
        const size_t source = (rank + step) % ranks_;
        std::memcpy(out_[rank].get() + source * part_, in_[source].get() + from, part_);
      }
    } else {
      reduce(rank);
    }
  }

  void reduce(size_t rank) {
    const auto function = reduce::kernels().reduce[static_cast<int>(what_.dtype)][kSumIndex];
    const size_t begin = what_.elements * rank / ranks_ * width_;
    const size_t end = what_.elements * (rank + 1) / ranks_ * width_;
    std::vector<const void*> sources(ranks_);
    for (size_t at = begin; at < end; at += kBlock) {
      const size_t bytes = std::min(kBlock, end - at);
      for (size_t source = 0; source < ranks_; ++source) sources[source] = in_[source].get() + at;
      char* target = is("all_reduce")       ? in_[rank].get() + at
                     : is("reduce_scatter") ? out_[rank].get() + (at - begin)
                                            : in_[0].get() + at;
      function(target, sources.data(), ranks_, bytes / width_, 1);
      if (!is("all_reduce")) continue;
      for (size_t step = 1; step < ranks_; ++step) {
        std::memcpy(in_[(rank + step) % ranks_].get() + at, target, bytes);
      }
    }
  }

  // The bits of a number that every type holds exactly.
  void encode(float value, char* bits) const {
    const auto narrow = reduce::kernels().narrow[static_cast<int>(what_.dtype)];
    if (narrow != nullptr) {
      narrow(bits, &value, 1);
    } else {
      std::memcpy(bits, &value, sizeof value);
    }
  }

  void fill(char* memory, size_t bytes, float value) const {
    if (bytes == 0) return;
    encode(value, memory);
    // Doubling: memcpy's speed for any width.
    for (size_t done = width_; done < bytes; done *= 2) {
      std::memcpy(memory + done, memory, std::min(done, bytes - done));
    }
  }

  void expect(const char* memory, size_t bytes, float value) {
    char bits[sizeof(float)];
    encode(value, bits);
    for (size_t at = 0; at < bytes; at += width_) {
      if (std::memcmp(memory + at, bits, width_) != 0) wrong_.store(true);
    }
  }

  void check(size_t rank) {
    const auto sum = static_cast<float>(ranks_ * (ranks_ + 1)) / 2;
    if (is("all_reduce") || (is("reduce") && rank == 0)) expect(in_[rank].get(), whole(), sum);
    if (is("reduce_scatter")) expect(out_[rank].get(), part_, sum);
    if (is("broadcast")) expect(in_[rank].get(), whole(), 1);
    if (is("all_gather") || is("all_to_all")) {
      for (size_t source = 0; source < ranks_; ++source) {
        expect(out_[rank].get() + source * part_, part_, static_cast<float>(source + 1));
      }
    }
  }

  static constexpr int kSumIndex = static_cast<int>(ReduceOp::kSum);

  const size_t ranks_;
  const Case what_;
  const size_t width_;
  const size_t part_;  // bytes
  std::vector<Buffer> in_, out_;
  Barrier barrier_;
  std::vector<double> took_;
  std::atomic<bool> wrong_{false};
};

// Seconds for so many rounds of a flag between two cores; a round is there and back.
double ping_pong(uint64_t rounds) {
  Flag there, back;
  std::thread other([&] {
    pin(1, 2);
    for (uint64_t i = 1; i <= rounds; ++i) {
      wait_for(there, i);
      back.value.store(i, std::memory_order_release);
    }
  });
  double took = 0;
  std::thread one([&] {
    pin(0, 2);
    const double start = seconds();
    for (uint64_t i = 1; i <= rounds; ++i) {
      there.value.store(i, std::memory_order_release);
      wait_for(back, i);
    }
    took = seconds() - start;
  });
  one.join();
  other.join();
  return took;
}

DType dtype_called(const std::string& name) {
  for (int i = 0; i < kDTypeCount; ++i) {
    if (name == name_of(static_cast<DType>(i))) return static_cast<DType>(i);
  }
  throw std::runtime_error("no type is called " + name);
}

double serve(int ranks, const std::string& line) {
  std::istringstream words(line);
  std::string what;
  words >> what;
  if (what == "flag") {
    uint64_t rounds = 0;
    words >> rounds;
    return ping_pong(rounds);
  }
  if (what != "run") throw std::runtime_error("threads of one process have no " + what);
  Case wanted;
  std::string dtype;
  words >> wanted.collective >> wanted.elements >> dtype >> wanted.calls;
  wanted.dtype = dtype_called(dtype);
  return Team(ranks, wanted).run();
}

int connected(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror(path);
    return -1;
  }
  return descriptor;
}

int run(int ranks, const char* path) {
  const int descriptor = connected(path);
  if (descriptor < 0) return 1;
  FILE* lines = fdopen(descriptor, "r");
  dprintf(descriptor, "{\"title\": \"%d threads, %s kernels\"}\n", ranks, reduce::kernels().isa);
  char line[256];
  while (std::fgets(line, sizeof line, lines) != nullptr && std::strcmp(line, "end\n") != 0) {
    try {
      dprintf(descriptor, "{\"seconds\": %.9f}\n", serve(ranks, line));
    } catch (const std::exception& error) {
      dprintf(descriptor, "{\"failed\": \"%s\"}\n", error.what());
    }
  }
  std::fclose(lines);
  return 0;
}

}  // namespace
}  // namespace distos_coll

int main(int argc, char** argv) {
  const int ranks = argc == 3 ? std::atoi(argv[1]) : 0;
  if (ranks < 1) {
    std::fprintf(stderr, "usage: %s RANKS SOCKET; bench/peers starts it\n", argv[0]);
    return 2;
  }
  return distos_coll::run(ranks, argv[2]);
}
