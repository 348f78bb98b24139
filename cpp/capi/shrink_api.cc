// The C ABI of shrink.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "capi/handles.h"
#include "comm/shrink.h"
#include "distos_coll/c_api_shrink.h"

using distos_coll::Shrink;
using distos_coll::capi::guarded;
using distos_coll::capi::pinned;

struct dc_shrink {
  Shrink shrink;
};

namespace {

Shrink& of(void* context) { return static_cast<dc_shrink*>(context)->shrink; }

int set(void* context, const char* key, const void* data, size_t bytes) {
  return guarded([&] { of(context).set(key, std::string(static_cast<const char*>(data), bytes)); });
}

int get(void* context, const char* key, int64_t timeout_ms,
        void (*emit)(void* emit_context, const void* data, size_t bytes), void* emit_context) {
  bool found = false;
  const int code = guarded([&] {
    const auto value = of(context).get(key, timeout_ms);
    found = value.has_value();
    if (found) emit(emit_context, value->data(), value->size());
  });
  return code == DC_OK && !found ? -DC_TIMEOUT : code;
}

void release(void* context, const char* prefix, int32_t ranks) {
  guarded([&] { of(context).release(prefix, ranks); });
}

}  // namespace

int dc_shrink_begin(dc_comm* comm, const int32_t* excluded, size_t n_excluded, int64_t timeout_ms,
                    dc_shrink** out) {
  return guarded([&] {
    const std::vector<int> ranks(excluded, excluded + n_excluded);
    std::unique_ptr<dc_shrink> made(new dc_shrink{Shrink(pinned(comm), ranks, timeout_ms)});
    made->shrink.agree();
    *out = made.release();
  });
}

int32_t dc_shrink_ranks(const dc_shrink* shrink, int32_t* ranks) {
  const std::vector<int>& agreed = shrink->shrink.ranks();
  std::copy(agreed.begin(), agreed.end(), ranks);
  return static_cast<int32_t>(agreed.size());
}

void dc_shrink_store(dc_shrink* shrink, dc_store* out) {
  *out = {sizeof(dc_store), shrink, &set, &get, &release, 1};
}

int dc_shrink_retry(dc_shrink* shrink) {
  bool again = false;
  const int code = guarded([&] {
    again = shrink->shrink.overtaken();
    if (again) shrink->shrink.agree();
  });
  return code == DC_OK && again ? 1 : code;
}

void dc_shrink_end(dc_shrink* shrink) { delete shrink; }
