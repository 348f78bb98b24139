// Lets the core meet its ranks through a c10d::Store.
#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <string>

#include "distos_coll/c_api.h"

namespace distos_coll::torch_door {

class StoreAdaptor {
 public:
  explicit StoreAdaptor(c10::intrusive_ptr<c10d::Store> store);
  StoreAdaptor(const StoreAdaptor&) = delete;
  StoreAdaptor& operator=(const StoreAdaptor&) = delete;

  const dc_store* get() const { return &table_; }
  // What the store itself said when a callback last failed; empty if none did.
  const std::string& trouble() const { return trouble_; }

 private:
  static int set(void* context, const char* key, const void* data, size_t bytes);
  static int get(void* context, const char* key, int64_t timeout_ms,
                 void (*emit)(void* emit_context, const void* data, size_t bytes),
                 void* emit_context);
  int failed(const char* what);

  c10::intrusive_ptr<c10d::Store> store_;
  dc_store table_;
  std::string trouble_;
};

}  // namespace distos_coll::torch_door
