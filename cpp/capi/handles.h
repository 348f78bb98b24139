// What the files of the C ABI share: the handle of a group, and the one translation of exceptions
// to codes.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "core/status.h"

// Never freed: a call that races with dc_comm_close in another thread finds it empty, not gone. It
// is a few words per group that ever existed.
struct dc_comm {
  std::atomic<std::shared_ptr<distos_coll::Communicator>> communicator;
};

namespace distos_coll::capi {

// dc_last_error()'s.
extern thread_local std::string last_error;

int failed(Code code, const std::string& why);
// Throws Error(kInvalid) once the group was closed.
std::shared_ptr<Communicator> pinned(const dc_comm* comm);

template <typename Function>
int guarded(Function function) {
  try {
    function();
    return static_cast<int>(Code::kOk);
  } catch (const Error& error) {
    return failed(error.code(), error.what());
  } catch (const std::exception& error) {
    return failed(Code::kSystem, error.what());
  }
}

}  // namespace distos_coll::capi
