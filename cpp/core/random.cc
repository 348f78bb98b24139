#include "core/random.h"

#include <sys/random.h>

#include <cerrno>

#include "core/status.h"

namespace distos_coll {

void fill_random(void* out, size_t bytes) {
  auto* at = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = getrandom(at, bytes, 0);
    if (got < 0 && errno != EINTR) throw_errno("getrandom", errno);
    if (got > 0) at += got, bytes -= static_cast<size_t>(got);
  }
}

uint64_t random_u64() {
  uint64_t value = 0;
  while (value == 0) fill_random(&value, sizeof value);
  return value;
}

}  // namespace distos_coll
