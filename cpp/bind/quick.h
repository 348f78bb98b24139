// Collectives on plain numpy arrays without a Python frame, a temporary object or an allocation in
// between: what a small message can afford. Everything else takes distos_coll/calls.py.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>

#include "comm/communicator.h"

namespace distos_coll {

class QuickCalls {
 public:
  // `owner` keeps the communicator; `fail(code, sentence)` raises.
  QuickCalls(pybind11::object owner, Communicator& communicator, pybind11::object fail, bool wide)
      : owner_(std::move(owner)),
        communicator_(communicator),
        fail_(std::move(fail)),
        wide_(wide) {}

  // For the time of a group() block, whose calls must not wait.
  void pause(bool paused) { paused_.fetch_add(paused ? 1 : -1, std::memory_order_relaxed); }

  // A Python function (collective, op, root, x, out), or with send_counts and receive_counts
  // behind, that runs the call to its end and returns True, or returns False without having done
  // anything: then the call needs the long way, be it only for a good error.
  static pybind11::object function(const pybind11::object& self);

  bool paused() const { return paused_.load(std::memory_order_relaxed) > 0; }
  Communicator& communicator() const { return communicator_; }
  bool wide() const { return wide_; }
  // Leaves Python's error set.
  void fail(Code code, const std::string& error) const;

 private:
  pybind11::object owner_;
  Communicator& communicator_;
  pybind11::object fail_;
  bool wide_;
  std::atomic<int> paused_{0};
};

void bind_quick(pybind11::module_& m);

}  // namespace distos_coll
