// A shared-memory ring as a broken peer may leave it: 8 bytes of its tail, 8 bytes of where the
// reader stands (in records), then the memory.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "fuzz/fuzz_target.h"
#include "transport/frame.h"
#include "transport/shm_ring.h"

namespace {

using namespace distos_coll;

class Check : public FrameSink {
 public:
  Check(const std::byte* begin, size_t bytes) : begin_(begin), end_(begin + bytes) {}
  void on_frame(const FrameHeader& header, const std::byte* payload) override {
    if (!valid_frame(header) || payload < begin_ || payload + header.bytes > end_) std::abort();
    ++frames;
  }
  int frames = 0;

 private:
  const std::byte* begin_;
  const std::byte* end_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  static std::vector<std::byte> ring(kMinRingBytes);
  static const auto control = std::make_unique<RingControl>();
  uint64_t numbers[2] = {};
  if (bytes < sizeof numbers) return 0;
  std::memcpy(numbers, data, sizeof numbers);
  std::fill(ring.begin(), ring.end(), std::byte{});
  // Around the end of the buffer as often as at its start.
  const uint64_t start = numbers[1] % (2 * kMinRingBytes) / kFrameAlign * kFrameAlign;
  for (size_t i = sizeof numbers; i < bytes; ++i) {
    ring[(start + i - sizeof numbers) % kMinRingBytes] = static_cast<std::byte>(data[i]);
  }
  control->head.store(0);
  control->tail.store(0);
  control->sender_waiting.store(1);
  RingReader reader(control.get(), ring.data(), kMinRingBytes);
  Check sink(ring.data(), ring.size());
  bool sender_waits = false;
  // Bring the reader to `start` with well-formed records: empty frames, 64 bytes each.
  std::vector<std::byte> saved = ring;
  FrameHeader empty;
  for (size_t at = 0; at < kMinRingBytes; at += kFrameAlign)
    std::memcpy(ring.data() + at, &empty, sizeof empty);
  for (uint64_t tail = 0; tail < start;) {
    tail = std::min<uint64_t>(start, tail + kMinRingBytes);
    control->tail.store(tail);
    while (reader.read(sink, 4096, &sender_waits) > 0) {
    }
  }
  if (sink.frames != static_cast<int>(start / kFrameAlign)) std::abort();
  ring = saved;
  control->tail.store(start + numbers[0]);
  for (int i = 0; i < 10'000 && reader.read(sink, 3, &sender_waits) > 0; ++i) {
  }
  const uint64_t head = control->head.load();
  if (head < start || head - start > kMinRingBytes) std::abort();
  return 0;
}
