// The C ABI of registered memory.
#include "distos_coll/c_api_memory.h"

#include <memory>
#include <utility>

#include "capi/handles.h"
#include "comm/regions.h"

using distos_coll::capi::guarded;
using distos_coll::capi::pinned;

struct dc_memory {
  std::shared_ptr<std::byte> data;
};

int dc_memory_allocate(dc_comm* comm, size_t bytes, dc_memory** out) {
  return guarded([&] {
    auto& runtime = pinned(comm)->shared_engine()->runtime();
    auto data = runtime.regions()->allocate(bytes);
    *out = data ? new dc_memory{std::move(data)} : nullptr;
  });
}

void* dc_memory_data(const dc_memory* memory) { return memory->data.get(); }

void dc_memory_free(dc_memory* memory) { delete memory; }
