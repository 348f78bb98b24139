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

int FrameBuffer::deliver(FrameSink& sink, int budget) {
  int delivered = 0;
  has_frame_ = false;
  while (error_.empty() && end_ - begin_ >= sizeof(FrameHeader)) {
    FrameHeader header;
    std::memcpy(&header, buffer_.data() + begin_, sizeof header);
    if (!valid_frame(header)) {
      error_ = describe_invalid_frame(header);
      break;
    }
    if (end_ - begin_ < sizeof header + header.bytes) break;
    if (delivered == budget) {
      has_frame_ = true;
      break;
    }
    sink.on_frame(header, buffer_.data() + begin_ + sizeof header);
    begin_ += sizeof header + header.bytes;
    ++delivered;
  }
  return delivered;
}

}  // namespace distos_coll
