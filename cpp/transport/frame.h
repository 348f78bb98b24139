// What both links agree about a frame that arrived: nothing in it is trusted before it is checked
// here.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>

#include "core/status.h"
#include "transport/link.h"

namespace distos_coll {

inline bool valid_frame(const FrameHeader& header) {
  return header.bytes <= kMaxFramePayload && header.kind >= FrameKind::kStream &&
         header.kind <= FrameKind::kData;
}

// The sentence for a link that got an invalid one.
inline std::string describe_invalid_frame(const FrameHeader& header) {
  return strf("received a corrupt frame (kind %u, %u bytes); the link cannot be trusted any more",
              static_cast<unsigned>(header.kind), header.bytes);
}

}  // namespace distos_coll
