// Cards come from a store that others write to.
#include <cstdlib>

#include "comm/runtime.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace distos_coll;
  try {
    const PeerCard card = PeerCard::decode(data, bytes);
    // What was accepted must survive being passed on.
    const std::string again = card.encode();
    if (again != std::string(reinterpret_cast<const char*>(data), bytes)) std::abort();
  } catch (const Error& error) {
    if (error.code() != Code::kInvalid) std::abort();
  }
  return 0;
}
