// The flight recorder's files: when a group breaks, or on a signal, one file of what this process
// called last on all its groups. Written by a thread of its own, so that a slow disk holds up
// nobody; the thread exists only where settings name a file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/runtime.h"

namespace distos_coll {

class Communicator;

// One per engine.
class Flight {
 public:
  explicit Flight(const Runtime& runtime);
  ~Flight();
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  // A group is in the dumps between these. The process has the first group's job rank. delist()
  // waits for a dump that was asked for, as settle() does.
  void enlist(const Communicator* group);
  void delist(const Communicator* group);

  // Asks for a dump, and says why. Returns at once; the caller may hold locks.
  void ask(const std::string& reason);
  // Waits until what was asked for is written; not for ever, because a disk may hang.
  void settle();
  // Writes one now, in the caller's thread; returns its path. Without a prefix, the settings'.
  // Throws Error. Nothing if there is no group.
  std::optional<std::string> write(const std::optional<std::string>& prefix);

  // Writes what was asked for and ends the thread. Idempotent.
  void stop();

 private:
  void start();

  // What the thread works on: it owns a part of it, because a disk may outlast this object.
  struct State;

  const std::shared_ptr<State> state_;
  std::thread thread_;
};

// Every engine's file of this process.
std::vector<std::string> write_flight_records(const std::optional<std::string>& prefix);

}  // namespace distos_coll
