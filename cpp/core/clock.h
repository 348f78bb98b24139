// The only clock of the library. Logic takes time as a parameter; this is read at its edges.
#pragma once

#include <cstdint>

namespace distos_coll {

// Monotonic nanoseconds.
int64_t now_ns();

}  // namespace distos_coll
