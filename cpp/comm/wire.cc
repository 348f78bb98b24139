#include "comm/wire.h"

#include "comm/bytes.h"

namespace distos_coll {

const char* const kBuild = DISTOS_COLL_VERSION " (wire 5)";

std::string encode_message(const Message& message) {
  ByteWriter out;
  out.number(kMessageMagic);
  out.number(static_cast<uint16_t>(message.type));
  out.number(message.kind);
  out.number(message.source);
  out.number(static_cast<uint32_t>(message.payload.size()));
  out.number(message.comm);
  out.number(message.after_frames);
  out.raw(message.payload.data(), message.payload.size());
  return out.take();
}

ParseResult parse_message(const char* data, size_t bytes, size_t max_payload, Message* out,
                          size_t* used, std::string* why) {
  ByteReader in(data, bytes);
  const auto magic = in.number<uint32_t>();
  // Garbage is told from a short read as early as its first four bytes.
  if (in.ok() && magic != kMessageMagic) {
    *why = "the bytes received are not distos_coll's; something else talks to this port";
    return ParseResult::kInvalid;
  }
  if (bytes < kMessageHeaderBytes) return ParseResult::kIncomplete;
  const auto type = in.number<uint16_t>();
  out->kind = in.number<uint16_t>();
  out->source = in.number<uint32_t>();
  const auto payload_bytes = in.number<uint32_t>();
  out->comm = in.number<uint64_t>();
  out->after_frames = in.number<uint64_t>();
  if (type == 0 || type > kLastMessageType) {
    *why = strf("unknown message type %u", type);
    return ParseResult::kInvalid;
  }
  if (payload_bytes > max_payload) {
    *why =
        strf("a message of %u bytes is longer than allowed here (%zu)", payload_bytes, max_payload);
    return ParseResult::kInvalid;
  }
  if (in.left() < payload_bytes) return ParseResult::kIncomplete;
  out->type = static_cast<MessageType>(type);
  out->payload.assign(data + kMessageHeaderBytes, payload_bytes);
  *used = kMessageHeaderBytes + payload_bytes;
  return ParseResult::kWhole;
}

std::string encode_handshake(const Handshake& handshake) {
  ByteWriter out;
  out.number(handshake.version);
  out.number(static_cast<uint16_t>(handshake.role));
  out.number(handshake.flags);
  out.raw(handshake.from.data(), handshake.from.size());
  out.raw(handshake.to.data(), handshake.to.size());
  out.raw(handshake.challenge.data(), handshake.challenge.size());
  out.number(handshake.nonce);
  out.number(handshake.mapped_echo);
  out.number(handshake.private_echo);
  out.number(handshake.proof_address);
  out.number(handshake.ring_bytes);
  out.number(handshake.socket);
  out.text(handshake.card);
  return out.take();
}

std::optional<Handshake> decode_handshake(const std::string& payload, std::string* why) {
  ByteReader in(payload.data(), payload.size());
  Handshake out;
  out.version = in.number<uint16_t>();
  if (in.ok() && out.version != kHandshakeVersion) {
    *why = strf(
        "it speaks handshake version %u and this process version %u; install the same distos_coll "
        "on both",
        out.version, kHandshakeVersion);
    return std::nullopt;
  }
  const auto role = in.number<uint16_t>();
  out.role = static_cast<Role>(role);
  out.flags = in.number<uint32_t>();
  in.raw(out.from.data(), out.from.size());
  in.raw(out.to.data(), out.to.size());
  in.raw(out.challenge.data(), out.challenge.size());
  out.nonce = in.number<uint64_t>();
  out.mapped_echo = in.number<uint64_t>();
  out.private_echo = in.number<uint64_t>();
  out.proof_address = in.number<uint64_t>();
  out.ring_bytes = in.number<uint64_t>();
  out.socket = in.number<uint16_t>();
  out.card = in.text(kMaxHandshakePayload);
  if (!in.ok() || in.left() != 0 || role < static_cast<uint16_t>(Role::kUnix) ||
      role > static_cast<uint16_t>(Role::kStore)) {
    *why = "its handshake message is malformed";
    return std::nullopt;
  }
  return out;
}

std::string printable_text(const std::string& text, size_t max_bytes) {
  std::string out = text.substr(0, max_bytes);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

}  // namespace distos_coll
