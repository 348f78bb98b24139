// The store of a job that nobody else gives one: a table of keys in the process of rank 0, reached
// over a Unix socket on one host and over TCP between hosts. Strangers are told apart by the
// handshake of comm/seal.h, keyed by the job.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/store.h"

namespace distos_coll {

class Reactor;

// Where the ranks of a job meet.
struct MeetingPoint {
  std::string unix_name;         // an abstract socket, when all ranks are on one host
  std::vector<std::string> ips;  // else rank 0 listens on the first of these that is its own,
  std::vector<uint16_t> ports;   // at the first of these ports that is free
  std::string job;               // what this run is called; ranks of another run are refused
  std::string key;               // the job key; empty: none

  std::string describe() const;
};

class JobStoreServer {
 public:
  // Throws Error(kSystem) if it can listen nowhere, naming every address tried.
  explicit JobStoreServer(const MeetingPoint& point);
  ~JobStoreServer();

  int64_t dropped() const;
  // How many keys it holds.
  int64_t keys() const;

 private:
  class Table;
  std::shared_ptr<Table> table_;
};

// Thread-safe; one request at a time.
class JobStoreClient final : public Store {
 public:
  // Waits for rank 0 to listen. Throws Error(kTimeout) naming what was tried and why it failed.
  JobStoreClient(const MeetingPoint& point, int64_t deadline_ns);
  ~JobStoreClient() override;

  // Values are limited to 60 KiB.
  void set(const std::string& key, const std::string& value) override;
  std::optional<std::string> get(const std::string& key, int64_t timeout_ms) override;
  void release(const std::string& prefix, int ranks) override;

 private:
  class Connection;
  std::mutex mutex_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace distos_coll
