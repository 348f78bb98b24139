// Lines on stderr for the operator: what was decided, once, where it was decided. Errors travel as
// Code and Error; a log line never replaces one.
#pragma once

#include <atomic>
#include <cstdint>

namespace distos_coll {

enum class LogLevel : int { kError = 0, kWarn, kInfo, kDebug };

// Lines above this level are dropped; kWarn until somebody says otherwise. Out-of-range values are
// clamped.
void set_log_level(int level);
// The rank in "[distos_coll 3/hostname] WARN ..."; negative prints the process id instead.
void set_log_rank(int rank);
bool log_enabled(LogLevel level);

// One write(2) per line, so that lines of several processes do not mix.
void log(LogLevel level, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Lets at most `burst` lines through per second, for what an outsider can provoke. Thread-safe.
class LogLimit {
 public:
  explicit LogLimit(int64_t burst) : burst_(burst) {}
  // True if a line may be written now. `*suppressed` gets the number of lines dropped since the
  // last one.
  bool allow(int64_t now_ns, int64_t* suppressed);

 private:
  const int64_t burst_;
  std::atomic<int64_t> second_{-1};
  std::atomic<int64_t> used_{0};
  std::atomic<int64_t> dropped_{0};
};

}  // namespace distos_coll
