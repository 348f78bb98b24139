#include "capi/callback_store.h"

#include <cstdlib>

#include "capi/handles.h"
#include "core/status.h"

namespace distos_coll::capi {
namespace {

// Stores of the core itself say why they failed; those of the doors return a code only.
[[noreturn]] void throw_trouble(int code, const std::string& otherwise) {
  if (!last_error.empty()) throw Error(static_cast<Code>(std::abs(code)), last_error);
  throw Error(Code::kSystem, otherwise);
}

}  // namespace

void CallbackStore::set(const std::string& key, const std::string& value) {
  last_error.clear();
  const int code = store_->set(store_->ctx, key.c_str(), value.data(), value.size());
  if (code == DC_OK) return;
  throw_trouble(code,
                "the store refused to keep '" + key + "': is the process that hosts it alive?");
}

std::optional<std::string> CallbackStore::get(const std::string& key, int64_t timeout_ms) {
  std::string value;
  const auto emit = [](void* to, const void* data, size_t bytes) {
    static_cast<std::string*>(to)->assign(static_cast<const char*>(data), bytes);
  };
  last_error.clear();
  const int code = store_->get(store_->ctx, key.c_str(), timeout_ms, emit, &value);
  if (std::abs(code) == DC_TIMEOUT) return std::nullopt;
  if (code == DC_OK) return value;
  throw_trouble(
      code, "the store could not be asked for '" + key + "': is the process that hosts it alive?");
}

bool CallbackStore::notices_ends() const {
  return store_->struct_size >= sizeof(dc_store) && store_->notices_ends != 0;
}

void CallbackStore::release(const std::string& prefix, int ranks) {
  const bool has_it = store_->struct_size >= sizeof(dc_store) && store_->release != nullptr;
  if (has_it) store_->release(store_->ctx, prefix.c_str(), ranks);
}

}  // namespace distos_coll::capi
