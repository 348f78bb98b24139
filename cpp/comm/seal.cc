#include "comm/seal.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include "comm/bytes.h"
#include "core/random.h"
#include "core/status.h"

namespace distos_coll {
namespace {

// All but the MAC.
std::string body_of(const std::string& payload) {
  return payload.substr(0, payload.size() - std::min(payload.size(), Digest().size()));
}

constexpr size_t kShortestJobKey = 16;

}  // namespace

std::string read_job_key(const std::string& path) {
  if (path.empty()) return "";
  std::ifstream file(path, std::ios::binary);
  std::string key{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  if (key.size() < kShortestJobKey) {
    throw Error(Code::kInvalid,
                strf("the job key in '%s' cannot be read or is short; put a random text of at "
                     "least %zu bytes there, the same for all ranks (DISTOS_COLL_JOB_KEY_FILE)",
                     path.c_str(), kShortestJobKey));
  }
  return key;
}

std::string handshake_key(const PeerCard& accepter, const std::string& job_key) {
  const std::string_view secret(reinterpret_cast<const char*>(accepter.secret.data()),
                                accepter.secret.size());
  return std::string(bytes_of(hmac_sha256(job_key, secret)));
}

Digest Seal::mac(MessageType type, const std::string& body, const Challenge& answered) const {
  ByteWriter text;
  text.number(static_cast<uint16_t>(type));
  text.raw(answered.data(), answered.size());
  text.raw(body.data(), body.size());
  return hmac_sha256(key_, text.take());
}

Message Seal::close(MessageType type, Handshake body) {
  fill_random(sent_.data(), sent_.size());
  body.challenge = sent_;
  Message message;
  message.type = type;
  message.payload = encode_handshake(body);
  const Digest proof = mac(type, message.payload, received_);
  message.payload.append(bytes_of(proof));
  return message;
}

std::optional<Handshake> Seal::claims(const Message& message, std::string* why) {
  return decode_handshake(body_of(message.payload), why);
}

std::optional<Handshake> Seal::open(const Message& message, std::string* why) {
  // The version is looked at first, because another one may keep its proof elsewhere.
  std::optional<Handshake> handshake = claims(message, why);
  if (!handshake) return std::nullopt;
  const std::string body = body_of(message.payload);
  Digest proof{};
  std::memcpy(proof.data(), message.payload.data() + body.size(), proof.size());
  if (!same_digest(proof, mac(message.type, body, sent_))) {
    *why =
        "it cannot prove that it belongs to this job: it is a stranger, or the ranks' job keys "
        "(DISTOS_COLL_JOB_KEY_FILE) differ";
    return std::nullopt;
  }
  received_ = handshake->challenge;
  return handshake;
}

}  // namespace distos_coll
