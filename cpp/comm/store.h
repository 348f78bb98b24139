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
  // Says that this rank reads no key with this prefix any more. Once all `ranks` have said so, a
  // store that can forgets the keys, so that groups which come and go leave nothing behind.
  virtual void release(const std::string& prefix, int ranks) = 0;
  // get() throws when a rank that it waits for has ended; else that is for the caller to find out.
  virtual bool notices_ends() const { return false; }
};

// The keys of a store in one process, and who still reads them. Not thread-safe.
class StoreTable {
 public:
  // Null: there is no such key.
  const std::string* find(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
  }
  void set(const std::string& key, std::string value) {
    const auto [place, inserted] = values_.try_emplace(key);
    bytes_ += (inserted ? key.size() : 0) + value.size() - place->second.size();
    place->second = std::move(value);
  }
  void release(const std::string& prefix, int64_t ranks) {
    if (++releases_[prefix] < ranks) return;
    releases_.erase(prefix);
    const auto first = values_.lower_bound(prefix);
    auto last = first;
    for (; last != values_.end() && last->first.starts_with(prefix); ++last)
      bytes_ -= last->first.size() + last->second.size();
    values_.erase(first, last);
  }
  size_t size() const { return values_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  std::map<std::string, std::string> values_;
  std::map<std::string, int64_t> releases_;
  size_t bytes_ = 0;
};

class MemoryStore final : public Store {
 public:
  void set(const std::string& key, const std::string& value) override {
    const std::lock_guard lock(mutex_);
    table_.set(key, value);
    changed_.notify_all();
  }

  std::optional<std::string> get(const std::string& key, int64_t timeout_ms) override {
    std::unique_lock lock(mutex_);
    const bool there = changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                                         [&] { return table_.find(key) != nullptr; });
    if (!there) return std::nullopt;
    return *table_.find(key);
  }

  void release(const std::string& prefix, int ranks) override {
    const std::lock_guard lock(mutex_);
    table_.release(prefix, ranks);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  StoreTable table_;
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
  void release(const std::string& prefix, int ranks) override {
    store_->release(prefix_ + prefix, ranks);
  }
  bool notices_ends() const override { return store_->notices_ends(); }

 private:
  const std::shared_ptr<Store> store_;
  const std::string prefix_;
};

}  // namespace distos_coll
