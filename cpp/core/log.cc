#include "core/log.h"

#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace distos_coll {
namespace {

std::atomic<int> g_level{static_cast<int>(LogLevel::kWarn)};
std::atomic<int> g_rank{-1};

const char* word_of(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "ERROR";
    case LogLevel::kWarn:
      return "WARN";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kDebug:
      return "DEBUG";
  }
  return "?";
}

}  // namespace

void set_log_level(int level) {
  g_level.store(
      std::clamp(level, static_cast<int>(LogLevel::kError), static_cast<int>(LogLevel::kDebug)),
      std::memory_order_relaxed);
}

void set_log_rank(int rank) { g_rank.store(rank, std::memory_order_relaxed); }

bool log_enabled(LogLevel level) {
  return static_cast<int>(level) <= g_level.load(std::memory_order_relaxed);
}

void log(LogLevel level, const char* format, ...) {
  if (!log_enabled(level)) return;
  char host[65] = "?";
  gethostname(host, sizeof host - 1);
  const int rank = g_rank.load(std::memory_order_relaxed);
  char line[2048];
  // Room for the newline stays free.
  const size_t limit = sizeof line - 1;
  const int head =
      rank >= 0 ? std::snprintf(line, limit, "[distos_coll %d/%s] %s ", rank, host, word_of(level))
                : std::snprintf(line, limit, "[distos_coll pid %d/%s] %s ",
                                static_cast<int>(getpid()), host, word_of(level));
  size_t used = std::min(static_cast<size_t>(std::max(head, 0)), limit - 1);
  va_list args;
  va_start(args, format);
  const int body = std::vsnprintf(line + used, limit - used, format, args);
  va_end(args);
  used = std::min(used + static_cast<size_t>(std::max(body, 0)), limit - 1);
  line[used++] = '\n';
  // Nobody can be told that stderr is gone.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, used);
}

bool LogLimit::allow(int64_t now_ns, int64_t* suppressed) {
  const int64_t second = now_ns / 1'000'000'000;
  int64_t seen = second_.load(std::memory_order_relaxed);
  if (seen != second && second_.compare_exchange_strong(seen, second, std::memory_order_relaxed)) {
    used_.store(0, std::memory_order_relaxed);
  }
  if (used_.fetch_add(1, std::memory_order_relaxed) >= burst_) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  *suppressed = dropped_.exchange(0, std::memory_order_relaxed);
  return true;
}

}  // namespace distos_coll
