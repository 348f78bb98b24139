// What strangers may say on a listening socket: a message, and in it a handshake.
#include <cstdlib>

#include "comm/seal.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace distos_coll;
  Message message;
  size_t used = 0;
  std::string why;
  const auto* text = reinterpret_cast<const char*>(data);
  switch (parse_message(text, bytes, kMaxHandshakePayload, &message, &used, &why)) {
    case ParseResult::kIncomplete:
      return 0;
    case ParseResult::kInvalid:
      if (why.empty()) std::abort();
      return 0;
    case ParseResult::kWhole:
      break;
  }
  if (used > bytes || encode_message(message) != std::string(text, used)) std::abort();
  const auto handshake = Seal::claims(message, &why);
  if (handshake ? message.payload.rfind(encode_handshake(*handshake), 0) != 0 : why.empty())
    std::abort();
  // Nobody here knows the key.
  if (Seal("key").open(message, &why)) std::abort();
  printable_text(message.payload, 512);
  return 0;
}
