// What a member of a group may send on its control connection: answers about where it is, records
// of what it called, keys for the board. The first byte says which.
#include <cstdlib>

#include "comm/board.h"
#include "comm/inquiry.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace distos_coll;
  if (bytes == 0) return 0;
  const std::string payload(reinterpret_cast<const char*>(data) + 1, bytes - 1);
  switch (data[0] % 3) {
    case 0: {
      const auto said = Whereabouts::decode(payload);
      if (said && said->encode() != payload) std::abort();
      if (said && describe(*said).empty()) std::abort();
      return 0;
    }
    case 1: {
      Recorder recorder;
      recorder.queued(1, Signature(), 1);
      recorder.queued(2, Signature(), 2);
      if (first_difference(recorder, encode_audit(recorder))) std::abort();
      first_difference(recorder, payload);
      return 0;
    }
    default: {
      Board board;
      if (!put_encoded(board, payload)) return 0;
      const size_t key_bytes = static_cast<size_t>(data[1]) | static_cast<size_t>(data[2]) << 8;
      const std::string key = payload.substr(2, key_bytes);
      const auto value = board.find(key);
      if (!value || encode_key(key, *value) != payload) std::abort();
      board.forget(key);
      if (board.find(key)) std::abort();
      return 0;
    }
  }
}
