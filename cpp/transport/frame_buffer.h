// Cuts a byte stream into frames. Whatever the bytes are, it stays inside its buffer, and delivers
// checked frames or reports corruption.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "transport/link.h"

namespace distos_coll {

class FrameBuffer {
 public:
  FrameBuffer();

  // Where to put the next bytes of the stream, and how many; never 0 after deliver() without a
  // limit.
  std::byte* room(size_t* bytes);
  void commit(size_t bytes) { end_ += bytes; }

  // Delivers whole frames, up to `budget`. Returns how many.
  int deliver(FrameSink& sink, int budget);
  // A whole frame is left after deliver() met its budget.
  bool has_frame() const { return has_frame_; }
  // Bytes of an unfinished frame are left.
  bool empty() const { return begin_ == end_; }
  // Not empty once the stream is corrupt; nothing is delivered after that.
  const std::string& error() const { return error_; }

 private:
  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;  // the unread part
  bool has_frame_ = false;
  std::string error_;
};

}  // namespace distos_coll
