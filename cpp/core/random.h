// Random bytes from the kernel, for secrets and for names that must not collide.
#pragma once

#include <cstddef>
#include <cstdint>

namespace distos_coll {

// Throws Error(kSystem) if the kernel has none to give.
void fill_random(void* out, size_t bytes);
// Never zero, which is what fresh memory and absent fields hold.
uint64_t random_u64();

}  // namespace distos_coll
