// PeerCard as bytes: magic, version, then the fields in order.
#include <string>

#include "comm/bytes.h"
#include "comm/runtime.h"

namespace distos_coll {
namespace {

constexpr uint32_t kCardMagic = 0x44434344;  // "DCCD"
constexpr uint16_t kCardVersion = 2;
constexpr size_t kMaxText = 255;
constexpr size_t kMaxAddresses = 64;
constexpr size_t kMaxIpText = 45;  // INET6_ADDRSTRLEN - 1

std::string shortened(const std::string& text, size_t max) { return text.substr(0, max); }

// What reaches logs and error messages must not be able to drive a terminal.
bool printable(const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

[[noreturn]] void reject(const char* what) {
  throw Error(
      Code::kInvalid,
      strf("a peer's card is invalid: %s. Every rank must run the same version of distos_coll, "
           "and nothing else may write under its keys of the store",
           what));
}

}  // namespace

std::string PeerCard::encode() const {
  ByteWriter out;
  out.number(kCardMagic);
  out.number(kCardVersion);
  out.raw(uid.data(), uid.size());
  out.raw(secret.data(), secret.size());
  out.text(shortened(build, kMaxText));
  out.number(pid);
  out.text(shortened(hostname, kMaxText));
  out.text(shortened(host_id, kMaxText));
  out.text(shortened(unix_name, kMaxText));
  const size_t n = std::min(addresses.size(), kMaxAddresses);
  out.number(static_cast<uint16_t>(n));
  for (size_t i = 0; i < n; ++i) {
    out.text(shortened(addresses[i].interface, kMaxText));
    out.text(shortened(addresses[i].ip, kMaxIpText));
    out.number(addresses[i].port);
  }
  return out.take();
}

PeerCard PeerCard::without_secret() const {
  PeerCard out = *this;
  out.secret.fill(0);
  return out;
}

PeerCard PeerCard::decode(const void* data, size_t bytes) {
  ByteReader in(data, bytes);
  if (in.number<uint32_t>() != kCardMagic || !in.ok()) reject("it does not start like one");
  const auto version = in.number<uint16_t>();
  if (version != kCardVersion || !in.ok()) {
    reject(strf("its version is %u, this process understands %u", version, kCardVersion).c_str());
  }
  PeerCard card;
  in.raw(card.uid.data(), card.uid.size());
  in.raw(card.secret.data(), card.secret.size());
  card.build = in.text(kMaxText);
  card.pid = in.number<int64_t>();
  card.hostname = in.text(kMaxText);
  card.host_id = in.text(kMaxText);
  card.unix_name = in.text(kMaxText);
  bool clean = printable(card.build) && printable(card.hostname) && printable(card.host_id) &&
               printable(card.unix_name);
  const auto n = in.number<uint16_t>();
  if (n > kMaxAddresses) reject("it lists too many addresses");
  for (uint16_t i = 0; i < n && in.ok(); ++i) {
    Address address;
    address.interface = in.text(kMaxText);
    address.ip = in.text(kMaxIpText);
    address.port = in.number<uint16_t>();
    clean = clean && printable(address.interface) && printable(address.ip);
    card.addresses.push_back(std::move(address));
  }
  if (!in.ok()) reject("it is cut off");
  if (in.left() != 0) reject("bytes follow it");
  if (!clean) reject("it contains control characters");
  return card;
}

}  // namespace distos_coll
