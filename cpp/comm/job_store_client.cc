#include <poll.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "comm/control.h"
#include "comm/interrupt.h"
#include "comm/job_store_wire.h"
#include "comm/sockets.h"
#include "core/clock.h"
#include "core/status.h"

namespace distos_coll {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kConnectNs = 2'000 * kMs;
constexpr int64_t kShortestRoundNs = 100 * kMs;
constexpr auto kRoundPause = std::chrono::milliseconds(50);
// An answer is overdue when it comes so much later than the request allowed.
constexpr int64_t kAnswerNs = 30'000 * kMs;

}  // namespace

class JobStoreClient::Connection {
 public:
  Connection(Fd socket, bool packets, const std::string& key)
      : channel_(std::move(socket), packets), seal_(key) {}

  // False, and *why, if the other end is not this job's store.
  bool shake_hands(int64_t deadline_ns, std::string* why) {
    channel_.queue(seal_.close(MessageType::kHello, store_handshake()));
    const std::optional<Message> welcome = receive(deadline_ns, why);
    if (!welcome) return false;
    if (welcome->type == MessageType::kReject) {
      *why = "rejected: " + printable_text(welcome->payload, 512);
      return false;
    }
    if (welcome->type != MessageType::kWelcome || !seal_.open(*welcome, why)) return false;
    channel_.queue(seal_.close(MessageType::kCommit, store_handshake()));
    channel_.trust();
    return true;
  }

  Message ask(StoreKind kind, std::string payload, int64_t deadline_ns) {
    std::optional<Message> answer;
    // After a failure a late answer would be taken for that of the next question.
    if (trouble_.empty()) {
      channel_.queue(store_message(kind, std::move(payload)));
      answer = receive(deadline_ns, &trouble_);
    }
    if (!answer) {
      throw Error(Code::kPeerDied,
                  "the job's store, in the process of rank 0, does not answer: " + trouble_);
    }
    return std::move(*answer);
  }

 private:
  std::optional<Message> receive(int64_t deadline_ns, std::string* why) {
    for (;;) {
      std::optional<Message> got;
      if (!channel_.flush()) break;
      const bool open = channel_.read([&](Message message) {
        got = std::move(message);
        return false;
      });
      if (got) return got;
      if (!open) break;
      const short events = channel_.wants_write() ? POLLIN | POLLOUT : POLLIN;
      if (!wait_for_socket(channel_.fd(), events, deadline_ns)) {
        *why = "no answer in time";
        return std::nullopt;
      }
    }
    *why = channel_.error().empty() ? "it closed the connection" : channel_.error();
    return std::nullopt;
  }

  ControlChannel channel_;
  Seal seal_;
  std::string trouble_;
};

JobStoreClient::JobStoreClient(const MeetingPoint& point, int64_t deadline_ns) {
  const std::string key = store_seal_key(point);
  std::string tried;
  const auto attempt = [&](Fd socket, const std::string& place, std::string why) {
    if (socket.valid()) {
      auto made = std::make_unique<Connection>(std::move(socket), !point.unix_name.empty(), key);
      if (made->shake_hands(std::min(deadline_ns, now_ns() + kConnectNs), &why)) {
        connection_ = std::move(made);
        return true;
      }
    }
    tried += "\n  " + place + ": " + why;
    return false;
  };
  const auto one_round = [&] {
    tried.clear();
    const int64_t patience = std::min(deadline_ns, now_ns() + kConnectNs);
    std::string why;
    if (!point.unix_name.empty()) {
      Fd socket = connect_unix(point.unix_name, patience, &why);
      return attempt(std::move(socket), "unix socket " + point.unix_name, why);
    }
    for (const std::string& ip : point.ips) {
      for (const uint16_t port : point.ports) {
        Fd socket = connect_tcp(ip, port, patience, &why);
        if (attempt(std::move(socket), strf("%s port %u", ip.c_str(), port), why)) return true;
      }
    }
    return false;
  };
  InterruptWatch signals;
  while (!one_round()) {
    if (signals.interrupted(now_ns())) throw Error(Code::kAborted, "a signal interrupted it");
    // A last round in no time would only hide the reasons of the one before.
    if (now_ns() + kShortestRoundNs >= deadline_ns) {
      throw Error(Code::kTimeout, "rank 0 was not found where the ranks of this job meet:" + tried +
                                      "\nIs it running, and did it get the same meeting point?");
    }
    std::this_thread::sleep_for(kRoundPause);
  }
}

JobStoreClient::~JobStoreClient() = default;

void JobStoreClient::set(const std::string& key, const std::string& value) {
  if (key.size() > kMaxStoreKey || value.size() > kMaxStoreValue) {
    throw Error(Code::kInvalid,
                strf("the job's store takes values of up to %zu bytes, '%.100s' has %zu",
                     kMaxStoreValue, key.c_str(), value.size()));
  }
  ByteWriter out;
  out.text(key);
  out.number(int64_t{0});
  out.raw(value.data(), value.size());
  const std::lock_guard lock(mutex_);
  const Message answer = connection_->ask(StoreKind::kSet, out.take(), now_ns() + kAnswerNs);
  if (answer.kind != static_cast<uint16_t>(StoreKind::kStored))
    throw Error(Code::kSystem, printable_text(answer.payload, 512));
}

std::optional<std::string> JobStoreClient::get(const std::string& key, int64_t timeout_ms) {
  ByteWriter out;
  out.text(key.substr(0, kMaxStoreKey));
  out.number(timeout_ms);
  const std::lock_guard lock(mutex_);
  Message answer =
      connection_->ask(StoreKind::kGet, out.take(), now_ns() + timeout_ms * kMs + kAnswerNs);
  if (answer.kind != static_cast<uint16_t>(StoreKind::kValue)) return std::nullopt;
  return std::move(answer.payload);
}

void JobStoreClient::release(const std::string& prefix, int ranks) {
  ByteWriter out;
  out.text(prefix.substr(0, kMaxStoreKey));
  out.number(int64_t{ranks});
  const std::lock_guard lock(mutex_);
  try {
    connection_->ask(StoreKind::kRelease, out.take(), now_ns() + kAnswerNs);
  } catch (const Error&) {
    // Rank 0 has ended, and the keys with it. The group that was set up needs neither.
  }
}

}  // namespace distos_coll
