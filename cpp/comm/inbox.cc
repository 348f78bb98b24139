#include "comm/inbox.h"

#include <algorithm>
#include <cstring>

namespace distos_coll {

Inbox::Inbox(uint64_t comm, int rank, std::vector<std::shared_ptr<Peer>> peers, size_t credit)
    : comm_(comm), rank_(rank), peers_(std::move(peers)), credit_(credit) {}

void Inbox::reserve_lanes(int n) {
  const std::lock_guard lock(mutex_);
  lanes_ = n;
  const size_t total = peers_.size() * static_cast<size_t>(n);
  streams_ = std::make_unique<Stream[]>(total);
  for (size_t i = 0; i < total; ++i)
    streams_[i].credit.store(static_cast<int64_t>(credit_), std::memory_order_relaxed);
}

Inbox::Stream* Inbox::stream(uint32_t peer, int lane) {
  if (peer >= peers_.size() || !peers_[peer] || lane >= lanes_) return nullptr;
  return &streams_[peer * static_cast<size_t>(lanes_) + static_cast<size_t>(lane)];
}

Code Inbox::send(int peer, int lane, Signature signature, size_t total, const std::byte* data,
                 size_t bytes, size_t* sent) {
  *sent = 0;
  Stream* to = stream(static_cast<uint32_t>(peer), lane);
  if (to == nullptr) return Code::kInternal;
  Link& link = peers_[static_cast<size_t>(peer)]->link();
  FrameHeader header;
  header.comm = comm_;
  header.source = static_cast<uint32_t>(rank_);
  header.kind = FrameKind::kStream;
  header.lane = static_cast<uint16_t>(lane);
  header.a = total;
  header.c = signature.word();
  while (*sent < bytes) {
    const auto credit = static_cast<size_t>(to->credit.load(std::memory_order_acquire));
    size_t piece = std::min({bytes - *sent, kMaxFramePayload, credit});
    // Only the last piece may have an odd length, so that no element is split between frames.
    if (piece < bytes - *sent) piece &= ~size_t{15};
    if (piece == 0) return Code::kOk;
    header.bytes = static_cast<uint32_t>(piece);
    // Before the frame goes: the receiver may give the credit back before try_send returns.
    to->credit.fetch_sub(static_cast<int64_t>(piece), std::memory_order_relaxed);
    const Code code = link.try_send(header, data + *sent);
    if (code != Code::kOk) {
      to->credit.fetch_add(static_cast<int64_t>(piece), std::memory_order_relaxed);
      return code == Code::kAgain ? Code::kOk : code;
    }
    *sent += piece;
  }
  return Code::kOk;
}

void Inbox::post(int peer, int lane, exec::Sink* sink) {
  Stream* from = stream(static_cast<uint32_t>(peer), lane);
  if (from == nullptr) {
    sink->code = Code::kInternal;
    sink->done.store(true, std::memory_order_release);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (from->last != nullptr) {
    from->last->next = sink;
  } else {
    from->first = sink;
  }
  from->last = sink;
  drain_pending(*from);
  give_back(static_cast<uint32_t>(peer), lane, *from);
}

void Inbox::cancel(int peer, int lane) {
  Stream* from = stream(static_cast<uint32_t>(peer), lane);
  if (from == nullptr) return;
  const std::lock_guard lock(mutex_);
  from->first = from->last = nullptr;
}

size_t Inbox::feed(Stream& stream, const std::byte* data, size_t bytes, Signature signature,
                   size_t total) {
  size_t used = 0;
  while (used < bytes && stream.first != nullptr) {
    exec::Sink& sink = *stream.first;
    const size_t piece = std::min(bytes - used, sink.bytes - sink.received);
    if (!(sink.signature == signature) || sink.bytes != total) {
      sink.code = Code::kMismatch;
      sink.other = signature;
    } else if (sink.src == nullptr) {
      std::memcpy(sink.dst + sink.received, data + used, piece);
    } else {
      const void* sources[2] = {sink.src + sink.received, data + used};
      sink.reduce(sink.dst + sink.received, sources, 2, piece / sink.element_bytes, 1);
    }
    used += piece;
    sink.received += piece;
    if (sink.received == sink.bytes || sink.code != Code::kOk) {
      stream.first = sink.next;
      if (stream.first == nullptr) stream.last = nullptr;
      // The owner may reuse the sink from here on.
      sink.done.store(true, std::memory_order_release);
    }
  }
  return used;
}

void Inbox::drain_pending(Stream& stream) {
  while (!stream.pending.empty() && stream.first != nullptr) {
    Chunk& chunk = stream.pending.front();
    const size_t used = feed(stream, chunk.bytes.data() + chunk.read,
                             chunk.bytes.size() - chunk.read, chunk.signature, chunk.total);
    chunk.read += used;
    stream.pending_bytes -= used;
    stream.owed += used;
    if (chunk.read == chunk.bytes.size()) stream.pending.pop_front();
  }
}

bool Inbox::on_stream(const FrameHeader& header, const std::byte* payload) {
  Stream* from = stream(header.source, header.lane);
  if (from == nullptr) return false;
  const std::lock_guard lock(mutex_);
  const Signature signature(header.c);
  const size_t used =
      from->pending.empty() ? feed(*from, payload, header.bytes, signature, header.a) : 0;
  from->owed += used;
  if (used < header.bytes) {
    const size_t rest = header.bytes - used;
    if (from->pending_bytes + rest > credit_) return false;
    Chunk chunk;
    chunk.bytes.assign(payload + used, payload + header.bytes);
    chunk.signature = signature;
    chunk.total = header.a;
    from->pending.push_back(std::move(chunk));
    from->pending_bytes += rest;
  }
  give_back(header.source, header.lane, *from);
  return true;
}

bool Inbox::on_credit(const FrameHeader& header) {
  Stream* to = stream(header.source, header.lane);
  if (to == nullptr) return false;
  const auto given = static_cast<int64_t>(header.a);
  if (given <= 0 || given > static_cast<int64_t>(credit_)) return false;
  return to->credit.fetch_add(given, std::memory_order_acq_rel) + given <=
         static_cast<int64_t>(credit_);
}

void Inbox::give_back(uint32_t peer, int lane, Stream& stream) {
  // A quarter of the credit at a time: often enough that the sender never stops, seldom enough to
  // cost nothing.
  if (stream.owed < credit_ / 4) return;
  FrameHeader header;
  header.comm = comm_;
  header.source = static_cast<uint32_t>(rank_);
  header.kind = FrameKind::kCredit;
  header.lane = static_cast<uint16_t>(lane);
  header.a = stream.owed;
  const Code code = peers_[peer]->link().try_send(header, nullptr);
  if (code == Code::kOk) stream.owed = 0;
  if (code == Code::kAgain) credit_waits_.store(true, std::memory_order_relaxed);
}

bool Inbox::flush_credit() {
  if (!credit_waits_.exchange(false, std::memory_order_relaxed)) return false;
  const std::lock_guard lock(mutex_);
  for (uint32_t peer = 0; peer < peers_.size(); ++peer) {
    for (int lane = 0; lane < lanes_; ++lane) {
      if (Stream* from = stream(peer, lane); from != nullptr) give_back(peer, lane, *from);
    }
  }
  return true;
}

size_t Inbox::queued_bytes() {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (size_t i = 0; i < peers_.size() * static_cast<size_t>(lanes_); ++i)
    bytes += streams_[i].pending_bytes;
  return bytes;
}

}  // namespace distos_coll
