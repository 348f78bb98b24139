#include "comm/board.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "comm/bytes.h"
#include "comm/interrupt.h"
#include "comm/runtime.h"
#include "comm/wire.h"

namespace distos_coll {
namespace {

constexpr size_t kMaxBoardBytes = size_t{256} << 20;
constexpr size_t kMaxKey = 1024;
// How long a wait may be deaf to signals.
constexpr int64_t kSliceNs = 100'000'000;

}  // namespace

bool Board::set(const std::string& key, std::string value) {
  {
    const std::lock_guard lock(mutex_);
    if (table_.bytes() + key.size() + value.size() > kMaxBoardBytes) return false;
    table_.set(key, std::move(value));
    ++changes_;
  }
  condition_.notify_all();
  return true;
}

std::optional<std::string> Board::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const std::string* value = table_.find(key);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

void Board::forget(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  table_.release(prefix, 1);
}

void Board::changed() {
  {
    const std::lock_guard lock(mutex_);
    ++changes_;
  }
  condition_.notify_all();
}

bool Board::wait(int64_t deadline_ns, const std::function<bool()>& look) {
  InterruptWatch signals;
  for (;;) {
    uint64_t seen = 0;
    {
      const std::lock_guard lock(mutex_);
      seen = changes_;
    }
    if (look()) return true;
    const int64_t now = now_ns();
    if (signals.interrupted(now)) throw Error(Code::kAborted, "a signal interrupted it");
    if (now >= deadline_ns) return false;
    std::unique_lock lock(mutex_);
    condition_.wait_for(lock, std::chrono::nanoseconds(std::min(kSliceNs, deadline_ns - now)),
                        [&] { return changes_ != seen; });
  }
}

std::string encode_key(const std::string& key, const std::string& value) {
  if (key.size() > kMaxKey || key.size() + value.size() + 2 > kMaxMessagePayload) {
    throw Error(Code::kInvalid, strf("'%.100s' and its %zu bytes do not fit into a message of the "
                                     "group: the limit is %zu",
                                     key.c_str(), value.size(), kMaxMessagePayload));
  }
  ByteWriter out;
  out.text(key);
  out.raw(value.data(), value.size());
  return out.take();
}

bool put_encoded(Board& board, const std::string& payload) {
  ByteReader in(payload.data(), payload.size());
  const std::string key = in.text(kMaxKey);
  return in.ok() && board.set(key, payload.substr(payload.size() - in.left()));
}

}  // namespace distos_coll
