#include "core/streaming_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace distos_coll {
namespace {

#if defined(__x86_64__)
constexpr size_t kLine = 64;

// Whole lines, from a line's start on.
void stream_lines(std::byte* dst, const std::byte* src, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kLine) {
    const auto* from = reinterpret_cast<const __m128i*>(src + at);
    auto* to = reinterpret_cast<__m128i*>(dst + at);
    const __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1),
                  c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
    _mm_stream_si128(to, a);
    _mm_stream_si128(to + 1, b);
    _mm_stream_si128(to + 2, c);
    _mm_stream_si128(to + 3, d);
  }
  // They are not ordered by a release store.
  _mm_sfence();
}
#endif

}  // namespace

void streaming_copy(void* dst, const void* src, size_t bytes) {
#if defined(__x86_64__)
  auto* to = static_cast<std::byte*>(dst);
  const auto* from = static_cast<const std::byte*>(src);
  const size_t misaligned = reinterpret_cast<uintptr_t>(to) % kLine;
  const size_t head = std::min(misaligned == 0 ? 0 : kLine - misaligned, bytes);
  const size_t lines = (bytes - head) / kLine * kLine;
  std::memcpy(to, from, head);
  std::memcpy(to + head + lines, from + head + lines, bytes - head - lines);
  stream_lines(to + head, from + head, lines);
#else
  std::memcpy(dst, src, bytes);
#endif
}

}  // namespace distos_coll
