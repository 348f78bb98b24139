// Ranks as threads for tests of communicators: every rank with its own runtime and engine, one
// store in memory, plans that tools/test_plans.py wrote.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "comm/store.h"

namespace distos_coll::testing {

inline std::string read_plan(int size, int limit, const std::string& algo) {
  const std::string path =
      strf("%s/%d_%d_%s.plan", DISTOS_COLL_TEST_PLANS, size, limit, algo.c_str());
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (text.str().empty()) throw std::runtime_error("no plan at " + path);
  return text.str();
}

// Runs `body(rank)` in one thread per rank and rethrows the first exception.
inline void on_all_ranks(int size, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> errors(static_cast<size_t>(size));
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank);
      } catch (...) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

// One process's worth per rank; groups are made on top.
class LocalWorld {
 public:
  explicit LocalWorld(int size, int domain_limit = 0, bool shm = true, Settings settings = {})
      : size_(size), limit_(domain_limit) {
    settings.slot_bytes = 4096;
    settings.ring_bytes = 64 << 10;
    settings.stream_credit = 4096;
    settings.eager_bytes = 512;
    settings.eager_credit = 4096;
    settings.domain_limit = domain_limit;
    settings.shm = shm;
    for (int rank = 0; rank < size; ++rank)
      engines_.push_back(std::make_shared<Engine>(Runtime::create(settings)));
  }
  ~LocalWorld() {
    for (const auto& engine : engines_) engine->stop();
    for (const auto& engine : engines_) engine->runtime().shutdown();
  }

  using Group = std::vector<std::shared_ptr<Communicator>>;

  Group make_group(const std::string& algo, int64_t timeout_ms = 60'000) {
    MemoryStore store;
    Group group(static_cast<size_t>(size_));
    const std::string plan = read_plan(size_, limit_, algo);
    on_all_ranks(size_, [&](int rank) {
      auto& mine = group[static_cast<size_t>(rank)];
      mine = Communicator::connect(engines_[static_cast<size_t>(rank)], store,
                                   {rank, size_, timeout_ms, "test"});
      mine->install_plan(plan.data(), plan.size());
      mine->ready(store);
    });
    return group;
  }

  int size() const { return size_; }
  Runtime& runtime(int rank) { return engines_[static_cast<size_t>(rank)]->runtime(); }

 private:
  const int size_;
  const int limit_;
  std::vector<std::shared_ptr<Engine>> engines_;
};

inline void close_all(LocalWorld::Group& group) {
  on_all_ranks(static_cast<int>(group.size()),
               [&](int rank) { group[static_cast<size_t>(rank)]->close(); });
}

inline CollectiveCall all_reduce_of(std::vector<float>& data, bool blocking) {
  CollectiveCall call;
  call.collective = Collective::kAllReduce;
  call.dtype = DType::kFloat32;
  call.input = call.output = data.data();
  call.count = static_cast<int64_t>(data.size());
  call.options.blocking = blocking;
  return call;
}

}  // namespace distos_coll::testing
