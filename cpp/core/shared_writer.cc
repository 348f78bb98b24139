#include "core/shared_writer.h"

#include <cstring>

#include "core/clock.h"
#include "core/streaming_copy.h"

namespace distos_coll {
namespace {

// Below, there is too little to time, and lines are few.
constexpr size_t kTimedBytes = 8 << 10;
// Taking lines from a core that shares no cache is a third of this fast, and other copies three
// times, from main memory too.
constexpr int64_t kFarMegabytesPerSecond = 5'000;
// A preempted thread is slow once, seldom three times on end.
constexpr int kSlowOnEnd = 3;
// While they are streamed, one copy in so many tries the ordinary way, with kTimedBytes.
constexpr uint32_t kCopiesPerTry = 64;

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
    streaming_copy(to + kTimedBytes, from + kTimedBytes, bytes - kTimedBytes);
  } else {
    streaming_copy(to, from, bytes);
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

}  // namespace distos_coll
