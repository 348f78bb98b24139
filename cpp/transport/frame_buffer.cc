#include "transport/frame_buffer.h"

#include <cstring>

#include "transport/frame.h"

namespace distos_coll {
namespace {

// Several frames per system call, and small enough to stay in the cache between the kernel's copy
// and ours.
constexpr size_t kBufferBytes = 256 * 1024;
constexpr size_t kMaxFrame = sizeof(FrameHeader) + kMaxFramePayload;
static_assert(kBufferBytes >= 2 * kMaxFrame);
// What other connections and the kernels' buffers may hold between two frames of one connection.
constexpr uint32_t kMostFramesAhead = 1 << 24;

}  // namespace

FrameBuffer::FrameBuffer() : buffer_(kBufferBytes) {}

std::byte* FrameBuffer::room(size_t* bytes) {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (buffer_.size() - begin_ < kMaxFrame) {
    // The rest of the frame may not fit behind its start.
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  *bytes = buffer_.size() - end_;
  return buffer_.data() + end_;
}

bool FrameBuffer::full() const {
  return end_ == buffer_.size() && buffer_.size() - begin_ >= kMaxFrame;
}

bool FrameBuffer::front(FrameHeader* header) const {
  if (end_ - begin_ < sizeof *header) return false;
  std::memcpy(header, buffer_.data() + begin_, sizeof *header);
  return !valid_frame(*header) || end_ - begin_ >= sizeof *header + header->bytes;
}

bool FrameBuffer::has_frame(uint32_t next) const {
  FrameHeader header;
  return error_.empty() && front(&header) && header.order == next;
}

bool FrameBuffer::has_any_frame() const {
  FrameHeader header;
  return error_.empty() && front(&header);
}

int FrameBuffer::deliver(FrameSink& sink, int budget, uint32_t* next) {
  int delivered = 0;
  FrameHeader header;
  while (error_.empty() && delivered < budget && front(&header)) {
    // Unsigned: a number of the past is far ahead.
    if (!valid_frame(header) || header.order - *next > kMostFramesAhead) {
      error_ = describe_invalid_frame(header);
      break;
    }
    if (header.order != *next) break;
    sink.on_frame(header, buffer_.data() + begin_ + sizeof header);
    begin_ += sizeof header + header.bytes;
    ++*next;
    ++delivered;
  }
  return delivered;
}

}  // namespace distos_coll
