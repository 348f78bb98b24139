// SHA-256 and HMAC-SHA-256 (FIPS 180-4, RFC 2104): what proves on a new connection that the other
// side belongs to the job. A few hundred bytes per connection, so plain code will do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace distos_coll {

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::string_view data);
Digest hmac_sha256(std::string_view key, std::string_view data);

// Takes the same time whatever differs.
bool same_digest(const Digest& a, const Digest& b);

inline std::string_view bytes_of(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace distos_coll
