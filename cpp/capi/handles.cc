#include "capi/handles.h"

namespace distos_coll::capi {

thread_local std::string last_error;

int failed(Code code, const std::string& why) {
  last_error = why;
  return -static_cast<int>(code);
}

std::shared_ptr<Communicator> pinned(const dc_comm* comm) {
  auto communicator = comm->communicator.load();
  if (!communicator) throw Error(Code::kInvalid, "the group was closed");
  return communicator;
}

}  // namespace distos_coll::capi
