// What travels on control connections: a fixed header and a short payload, the same over Unix
// sockets (one packet each, descriptors attached) and TCP (a byte stream). The handshake uses the
// same messages, with one fixed body.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/runtime.h"
#include "core/fd.h"

namespace distos_coll {

// Values are on the wire.
enum class MessageType : uint16_t {
  kHello = 1,  // handshake: opener -> accepter, with descriptors and the opener's card
  kWelcome,    // handshake: accepter -> opener, with descriptors
  kCommit,     // handshake: opener -> accepter: I am satisfied
  kCommitted,  // handshake: accepter -> opener: the peer exists
  kReject,     // either: the payload says why, then the connection ends
  kHeartbeat,
  kGoodbye,
  kControl,  // a communicator's message
};
inline constexpr uint16_t kLastMessageType = static_cast<uint16_t>(MessageType::kControl);

inline constexpr uint32_t kMessageMagic = 0x4d434344;  // "DCCM"
inline constexpr size_t kMessageHeaderBytes = 32;
inline constexpr size_t kMaxMessagePayload = 64 * 1024;
// What a stranger may send before a hello was accepted.
inline constexpr size_t kMaxHandshakePayload = 16 * 1024;
inline constexpr size_t kMaxMessageFds = 3;

struct Message {
  MessageType type = MessageType::kControl;
  uint16_t kind = 0;
  uint32_t source = 0;
  uint64_t comm = 0;
  uint64_t after_frames = 0;  // how many frames the sender's link had taken before this message
  std::string payload;
  std::vector<Fd> fds;
};

// Header and payload, ready to send.
std::string encode_message(const Message& message);

enum class ParseResult { kWhole, kIncomplete, kInvalid };
// Reads one message from the front. *used is set for kWhole; *why for kInvalid.
ParseResult parse_message(const char* data, size_t bytes, size_t max_payload, Message* out,
                          size_t* used, std::string* why);

inline constexpr uint16_t kHandshakeVersion = 3;
// What ranks must have in common to understand each other at all.
extern const char* const kBuild;
using Challenge = std::array<uint8_t, 16>;

enum class Role : uint16_t { kUnix = 1, kTcpControl, kTcpData, kStore };

// The body of the four handshake messages; a field that a step does not use is zero.
struct Handshake {
  uint16_t version = kHandshakeVersion;
  Role role = Role::kUnix;
  uint32_t flags = 0;
  PeerUid from{}, to{};
  Challenge challenge{};  // what the receiver's next message must answer (comm/seal.h)
  uint64_t nonce = 0;  // names the attempt, so that a data connection finds its control connection
  uint64_t mapped_echo =
      0;  // what the sender read in the shared memory where the receiver wrote a secret
  uint64_t private_echo = 0;   // what it read in the receiver's private memory
  uint64_t proof_address = 0;  // where the sender's own secret lies in its private memory
  uint64_t ring_bytes = 0;
  // kHello of TCP: how many data connections the link has (control), which of them this is (data).
  uint16_t socket = 0;
  std::string card;  // kHello only: the opener's card, since the accepter may not know it yet
};
inline constexpr uint32_t kFlagSingleCopy = 1;

std::string encode_handshake(const Handshake& handshake);
// Nothing if malformed; *why says what. A different version is malformed too, and says so.
std::optional<Handshake> decode_handshake(const std::string& payload, std::string* why);

// For text that a peer sent and a person may see.
std::string printable_text(const std::string& text, size_t max_bytes);

}  // namespace distos_coll
