// What the store's clients and its server say to each other, after hello, welcome and commit: one
// request, one answer.
#pragma once

#include <string>

#include "comm/bytes.h"
#include "comm/job_store.h"
#include "comm/seal.h"
#include "comm/wire.h"

namespace distos_coll {

// A request is a key, a number (kGet: how long to wait in ms; kRelease: how many ranks release the
// prefix that the key is) and, for kSet, the value.
enum class StoreKind : uint16_t { kSet = 1, kGet, kStored, kValue, kMissing, kRefused, kRelease };

inline constexpr size_t kMaxStoreKey = 1024;
inline constexpr size_t kMaxStoreValue = 60 * 1024;

inline std::string store_seal_key(const MeetingPoint& point) {
  return std::string(bytes_of(hmac_sha256(point.key, "distos_coll store of " + point.job)));
}

inline Handshake store_handshake() {
  Handshake body;
  body.role = Role::kStore;
  return body;
}

inline Message store_message(StoreKind kind, std::string payload) {
  Message message;
  message.type = MessageType::kControl;
  message.kind = static_cast<uint16_t>(kind);
  message.payload = std::move(payload);
  return message;
}

}  // namespace distos_coll
