#include "torch/store_adaptor.h"

#include <c10/util/Exception.h>

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

namespace distos_coll::torch_door {

StoreAdaptor::StoreAdaptor(c10::intrusive_ptr<c10d::Store> store)
    : store_(std::move(store)),
      table_{sizeof(dc_store), this, &StoreAdaptor::set, &StoreAdaptor::get, nullptr, 0} {}

int StoreAdaptor::failed(const char* what) {
  trouble_ = what;
  // c10d::Store has no type of its own for "not there in time": TCPStore and FileStore only say so.
  const bool timed_out = trouble_.find("imeout") != std::string::npos ||
                         trouble_.find("imed out") != std::string::npos;
  return timed_out ? DC_TIMEOUT : DC_SYSTEM;
}

int StoreAdaptor::set(void* context, const char* key, const void* data, size_t bytes) {
  auto* self = static_cast<StoreAdaptor*>(context);
  try {
    const auto* begin = static_cast<const uint8_t*>(data);
    self->store_->set(key, std::vector<uint8_t>(begin, begin + bytes));
    return DC_OK;
  } catch (const c10::Error& error) {
    return self->failed(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return self->failed(error.what());
  }
}

int StoreAdaptor::get(void* context, const char* key, int64_t timeout_ms,
                      void (*emit)(void* emit_context, const void* data, size_t bytes),
                      void* emit_context) {
  auto* self = static_cast<StoreAdaptor*>(context);
  try {
    // get() waits for the store's own timeout, which may be shorter or much longer than ours.
    self->store_->wait({key}, std::chrono::milliseconds(timeout_ms > 0 ? timeout_ms : 1));
    const std::vector<uint8_t> value = self->store_->get(key);
    emit(emit_context, value.data(), value.size());
    return DC_OK;
  } catch (const c10::Error& error) {
    return self->failed(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return self->failed(error.what());
  }
}

}  // namespace distos_coll::torch_door
