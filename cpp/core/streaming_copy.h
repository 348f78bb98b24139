// A copy that leaves the caches to others: it neither reads what it overwrites nor keeps it there.
// For what nobody reads before it would have left the caches anyway, and for lines that lie in
// another core's (docs/results/stores.md).
#pragma once

#include <cstddef>

namespace distos_coll {

#if defined(__x86_64__)
inline constexpr bool kCanStream = true;
#else
inline constexpr bool kCanStream = false;
#endif

// Ordered before a later release store. Where the processor has no such stores it is memcpy.
void streaming_copy(void* dst, const void* src, size_t bytes);

}  // namespace distos_coll
