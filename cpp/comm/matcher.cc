#include "comm/matcher.h"

#include <algorithm>
#include <cstring>

#include "comm/memory.h"

namespace distos_coll {
namespace {

// How a receiver answers a request, in FrameHeader::a of a CTS.
enum Answer : uint64_t { kSendData = 0, kPulled = 1, kOtherSize = 2, kUnreadable = 3 };

}  // namespace

Matcher::Matcher(uint64_t comm, int rank, std::vector<std::shared_ptr<Peer>> peers, Limits limits)
    : comm_(comm), rank_(rank), peers_(std::move(peers)), limits_(limits), states_(peers_.size()) {
  for (PeerState& state : states_) state.eager_credit = static_cast<int64_t>(limits.eager_credit);
}

FrameHeader Matcher::header(FrameKind kind) const {
  FrameHeader header;
  header.comm = comm_;
  header.source = static_cast<uint32_t>(rank_);
  header.kind = kind;
  return header;
}

std::string Matcher::describe(const PointToPoint& operation, bool sends) {
  const std::string peer =
      operation.peer == kAnySource ? "any rank" : strf("rank %d", operation.peer);
  return strf("%s of %zu bytes %s %s, tag %lld", sends ? "send" : "recv", operation.bytes,
              sends ? "to" : "from", peer.c_str(), static_cast<long long>(operation.tag));
}

void Matcher::record(PointToPoint& operation, bool sends) {
  operation.record =
      recorder_.queued(sends, operation.peer, operation.tag, operation.bytes, operation.queued_ns);
}

void Matcher::complete(Ref<PointToPoint> operation, Code code, std::string error) {
  recorder_.ended(operation->record, operation->peer, code == Code::kOk);
  done_.push_back({Ref<Work>(operation.detach()), code, std::move(error)});
  work_waits_.store(true, std::memory_order_release);
}

void Matcher::send(Ref<PointToPoint> operation) {
  const std::lock_guard lock(mutex_);
  pending_.fetch_add(1, std::memory_order_acq_rel);
  record(*operation, true);
  const int peer = operation->peer;
  states_[static_cast<size_t>(peer)].queue.push_back(std::move(operation));
  push_queue(peer);
  work_waits_.store(true, std::memory_order_release);
}

void Matcher::receive(Ref<PointToPoint> operation) {
  const std::lock_guard lock(mutex_);
  pending_.fetch_add(1, std::memory_order_acq_rel);
  record(*operation, false);
  operation->state = PointToPoint::State::kPosted;
  if (!match_unexpected(operation)) posted_.push_back(std::move(operation));
}

// --- Sending

void Matcher::control(int peer, const FrameHeader& header) {
  states_[static_cast<size_t>(peer)].controls.push_back(header);
  push_controls(peer);
}

bool Matcher::push_controls(int peer) {
  auto& controls = states_[static_cast<size_t>(peer)].controls;
  bool moved = false;
  while (!controls.empty()) {
    if (peers_[static_cast<size_t>(peer)]->link().try_send(controls.front(), nullptr) ==
        Code::kAgain) {
      work_waits_.store(true, std::memory_order_release);
      return moved;
    }
    controls.pop_front();
    moved = true;
  }
  return moved;
}

bool Matcher::push_queue(int peer) {
  PeerState& state = states_[static_cast<size_t>(peer)];
  Peer& to = *peers_[static_cast<size_t>(peer)];
  bool moved = false;
  while (!state.queue.empty()) {
    Ref<PointToPoint>& head = state.queue.front();
    const auto cost = static_cast<int64_t>(head->bytes + sizeof(FrameHeader));
    const bool eager = head->bytes <= limits_.eager_bytes && state.eager_credit >= cost;
    if (!eager && state.asked >= kMaxRequests) break;
    FrameHeader frame = header(eager ? FrameKind::kEager : FrameKind::kRts);
    frame.a = static_cast<uint64_t>(head->tag);
    uint64_t address = reinterpret_cast<uint64_t>(head->input);
    if (eager) {
      frame.bytes = static_cast<uint32_t>(head->bytes);
    } else {
      head->id = next_id_;
      frame.b = head->id;
      frame.c = head->bytes;
      frame.bytes = sizeof(address);
    }
    const Code code =
        to.link().try_send(frame, eager ? static_cast<const void*>(head->input) : &address);
    if (code == Code::kAgain) break;
    if (code != Code::kOk)
      break;  // the peer is gone; its loss fails the operation, with the reason
    if (eager) {
      state.eager_credit -= cost;
      complete(std::move(head), Code::kOk, "");
    } else {
      ++next_id_;
      ++state.asked;
      head->state = PointToPoint::State::kRequested;
      requested_.push_back(std::move(head));
    }
    state.queue.pop_front();
    moved = true;
  }
  if (!state.queue.empty()) work_waits_.store(true, std::memory_order_release);
  return moved;
}

bool Matcher::on_cts(const FrameHeader& frame) {
  PeerState& state = states_[frame.source];
  if (state.asked == 0) return false;
  --state.asked;
  if (!state.queue.empty()) work_waits_.store(true, std::memory_order_release);
  const auto it =
      std::find_if(requested_.begin(), requested_.end(), [&](const Ref<PointToPoint>& operation) {
        return operation->id == frame.b && operation->peer == static_cast<int>(frame.source);
      });
  if (it == requested_.end()) return true;  // the send was withdrawn or has failed meanwhile
  Ref<PointToPoint> operation = std::move(*it);
  requested_.erase(it);
  if (frame.a == kSendData) {
    recorder_.matched(operation->record, operation->peer);
    operation->state = PointToPoint::State::kCleared;
    cleared_.push_back(std::move(operation));
    work_waits_.store(true, std::memory_order_release);
  } else if (frame.a == kPulled) {
    complete(std::move(operation), Code::kOk, "");
  } else if (frame.a == kUnreadable) {
    std::string error = describe(*operation, true) +
                        strf(
                            ": the kernel refused to let rank %d read this memory; set "
                            "DISTOS_COLL_SINGLE_COPY=0",
                            operation->peer);
    complete(std::move(operation), Code::kSystem, std::move(error));
  } else {
    std::string error =
        describe(*operation, true) +
        strf(": rank %d receives a message of %llu bytes there; both sides must agree",
             operation->peer, static_cast<unsigned long long>(frame.c));
    complete(std::move(operation), Code::kMismatch, std::move(error));
  }
  return true;
}

bool Matcher::push_data() {
  bool moved = false;
  for (auto it = cleared_.begin(); it != cleared_.end();) {
    PointToPoint& operation = **it;
    Link& link = peers_[static_cast<size_t>(operation.peer)]->link();
    while (operation.moved < operation.bytes) {
      FrameHeader frame = header(FrameKind::kData);
      frame.b = operation.id;
      frame.bytes =
          static_cast<uint32_t>(std::min(kMaxFramePayload, operation.bytes - operation.moved));
      if (link.try_send(frame, operation.input + operation.moved) != Code::kOk) break;
      operation.moved += frame.bytes;
      moved = true;
    }
    if (operation.moved < operation.bytes) {
      work_waits_.store(true, std::memory_order_release);
      ++it;
      continue;
    }
    complete(std::move(*it), Code::kOk, "");
    it = cleared_.erase(it);
  }
  return moved;
}

// --- Receiving

bool Matcher::on_frame(const FrameHeader& frame, const std::byte* payload) {
  if (frame.source >= peers_.size() || !peers_[frame.source]) return false;
  const std::lock_guard lock(mutex_);
  PeerState& state = states_[frame.source];
  switch (frame.kind) {
    case FrameKind::kEager: {
      Unexpected message{static_cast<int>(frame.source), static_cast<int64_t>(frame.a), frame.bytes,
                         true, std::vector<std::byte>(payload, payload + frame.bytes)};
      return deliver(std::move(message));
    }
    case FrameKind::kRts: {
      if (frame.bytes != sizeof(uint64_t) || state.requests >= kMaxRequests) return false;
      Unexpected message{static_cast<int>(frame.source),
                         static_cast<int64_t>(frame.a),
                         frame.c,
                         false,
                         {},
                         frame.b};
      std::memcpy(&message.address, payload, sizeof(message.address));
      return deliver(std::move(message));
    }
    case FrameKind::kEagerCredit:
      if (frame.a == 0 || frame.a > limits_.eager_credit) return false;
      state.eager_credit += static_cast<int64_t>(frame.a);
      if (!state.queue.empty()) work_waits_.store(true, std::memory_order_release);
      return state.eager_credit <= static_cast<int64_t>(limits_.eager_credit);
    case FrameKind::kCts:
      return on_cts(frame);
    default:
      return on_data(frame, payload);
  }
}

bool Matcher::on_data(const FrameHeader& frame, const std::byte* payload) {
  const auto it =
      std::find_if(filling_.begin(), filling_.end(), [&](const Ref<PointToPoint>& operation) {
        return operation->id == frame.b && operation->source_ == static_cast<int>(frame.source);
      });
  if (it == filling_.end()) return true;  // timed out here; the sender does not know yet
  PointToPoint& operation = **it;
  if (frame.bytes > operation.bytes - operation.moved) return false;
  std::memcpy(operation.output + operation.moved, payload, frame.bytes);
  operation.moved += frame.bytes;
  if (operation.moved == operation.bytes) {
    complete(std::move(*it), Code::kOk, "");
    filling_.erase(it);
  }
  return true;
}

bool Matcher::deliver(Unexpected message) {
  const auto it =
      std::find_if(posted_.begin(), posted_.end(), [&](const Ref<PointToPoint>& receive) {
        return receive->tag == message.tag &&
               (receive->peer == kAnySource || receive->peer == message.source);
      });
  if (it != posted_.end()) {
    Ref<PointToPoint> receive = std::move(*it);
    posted_.erase(it);
    match(std::move(receive), message);
    return true;
  }
  if (!message.eager) ++states_[static_cast<size_t>(message.source)].requests;
  unexpected_.push_back(std::move(message));
  return true;
}

bool Matcher::match_unexpected(Ref<PointToPoint>& receive) {
  const auto it =
      std::find_if(unexpected_.begin(), unexpected_.end(), [&](const Unexpected& message) {
        return receive->tag == message.tag &&
               (receive->peer == kAnySource || receive->peer == message.source);
      });
  if (it == unexpected_.end()) return false;
  Unexpected message = std::move(*it);
  unexpected_.erase(it);
  if (!message.eager) --states_[static_cast<size_t>(message.source)].requests;
  match(std::move(receive), message);
  return true;
}

void Matcher::match(Ref<PointToPoint> receive, Unexpected& message) {
  receive->source_ = message.source;
  receive->peer = message.source;
  recorder_.matched(receive->record, message.source);
  const bool fits = receive->bytes == message.bytes;
  if (message.eager) {
    if (fits && message.bytes > 0) std::memcpy(receive->output, message.data.data(), message.bytes);
    return_eager(message.source, message.bytes);
  } else if (!fits) {
    FrameHeader answer = header(FrameKind::kCts);
    answer.a = kOtherSize;
    answer.b = message.id;
    answer.c = receive->bytes;
    control(message.source, answer);
  }
  if (!fits) {
    std::string error =
        describe(*receive, false) +
        strf(": the message that arrived has %zu bytes; both sides must agree", message.bytes);
    complete(std::move(receive), Code::kMismatch, std::move(error));
    return;
  }
  if (message.eager) {
    complete(std::move(receive), Code::kOk, "");
    return;
  }
  receive->id = message.id;
  if (peers_[static_cast<size_t>(message.source)]->single_copy()) {
    receive->state = PointToPoint::State::kPulling;
    receive->address = message.address;
    pulling_.push_back(std::move(receive));
    work_waits_.store(true, std::memory_order_release);
    return;
  }
  FrameHeader answer = header(FrameKind::kCts);
  answer.a = kSendData;
  answer.b = message.id;
  receive->state = PointToPoint::State::kFilling;
  if (receive->bytes == 0) {
    complete(std::move(receive), Code::kOk, "");
  } else {
    filling_.push_back(std::move(receive));
  }
  control(message.source, answer);
}

void Matcher::return_eager(int peer, size_t bytes) {
  PeerState& state = states_[static_cast<size_t>(peer)];
  state.eager_owed += bytes + sizeof(FrameHeader);
  if (state.eager_owed < limits_.eager_credit / 4) return;
  FrameHeader frame = header(FrameKind::kEagerCredit);
  frame.a = state.eager_owed;
  state.eager_owed = 0;
  control(peer, frame);
}

bool Matcher::pull_matched(std::vector<Completion>* finished) {
  Operations pulling;
  {
    const std::lock_guard lock(mutex_);
    pulling.swap(pulling_);
  }
  bool moved = false;
  for (Ref<PointToPoint>& operation : pulling) {
    Peer& peer = *peers_[static_cast<size_t>(operation->source_)];
    const Code code =
        read_peer_memory(peer, operation->address, operation->output, operation->bytes);
    const std::lock_guard lock(mutex_);
    if (code == Code::kPeerDied) {
      // The control channel will say so, and how; that loss ends the operation.
      pulling_.push_back(std::move(operation));
      work_waits_.store(true, std::memory_order_release);
      continue;
    }
    moved = true;
    FrameHeader answer = header(FrameKind::kCts);
    answer.a = code == Code::kOk ? kPulled : kUnreadable;
    answer.b = operation->id;
    answer.c = operation->bytes;
    control(operation->source_, answer);
    std::string error;
    if (code != Code::kOk) {
      error = describe(*operation, false) +
              ": the kernel refused to read the sender's memory; set DISTOS_COLL_SINGLE_COPY=0";
    }
    recorder_.ended(operation->record, operation->peer, code == Code::kOk);
    finished->push_back({Ref<Work>(operation.detach()), code, std::move(error)});
    pending_.fetch_sub(1, std::memory_order_acq_rel);
  }
  return moved;
}

// --- Progress and failure

void Matcher::drain_done(std::vector<Completion>* finished) {
  pending_.fetch_sub(static_cast<int>(done_.size()), std::memory_order_acq_rel);
  std::move(done_.begin(), done_.end(), std::back_inserter(*finished));
  done_.clear();
}

bool Matcher::progress(std::vector<Completion>* finished) {
  if (!work_waits_.exchange(false, std::memory_order_acq_rel)) return false;
  bool moved = pull_matched(finished);
  const std::lock_guard lock(mutex_);
  for (size_t peer = 0; peer < peers_.size(); ++peer) {
    if (!states_[peer].controls.empty()) moved |= push_controls(static_cast<int>(peer));
    if (!states_[peer].queue.empty()) moved |= push_queue(static_cast<int>(peer));
  }
  if (!cleared_.empty()) moved |= push_data();
  moved |= !done_.empty();
  drain_done(finished);
  return moved;
}

template <typename Predicate>
void Matcher::fail_where(Predicate predicate, Code code, const std::string& why,
                         std::vector<Completion>* finished) {
  const std::lock_guard lock(mutex_);
  const auto sweep = [&](auto& operations, bool sends) {
    for (auto it = operations.begin(); it != operations.end();) {
      if (!predicate(**it)) {
        ++it;
        continue;
      }
      std::string error = describe(**it, sends) + ": " + why;
      complete(std::move(*it), code, std::move(error));
      it = operations.erase(it);
    }
  };
  for (PeerState& state : states_) sweep(state.queue, true);
  sweep(requested_, true);
  sweep(cleared_, true);
  sweep(posted_, false);
  sweep(filling_, false);
  sweep(pulling_, false);
  drain_done(finished);
}

void Matcher::fail_all(Code code, const std::string& why, std::vector<Completion>* finished) {
  fail_where([](const PointToPoint&) { return true; }, code, why, finished);
}

bool Matcher::fail_expired(int64_t now, std::vector<Completion>* finished) {
  const auto expired = [now](const PointToPoint& operation) {
    return operation.deadline_ns <= now;
  };
  bool announced = false;
  {
    const std::lock_guard lock(mutex_);
    for (const Operations* sends : {&requested_, &cleared_}) {
      for (const auto& send : *sends) announced |= expired(*send);
    }
  }
  fail_where(expired, Code::kTimeout, "timed out; the other side did not post its half in time",
             finished);
  return announced;
}

void Matcher::fail_rank(int rank, Code code, const std::string& why,
                        std::vector<Completion>* finished) {
  fail_where([rank](const PointToPoint& operation) { return operation.peer == rank; }, code, why,
             finished);
}

bool Matcher::withdraw(PointToPoint* operation, Code code, const std::string& why,
                       std::vector<Completion>* finished) {
  const size_t before = finished->size();
  fail_where([operation](const PointToPoint& other) { return &other == operation; }, code, why,
             finished);
  return finished->size() > before;
}

size_t Matcher::queued_bytes() {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const Unexpected& message : unexpected_) bytes += message.data.size();
  return bytes;
}

}  // namespace distos_coll
