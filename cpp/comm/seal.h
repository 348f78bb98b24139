// What makes the messages of a handshake believable. Each ends with a MAC, keyed with what only the
// job's processes know, over itself and over the last challenge that came the other way: nobody
// without the key can make one, change one, or say an old one again.
#pragma once

#include <optional>
#include <string>

#include "comm/wire.h"
#include "core/sha256.h"

namespace distos_coll {

// The job's key, in a file so that it shows in no process list and no log; empty for an empty path.
// Throws Error(kInvalid) if it cannot be read or is short.
std::string read_job_key(const std::string& path);

// The key of connections that `accepter` accepts: its own secret, which its card carries to the
// ranks of its groups through their store, and the job's key where there is one.
std::string handshake_key(const PeerCard& accepter, const std::string& job_key);

// One end of one connection.
class Seal {
 public:
  explicit Seal(std::string key) : key_(std::move(key)) {}

  // The message with a fresh challenge and the MAC.
  Message close(MessageType type, Handshake body);
  // What a message says, believed or not. Nothing if it is malformed.
  static std::optional<Handshake> claims(const Message& message, std::string* why);
  // Nothing if it is malformed or not from this job; *why says which.
  std::optional<Handshake> open(const Message& message, std::string* why);

 private:
  Digest mac(MessageType type, const std::string& body, const Challenge& answered) const;

  const std::string key_;
  Challenge sent_{}, received_{};
};

}  // namespace distos_coll
