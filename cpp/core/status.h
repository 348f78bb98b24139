// Two ways to fail, one for each plane. The data path returns a Code, which is a number and costs
// nothing; setup and wait() throw an Error, which carries the sentence a person reads. A Code
// becomes an Error in one place: when the operation that failed is completed (comm/work.h).
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace distos_coll {

enum class [[nodiscard]] Code : int32_t {
  kOk = 0,
  kAgain,        // back-pressure or not yet: call again after progress; not an error
  kTimeout,      // the operation's deadline passed
  kPeerDied,     // a member's process ended without saying goodbye
  kPeerLeft,     // a member closed the group while others still needed it
  kAborted,      // abort() was called here or on another rank
  kInvalid,      // the caller's arguments are wrong
  kMismatch,     // ranks called different operations, or with different sizes
  kUnsupported,  // valid, but not offered; the message says what to use instead
  kSystem,       // the operating system refused something
  kInternal,     // a bug in this library
};

const char* name_of(Code code);

class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& what) : std::runtime_error(what), code_(code) {}
  Code code() const { return code_; }

 private:
  Code code_;
};

// "open /x: No such file or directory"
[[noreturn]] void throw_errno(const std::string& what, int error_number);

// printf into a std::string; g++ 12 has no <format>.
std::string strf(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace distos_coll
