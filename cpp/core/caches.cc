#include "core/caches.h"

#include <fstream>

namespace distos_coll {
namespace {

// "32768K", "1M", "512"; 0 for anything else.
size_t bytes_of(const std::string& text) {
  size_t end = 0, number = 0;
  for (; end < text.size() && end < 12 && text[end] >= '0' && text[end] <= '9'; ++end)
    number = 10 * number + static_cast<size_t>(text[end] - '0');
  const std::string unit = text.substr(end);
  if (end == 0 || unit.size() > 1) return 0;
  if (unit == "K") return number << 10;
  if (unit == "M") return number << 20;
  return unit.empty() ? number : 0;
}

template <typename T>
T first_word(const std::string& file) {
  T word{};
  std::ifstream(file) >> word;
  return word;
}

}  // namespace

size_t last_cache_bytes_in(const std::string& folder) {
  int deepest = 0;
  size_t bytes = 0;
  for (int i = 0; i < 16; ++i) {
    const std::string cache = folder + "/index" + std::to_string(i);
    const int level = first_word<int>(cache + "/level");
    if (level <= deepest) continue;
    deepest = level;
    bytes = bytes_of(first_word<std::string>(cache + "/size"));
  }
  return bytes;
}

size_t last_cache_bytes() {
  static const size_t bytes = last_cache_bytes_in("/sys/devices/system/cpu/cpu0/cache");
  return bytes;
}

}  // namespace distos_coll
