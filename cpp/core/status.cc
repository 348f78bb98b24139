#include "core/status.h"

#include <cstdarg>
#include <cstdio>
#include <system_error>

namespace distos_coll {

const char* name_of(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kAgain:
      return "again";
    case Code::kTimeout:
      return "timeout";
    case Code::kPeerDied:
      return "peer_died";
    case Code::kPeerLeft:
      return "peer_left";
    case Code::kAborted:
      return "aborted";
    case Code::kInvalid:
      return "invalid";
    case Code::kMismatch:
      return "mismatch";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kSystem:
      return "system";
    case Code::kInternal:
      return "internal";
  }
  return "unknown";
}

void throw_errno(const std::string& what, int error_number) {
  throw Error(Code::kSystem, what + ": " + std::generic_category().message(error_number));
}

std::string strf(const char* format, ...) {
  va_list args;
  va_start(args, format);
  va_list copy;
  va_copy(copy, args);
  const int length = std::vsnprintf(nullptr, 0, format, args);
  va_end(args);
  std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
  if (length > 0) std::vsnprintf(text.data(), text.size() + 1, format, copy);
  va_end(copy);
  return text;
}

}  // namespace distos_coll
