// Where ranks meet before they have links: torch's store, or a table in memory for ranks that are
// threads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace distos_coll {

class Store {
 public:
  virtual ~Store() = default;
  // Throws Error if the store is gone.
  virtual void set(const std::string& key, const std::string& value) = 0;
  // Waits for the key; nothing if it did not appear in time. Throws Error if the store is gone.
  virtual std::optional<std::string> get(const std::string& key, int64_t timeout_ms) = 0;
};

class MemoryStore final : public Store {
 public:
  void set(const std::string& key, const std::string& value) override {
    const std::lock_guard lock(mutex_);
    values_[key] = value;
    changed_.notify_all();
  }

  std::optional<std::string> get(const std::string& key, int64_t timeout_ms) override {
    std::unique_lock lock(mutex_);
    const bool there = changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                                         [&] { return values_.contains(key); });
    if (!there) return std::nullopt;
    return values_[key];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::string> values_;
};

// Keys of a store under a name of their own.
class PrefixStore final : public Store {
 public:
  PrefixStore(std::shared_ptr<Store> store, std::string prefix)
      : store_(std::move(store)), prefix_(std::move(prefix)) {}

  void set(const std::string& key, const std::string& value) override {
    store_->set(prefix_ + key, value);
  }
  std::optional<std::string> get(const std::string& key, int64_t timeout_ms) override {
    return store_->get(prefix_ + key, timeout_ms);
  }

 private:
  const std::shared_ptr<Store> store_;
  const std::string prefix_;
};

}  // namespace distos_coll
