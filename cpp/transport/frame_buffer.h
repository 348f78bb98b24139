// Cuts a byte stream into frames. Whatever the bytes are, it stays inside its buffer, and delivers
// checked frames or reports corruption.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "transport/link.h"

namespace distos_coll {

class FrameBuffer {
 public:
  FrameBuffer();

  // Where to put the next bytes of the stream, and how many; 0 only while whole frames wait here.
  std::byte* room(size_t* bytes);
  void commit(size_t bytes) { end_ += bytes; }
  bool full() const;

  // Delivers whole frames, up to `budget`, while they are numbered *next, *next + 1, ... Returns
  // how many. Others wait for those before them, which another connection brings.
  int deliver(FrameSink& sink, int budget, uint32_t* next);
  // deliver() would deliver one.
  bool has_frame(uint32_t next) const;
  // A whole frame is there, whatever its number.
  bool has_any_frame() const;
  // Bytes of an unfinished frame are left.
  bool empty() const { return begin_ == end_; }
  // Not empty once the stream is corrupt; nothing is delivered after that.
  const std::string& error() const { return error_; }

 private:
  // The header of the first frame, if it is there as a whole.
  bool front(FrameHeader* header) const;

  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;  // the unread part
  std::string error_;
};

}  // namespace distos_coll
