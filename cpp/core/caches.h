// What the kernel says of the processor's caches.
#pragma once

#include <cstddef>
#include <string>

namespace distos_coll {

// Bytes of the last cache before memory; 0 where nobody says. Read once, of the first CPU. (What
// sysconf() says is the sum over a package of many such caches on some machines, of which a virtual
// machine has one: 384 MiB where there are 32.)
size_t last_cache_bytes();

// As last_cache_bytes(), of a folder like /sys/devices/system/cpu/cpu0/cache.
size_t last_cache_bytes_in(const std::string& folder);

}  // namespace distos_coll
