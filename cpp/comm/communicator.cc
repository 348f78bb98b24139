#include "comm/communicator.h"

#include <algorithm>
#include <cstring>

#include "comm/interrupt.h"
#include "comm/waiter.h"
#include "program/choose.h"

namespace distos_coll {

using program::Array;
using program::Param;

Communicator::Communicator(std::shared_ptr<Engine> engine, const CommunicatorOptions& options)
    : engine_(std::move(engine)),
      runtime_(engine_->runtime()),
      options_(options),
      timeout_ms_(options.timeout_ms),
      prepared_(options.size),
      inquiry_(options.size),
      audit_(options.size),
      state_(options.size) {}

Communicator::~Communicator() {
  if (in_forked_child()) return;
  close();
  // Once more, for a close that came while ready() was under way.
  engine_->flight().delist(this);
}

// --- Plans

void Communicator::install_plan(const void* data, size_t bytes) {
  program::PlanTable plan = program::decode_plan(data, bytes, options_.size);
  int lanes = 1;
  for (const auto& candidate : plan.programs) {
    lanes = std::max(lanes, static_cast<int>(candidate.lanes.size()));
    const bool unmet = (candidate.needs & program::kNeedOneDomain && n_domains_ > 1) ||
                       (candidate.needs & program::kNeedSingleCopy &&
                        !members_[static_cast<size_t>(options_.rank)].single_copy);
    if (unmet) {
      throw Error(
          Code::kInvalid,
          strf("the plan's %s for %s needs what these ranks do not have (one domain, or single "
               "copy); plan again from this group's topology",
               candidate.name.c_str(), name_of(candidate.collective)));
    }
  }
  plan_ = std::move(plan);
  for (int a = 0; a < program::kFirstCallArray; ++a)
    environment_.arrays[a] = plan_.arrays[static_cast<size_t>(a)];
  inbox_->reserve_lanes(lanes);
}

const program::Program& Communicator::choice(Collective collective, int64_t bytes) const {
  if (plan_.choices.empty())
    throw Error(Code::kInvalid, "the group has no plan: install one first");
  return program_of(plan_, program::choose(plan_, program::Rows::kAll, collective, bytes));
}

// --- Calls

int64_t Communicator::deadline_from(int64_t now, int64_t timeout_ms) const {
  return deadline_after(now,
                        timeout_ms > 0 ? timeout_ms : timeout_ms_.load(std::memory_order_relaxed));
}

void Communicator::hand_out(Work& work, Work** early) {
  work.communicator = weak_from_this();
  if (early == nullptr) return;
  work.retain();
  *early = &work;
}

void Communicator::check_usable() const {
  if (in_forked_child()) {
    throw Error(
        Code::kInvalid,
        "this group belongs to the process that this one was forked from; only that one can "
        "use it. Make a group of your own in a process started with spawn");
  }
  if (!ready_) {
    throw Error(Code::kInvalid, "the group is not set up yet: call ready() on every rank first");
  }
}

void Communicator::admit(const char* what) {
  // Counted before the look at closed_, and close() sets that before it counts: a call is either
  // refused here or waited for there.
  queued_.fetch_add(1);
  if (!closed_.load()) return;
  queued_.fetch_sub(1);
  throw Error(Code::kInvalid, strf("%s: the group '%s' was closed", what, options_.name.c_str()));
}

void Communicator::number(Operation& operation, int64_t now) {
  // Numbers and histories go together, or threads that call at once would give ranks different
  // histories of the same calls.
  const std::lock_guard lock(queue_mutex_);
  operation.sequence = sequence_.fetch_add(1, std::memory_order_relaxed) + 1;
  recorder_.queued(operation.sequence, operation.signature(), now);
}

Ref<Work> Communicator::enqueue(const CollectiveCall& call, Work** early) {
  check_usable();
  Ref<Operation> operation(new Operation(call, options_.rank, options_.size));
  admit(name_of(call.collective));
  hand_out(*operation, early);
  const int64_t now = now_ns();
  number(*operation, now);
  if (operation->local()) {
    operation->set_algorithm("local");
    recorder_.running(operation->sequence, "local");
    operation->copy_locally();
    recorder_.ended(operation->sequence, true, now);
    queued_.fetch_sub(1);
    operation->finish(Code::kOk, "");
    return Ref<Work>(operation.detach());
  }
  operation->deadline_ns = deadline_from(now, call.options.timeout_ms);
  return start_now_or_queue(std::move(operation), call.options.blocking);
}

bool Communicator::busy() const {
  return queued_.load() > 0 || (matcher_ && matcher_->pending() > 0);
}

// --- Progress

Code Communicator::begin(Operation& operation, std::string* why) {
  run_ = own_run_.get();
  inquiry_.begin(operation.sequence);
  offers_->say();
  if (!offers_->begin(operation)) return start_program(operation, why);
  operation.set_algorithm(offers_->call().program->name.c_str());
  recorder_.running(operation.sequence, operation.algorithm());
  run_->start(offers_->call());
  return Code::kAgain;
}

Code Communicator::start_program(Operation& operation, std::string* why) try {
  exec::Call call;
  bind(operation, &call);
  call.registered = offers_->buffers();
  offers_->note_program(*call.program);
  scratch_bytes_.store(scratch_.capacity(), std::memory_order_relaxed);
  recorder_.running(operation.sequence, operation.algorithm());
  run_->start(call);
  return Code::kAgain;
} catch (const std::bad_alloc&) {
  *why = operation.describe() + ": there is not enough memory for its temporary copy";
  return Code::kSystem;
}

void Communicator::bind(Operation& operation, exec::Call* call) {
  const auto rows = !offers_->buffers().empty()  ? program::Rows::kRegistered
                    : is_half(operation.dtype()) ? program::Rows::kHalves
                                                 : program::Rows::kAll;
  const program::Choice& row =
      program::choose(plan_, rows, operation.collective(), operation.choice_bytes());
  const program::Program& chosen = program_of(plan_, row);
  // Inside one domain halves are rounded once, whatever the algorithm; between domains when the
  // caller asks.
  const bool widen =
      is_half(operation.dtype()) && chosen.reduces_per_hop && (n_domains_ == 1 || operation.wide());
  operation.bind(chosen, environment_, row.segment_bytes, window_->slot_bytes(), widen, scratch_,
                 call);
}

Code Communicator::step_current(bool* moved, std::string* why) {
  if (broken()) {
    *why = broken_why();
    const std::lock_guard lock(state_.mutex);
    return state_.broken_code;
  }
  if (inquiry_.concluding()) return Code::kAgain;
  const Code code = run_->advance(moved);
  if (code == Code::kOk && offers_->pending()) {
    *moved = true;
    if (!offers_->next()) return start_program(*current_, why);
    run_->start(offers_->call());
    return Code::kAgain;
  }
  if (code == Code::kOk) return code;
  if (code == Code::kAgain) {
    return !*moved && state_.lost.load(std::memory_order_acquire) > 0 ? check_losses(why) : code;
  }
  if (code == Code::kMismatch) {
    if (run_->failed_signature() == run_->signature()) {
      *why = mismatch_text(*current_);
      return code;
    }
    // The others are asked what they called, and look_around() has the last word.
    inquiry_.conclude(now_ns(), code, mismatch_text(*current_));
    ask(current_->sequence, {});
    ask(0, {run_->failed_rank()});
    return Code::kAgain;
  }
  if (run_->failed_rank() >= 0) {
    return check_broken_link(run_->failed_rank(), code, why);
  } else {
    *why = strf("%s: the program %s went out of bounds (%s); please report this",
                current_->describe().c_str(), current_->algorithm(), run_->failed_at().c_str());
  }
  return code;
}

int Communicator::progress(Completions* finished) {
  if (in_forked_child()) return 0;
  Completions own;
  Completions* const out = finished != nullptr ? finished : &own;
  int moved = progress_messages(out);
  if (queued_.load(std::memory_order_acquire) > 0) {
    std::unique_lock lock(run_mutex_, std::try_to_lock);
    if (lock.owns_lock()) moved += progress_locked(out);
  }
  complete(&own);
  return moved;
}

Ref<Operation> Communicator::next_operation() {
  const std::lock_guard lock(queue_mutex_);
  if (queue_.empty()) return {};
  Ref<Operation> next = std::move(queue_.front());
  queue_.pop_front();
  return next;
}

int Communicator::progress_locked(Completions* finished) {
  int total = 0;
  while (true) {
    std::string why;
    Code code = Code::kAgain;
    if (!current_) {
      current_ = next_operation();
      if (!current_) return total;
      code = begin(*current_, &why);
    }
    bool moved = false;
    if (code == Code::kAgain) code = step_current(&moved, &why);
    total += moved ? 1 : 0;
    const int64_t now = now_ns();
    if (code == Code::kAgain) code = look_around(now, &why);
    if (code == Code::kAgain) return total;
    ++total;
    finish_current(code, std::move(why), now, finished);
  }
}

void Communicator::finish_current(Code code, std::string why, int64_t now, Completions* finished) {
  recorder_.ended(current_->sequence, code == Code::kOk, now);
  offers_->release(code == Code::kOk);
  if (code == Code::kOk) {
    current_->unbind();
  } else {
    run_->cancel();
    break_down(code, why, true);
  }
  queued_.fetch_sub(1, std::memory_order_acq_rel);
  finished->push_back({Ref<Work>(current_.detach()), code, std::move(why)});
}

void Communicator::complete(Completions* finished) {
  if (finished->empty()) return;
  for (Completion& completion : *finished)
    completion.work->finish(completion.code, std::move(completion.error));
  finished->clear();
  runtime_.ring_self();
}

// --- Events

void Communicator::on_frame(const FrameHeader& header, const std::byte* payload) {
  bool valid = false;
  switch (header.kind) {
    case FrameKind::kStream:
      valid = inbox_->on_stream(header, payload);
      break;
    case FrameKind::kCredit:
      valid = inbox_->on_credit(header);
      break;
    case FrameKind::kEager:
    case FrameKind::kEagerCredit:
    case FrameKind::kRts:
    case FrameKind::kCts:
    case FrameKind::kData:
      valid = matcher_->on_frame(header, payload);
      break;
  }
  if (!valid)
    broke_protocol(header.source, strf("a frame of kind %d", static_cast<int>(header.kind)));
}

void Communicator::on_control(uint32_t source, ControlKind kind, const std::string& payload,
                              Fd fd) {
  if (source >= static_cast<uint32_t>(options_.size)) return;
  if (kind == ControlKind::kAbort) {
    int32_t code = static_cast<int32_t>(Code::kAborted);
    if (payload.size() < sizeof(code)) return;
    std::memcpy(&code, payload.data(), sizeof(code));
    break_down(static_cast<Code>(code), payload.substr(sizeof(code)), false);
    return;
  }
  if (kind == ControlKind::kShow) {
    if (!put_encoded(board_, payload)) broke_protocol(source, "a key without room or meaning");
    return;
  }
  if (kind >= ControlKind::kAsk) {
    on_question_or_answer(source, kind, payload);
    return;
  }
  {
    const std::lock_guard lock(state_.mutex);
    if (kind == ControlKind::kWindow) {
      state_.early_windows[source] = std::move(fd);
      state_.window_arrived.notify_all();
      return;
    }
    Loss& loss = state_.losses[source];
    if (loss.state != PeerState::kAlive) return;
    loss = {PeerState::kLeft, "it closed the group", now_ns()};
    state_.lost.fetch_add(1, std::memory_order_acq_rel);
    state_.window_arrived.notify_all();
  }
  board_.changed();
  engine_->notify();
}

void Communicator::on_peer_lost(const PeerUid& uid, PeerState state, const std::string& why) {
  bool member = false;
  {
    const std::lock_guard lock(state_.mutex);
    for (size_t rank = 0; rank < peers_.size(); ++rank) {
      if (!peers_[rank] || peers_[rank]->card().uid != uid) continue;
      member = true;
      Loss& loss = state_.losses[rank];
      if (loss.state == PeerState::kAlive) state_.lost.fetch_add(1, std::memory_order_acq_rel);
      if (loss.state != PeerState::kDead) loss = {state, why, now_ns()};
    }
    state_.window_arrived.notify_all();
  }
  if (!member) return;
  board_.changed();
  engine_->notify();
}

void Communicator::abort(const std::string& reason) {
  // After a close the others may still be finishing; one that waits can be cut short.
  if (closed_.load(std::memory_order_acquire) && !busy()) return;
  break_down(Code::kAborted,
             strf("rank %d aborted the group '%s': %s", options_.rank, options_.name.c_str(),
                  reason.c_str()),
             true);
  // Nobody may be progressing what is in flight.
  if (busy()) engine_->activate(shared_from_this());
}

void Communicator::close() {
  if (in_forked_child()) return;
  if (closed_.exchange(true) || !registered_) return;
  board_.changed();
  const int64_t deadline = deadline_from(now_ns(), 0);
  Waiter waiter(runtime_);
  InterruptWatch signals;
  const auto attempt = [&] { return progress() + runtime_.poll_links() > 0; };
  while (busy()) {
    if (attempt()) {
      waiter.reset();
      continue;
    }
    const int64_t now = waiter.time_to_look() ? now_ns() : 0;
    if (now > 0 && signals.interrupted(now)) abort(kInterruptedText);
    if (now >= deadline) {
      break_down(Code::kTimeout,
                 strf("the group '%s' was closed with operations in flight", options_.name.c_str()),
                 true);
    }
    waiter.idle(deadline, attempt);
  }
  for (const auto& peer : peers_) {
    if (peer && peer->state() == PeerState::kAlive) {
      peer->send_control(id_, static_cast<uint32_t>(options_.rank), ControlKind::kClose, "", -1);
    }
  }
  runtime_.unregister_comm(id_);
  engine_->flight().delist(this);
}

}  // namespace distos_coll
