// A TCP stream of frames, in pieces: the first byte says how it is cut.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "fuzz/fuzz_target.h"
#include "transport/frame.h"
#include "transport/frame_buffer.h"

namespace {

class Check : public distos_coll::FrameSink {
 public:
  void on_frame(const distos_coll::FrameHeader& header, const std::byte* payload) override {
    if (!distos_coll::valid_frame(header)) std::abort();
    // Touches every byte, so that a sanitizer sees a payload outside of the buffer.
    unsigned sum = 0;
    for (uint32_t i = 0; i < header.bytes; ++i) sum += static_cast<unsigned>(payload[i]);
    last_sum_ = sum;
    bytes += sizeof header + header.bytes;
  }
  size_t bytes = 0;

 private:
  volatile unsigned last_sum_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  if (bytes == 0) return 0;
  const size_t piece = 1 + data[0] * 97;
  const int budget = 1 + data[0] % 5;
  distos_coll::FrameBuffer buffer;
  Check sink;
  size_t given = 1;
  uint32_t next = 0;
  while (given < bytes) {
    size_t room = 0;
    std::byte* at = buffer.room(&room);
    if ((room == 0) != buffer.full()) std::abort();
    if (room == 0) break;  // frames that wait for others, which do not come here
    const size_t n = std::min({room, piece, bytes - given});
    std::memcpy(at, data + given, n);
    buffer.commit(n);
    given += n;
    while (buffer.deliver(sink, budget, &next) == budget) {
    }
    if (!buffer.error().empty()) break;
  }
  if (sink.bytes > given) std::abort();
  return 0;
}
