#include "core/shared_writer.h"

#include <algorithm>
#include <cstring>

#include "core/clock.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace distos_coll {
namespace {

constexpr size_t kLine = 64;
// Below, there is too little to time, and lines are few.
constexpr size_t kTimedBytes = 8 << 10;
// Taking lines from a core that shares no cache is a third of this fast, and other copies three
// times, from main memory too.
constexpr int64_t kFarMegabytesPerSecond = 5'000;
// A preempted thread is slow once, seldom three times on end.
constexpr int kSlowOnEnd = 3;
// While they are streamed, one copy in so many tries the ordinary way, with kTimedBytes.
constexpr uint32_t kCopiesPerTry = 64;

#if defined(__x86_64__)
constexpr bool kCanStream = true;

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
#else
constexpr bool kCanStream = false;
void stream_lines(std::byte* dst, const std::byte* src, size_t bytes) {
  std::memcpy(dst, src, bytes);
}
#endif

}  // namespace

void SharedWriter::copy(void* dst, const void* src, size_t bytes) {
  auto* to = static_cast<std::byte*>(dst);
  const auto* from = static_cast<const std::byte*>(src);
  if (!kCanStream || bytes < kTimedBytes) {
    std::memcpy(to, from, bytes);
  } else if (!streams_) {
    copy_and_time(to, from, bytes);
  } else if (++copies_ % kCopiesPerTry == 0) {
    copy_and_time(to, from, kTimedBytes);
    stream(to + kTimedBytes, from + kTimedBytes, bytes - kTimedBytes);
  } else {
    stream(to, from, bytes);
  }
}

void SharedWriter::copy_and_time(std::byte* dst, const std::byte* src, size_t bytes) {
  const int64_t start = now_ns();
  std::memcpy(dst, src, bytes);
  judge(bytes, now_ns() - start);
}

void SharedWriter::judge(size_t bytes, int64_t ns) {
  const bool slow = static_cast<int64_t>(bytes) * 1000 < kFarMegabytesPerSecond * ns;
  slow_ = slow ? slow_ + 1 : 0;
  streams_ = slow && (streams_ || slow_ >= kSlowOnEnd);
}

void SharedWriter::stream(std::byte* dst, const std::byte* src, size_t bytes) {
  const size_t misaligned = reinterpret_cast<uintptr_t>(dst) % kLine;
  const size_t head = std::min(misaligned == 0 ? 0 : kLine - misaligned, bytes);
  const size_t lines = (bytes - head) / kLine * kLine;
  std::memcpy(dst, src, head);
  std::memcpy(dst + head + lines, src + head + lines, bytes - head - lines);
  stream_lines(dst + head, src + head, lines);
}

}  // namespace distos_coll
