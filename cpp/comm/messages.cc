// Communicator: point to point, and the monitored barrier that is built on it.
#include <algorithm>
#include <array>
#include <cstring>

#include "comm/communicator.h"

namespace distos_coll {
namespace {

// Tags that no caller can use: torch's are non-negative. Each barrier has its own pair, so that one
// who comes late to a failed barrier is not taken for one who came early to the next.
constexpr int64_t kFirstTag = INT64_MIN;
using Verdict = std::array<char, 1024>;

// The ranks whose message has not come by the deadline; one of them is enough, unless `all`.
std::vector<int> absent_ranks(Communicator& group, const std::vector<Ref<Work>>& arrivals,
                              int64_t deadline, bool all) {
  std::vector<int> absent;
  for (size_t rank = 0; rank < arrivals.size(); ++rank) {
    if (!arrivals[rank]) continue;
    const int64_t left_ms = (deadline - now_ns()) / 1'000'000;
    const bool came = group.wait(*arrivals[rank], std::max<int64_t>(left_ms, 1)) &&
                      arrivals[rank]->code() == Code::kOk;
    if (came) continue;
    absent.push_back(static_cast<int>(rank));
    if (!all) break;
  }
  return absent;
}

}  // namespace

Ref<Work> Communicator::start_message(Ref<PointToPoint> operation, bool sends,
                                      const CallOptions& options, Work** early) {
  check_usable();
  const char* const what = sends ? "send" : "recv";
  if (operation->bytes > 0 &&
      (sends ? static_cast<const void*>(operation->input) : operation->output) == nullptr) {
    throw Error(Code::kInvalid, strf("%s: the buffer is missing", what));
  }
  admit(what);
  operation->queued_ns = now_ns();
  operation->deadline_ns = deadline_from(operation->queued_ns, options.timeout_ms);
  operation->set_callback(options.on_done, options.on_done_ctx);
  Ref<Work> work(operation.get());
  work->retain();
  hand_out(*work, early);
  if (broken()) {
    queued_.fetch_sub(1);
    Code code;
    {
      const std::lock_guard lock(state_.mutex);
      code = state_.broken_code;
    }
    work->finish(code, broken_why());
    return work;
  }
  if (sends) {
    matcher_->send(std::move(operation));
  } else {
    matcher_->receive(std::move(operation));
  }
  queued_.fetch_sub(1);  // from here on the matcher counts it
  progress();
  if (work->done()) return work;
  if (options.blocking) {
    wait(*work, 0);
  } else {
    engine_->activate(shared_from_this());
  }
  return work;
}

int Communicator::progress_messages(Completions* finished) {
  if (inbox_ == nullptr) return 0;
  int moved = inbox_->flush_credit() ? 1 : 0;
  if (matcher_->pending() == 0) return moved;
  const size_t before = finished->size();
  moved += matcher_->progress(finished) ? 1 : 0;
  if (moved == 0 && broken()) {
    matcher_->fail_all(state_.broken_code, broken_why(), finished);
  } else if (moved == 0) {
    if (matcher_->fail_expired(now_ns(), finished)) {
      break_down(
          Code::kTimeout,
          strf("a send of rank %d timed out after it was announced; its receiver may still read "
               "the buffer, so the group '%s' cannot go on",
               options_.rank, options_.name.c_str()),
          true);
    }
    if (state_.lost.load(std::memory_order_acquire) > 0) fail_messages_of_lost(finished);
  }
  const bool failed =
      std::any_of(finished->begin() + static_cast<std::ptrdiff_t>(before), finished->end(),
                  [](const Completion& completion) { return completion.code != Code::kOk; });
  if (failed && !broken())
    engine_->flight().ask(strf("a message failed in group '%s'", options_.name.c_str()));
  return moved > 0 ? moved : static_cast<int>(finished->size() - before);
}

Ref<Work> Communicator::send(const void* data, size_t bytes, int dest, int64_t tag,
                             const CallOptions& options, Work** early) {
  if (dest < 0 || dest >= size() || dest == rank()) {
    throw Error(Code::kInvalid,
                strf("send: destination %d is not another rank of the group of %d", dest, size()));
  }
  Ref<PointToPoint> operation(new PointToPoint);
  operation->input = static_cast<const std::byte*>(data);
  operation->bytes = bytes;
  operation->peer = dest;
  operation->tag = tag;
  return start_message(std::move(operation), true, options, early);
}

Ref<Work> Communicator::receive(void* data, size_t bytes, int source, int64_t tag,
                                const CallOptions& options, Work** early) {
  if (source != kAnySource && (source < 0 || source >= size() || source == rank())) {
    throw Error(Code::kInvalid,
                strf("recv: source %d is not another rank of the group of %d", source, size()));
  }
  Ref<PointToPoint> operation(new PointToPoint);
  operation->output = static_cast<std::byte*>(data);
  operation->bytes = bytes;
  operation->peer = source;
  operation->tag = tag;
  return start_message(std::move(operation), false, options, early);
}

void Communicator::monitored_barrier(int64_t timeout_ms, bool wait_all_ranks) {
  check_usable();
  if (timeout_ms <= 0) timeout_ms = timeout_ms_.load(std::memory_order_relaxed);
  const int64_t deadline = deadline_after(timeout_ms);
  const int64_t arrive_tag = kFirstTag + 2 * barriers_.fetch_add(1, std::memory_order_relaxed);
  const int64_t verdict_tag = arrive_tag + 1;
  std::byte token{1};
  if (rank() != 0) {
    Verdict verdict{};
    // The verdict may take rank 0 as long as the slowest rank, so this side waits a little longer
    // before it gives up.
    CallOptions options;
    options.timeout_ms = timeout_ms + std::max<int64_t>(timeout_ms / 10, 500);
    Ref<Work> sent = send(&token, 1, 0, arrive_tag, options);
    Ref<Work> answer = receive(verdict.data(), verdict.size(), 0, verdict_tag, options);
    wait(*sent, 0);
    wait(*answer, 0);
    if (answer->code() != Code::kOk) {
      throw Error(answer->code(),
                  strf("monitored_barrier on rank %d: rank 0 did not answer within %lld ms: ",
                       rank(), static_cast<long long>(timeout_ms)) +
                      answer->error());
    }
    verdict.back() = '\0';
    if (verdict.front() != '\0') throw Error(Code::kTimeout, verdict.data());
    return;
  }
  std::vector<Ref<Work>> arrivals(static_cast<size_t>(size()));
  std::vector<std::byte> tokens(static_cast<size_t>(size()));
  CallOptions options;
  options.timeout_ms = timeout_ms;
  for (int other = 1; other < size(); ++other) {
    arrivals[static_cast<size_t>(other)] =
        receive(&tokens[static_cast<size_t>(other)], 1, other, arrive_tag, options);
  }
  const std::vector<int> absent = absent_ranks(*this, arrivals, deadline, wait_all_ranks);
  std::string text;
  if (!absent.empty()) {
    for (const int other : absent) text += (text.empty() ? "" : ", ") + rank_name(other);
    text += strf(" failed to pass monitored_barrier of group '%s' in %lld ms",
                 options_.name.c_str(), static_cast<long long>(timeout_ms));
  }
  // The receives point into this frame: none may stay posted.
  Completions withdrawn;
  for (const auto& arrival : arrivals) {
    if (arrival && !arrival->done()) {
      matcher_->withdraw(static_cast<PointToPoint*>(arrival.get()), Code::kTimeout,
                         "monitored_barrier gave up", &withdrawn);
    }
  }
  complete(&withdrawn);
  // One that could not be taken back is being finished by another thread.
  for (const auto& arrival : arrivals) {
    if (arrival) wait(*arrival, 0);
  }
  Verdict verdict{};
  std::memcpy(verdict.data(), text.data(), std::min(text.size(), verdict.size() - 1));
  std::vector<Ref<Work>> answers;
  for (int other = 1; other < size(); ++other) {
    if (std::find(absent.begin(), absent.end(), other) != absent.end()) continue;
    if (arrivals[static_cast<size_t>(other)]->code() != Code::kOk) continue;
    answers.push_back(send(verdict.data(), verdict.size(), other, verdict_tag, options));
  }
  for (const auto& answer : answers) wait(*answer, 0);
  if (!text.empty()) throw Error(Code::kTimeout, text);
}

}  // namespace distos_coll
