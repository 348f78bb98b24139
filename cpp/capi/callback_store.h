// A store behind the C ABI's callbacks.
#pragma once

#include <optional>
#include <string>

#include "comm/store.h"
#include "distos_coll/c_api.h"

namespace distos_coll::capi {

class CallbackStore final : public Store {
 public:
  explicit CallbackStore(const dc_store* store) : store_(store) {}

  void set(const std::string& key, const std::string& value) override;
  std::optional<std::string> get(const std::string& key, int64_t timeout_ms) override;
  void release(const std::string& prefix, int ranks) override;
  bool notices_ends() const override;

 private:
  const dc_store* store_;
};

}  // namespace distos_coll::capi
