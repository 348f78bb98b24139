// Communicator: what the caller's own thread does, in a blocking call and in a wait.
#include "comm/communicator.h"
#include "comm/interrupt.h"
#include "comm/waiter.h"
#include "program/choose.h"

namespace distos_coll {
namespace {

// Even when something always moves, clocks and other groups get their turn.
constexpr uint64_t kPassesPerLook = 64;
// The passes over a small operation before anything else is looked at: a few microseconds.
constexpr int kQuickPasses = 200;

}  // namespace

Code Communicator::call(const CollectiveCall& call, std::string* error) {
  check_usable();
  if (std::unique_lock lock(run_mutex_, std::try_to_lock);
      lock.owns_lock() && queued_.load(std::memory_order_acquire) == 0 && !broken()) {
    if (Prepared* prepared = prepare(call)) return run_prepared(*prepared, call, &lock, error);
  }
  const Ref<Work> work = enqueue(call);
  if (work->code() != Code::kOk) *error = work->error();
  return work->code();
}

// Null: it is not a call for this, or not yet.
Prepared* Communicator::prepare(const CollectiveCall& call) {
  PreparedCalls::Place* const place = prepared_.place_of(call);
  if (place == nullptr) return nullptr;
  if (Prepared* there = place->prepared.get()) {
    Operation& same = *there->operation;
    return same.has_vectors_of(call) && same.renew(call.input, call.output) ? there : nullptr;
  }
  Ref<Operation> operation(new Operation(call, options_.rank, options_.size));
  const bool local = operation->local();
  if (!local) {
    const auto rows = is_half(operation->dtype()) ? program::Rows::kHalves : program::Rows::kAll;
    const program::Program& chosen = program_of(
        plan_, program::choose(plan_, rows, operation->collective(), operation->choice_bytes()));
    const bool simple =
        !chosen.uses_streams && chosen.scratch < 0 && offers_->alternative(*operation) == nullptr;
    place->unfit = !simple || operation->choice_bytes() > PreparedCalls::kMaxBytes;
    if (place->unfit) return nullptr;
  }
  // Kept only once it is whole: memory may run out on the way.
  std::unique_ptr<Prepared> made(
      new Prepared{std::move(operation), exec::Run(window_.get(), inbox_.get(), domain_ranks_)});
  if (local) {
    made->operation->set_algorithm("local");
  } else {
    exec::Call bound;
    bind(*made->operation, &bound);
    made->run.start(bound);
  }
  place->prepared = std::move(made);
  return place->prepared.get();
}

Code Communicator::run_prepared(Prepared& prepared, const CollectiveCall& call,
                                std::unique_lock<std::mutex>* lock, std::string* error) {
  Operation& operation = *prepared.operation;
  admit(name_of(call.collective));
  const int64_t now = now_ns();
  number(operation, now);
  recorder_.running(operation.sequence, operation.algorithm());
  Code code = Code::kAgain;
  if (operation.local()) {
    operation.copy_locally();
    code = Code::kOk;
  } else {
    offers_->note_round();
    prepared.run.restart(static_cast<std::byte*>(const_cast<void*>(call.input)),
                         static_cast<std::byte*>(call.output));
    bool moved = false;
    for (int pass = 0; pass < kQuickPasses && code == Code::kAgain; ++pass) {
      code = prepared.run.advance(&moved);
      // Who is waited for may be waiting for this CPU.
      if (code == Code::kAgain && (pass & 15) == 1 && runtime_.shares_cpu()) break;
    }
  }
  if (code == Code::kOk) {
    recorder_.ended(operation.sequence, true, 0);
    if (queued_.fetch_sub(1, std::memory_order_acq_rel) > 1) runtime_.ring_self();
    return code;
  }
  // Without the lock another call may take this one's place.
  const Ref<Operation> kept = prepared.operation;
  operation.deadline_ns = deadline_from(now, call.options.timeout_ms);
  inquiry_.begin(operation.sequence);
  run_ = &prepared.run;
  operation.retain();
  current_ = Ref<Operation>(&operation);
  drive(operation, Code::kAgain, "", lock);
  if (operation.code() != Code::kOk) *error = operation.error();
  return operation.code();
}

Ref<Work> Communicator::start_now_or_queue(Ref<Operation> operation, bool blocking) {
  if (blocking && run_inline(*operation)) return Ref<Work>(operation.detach());
  {
    const std::lock_guard lock(queue_mutex_);
    queue_.push_back(operation);
  }
  engine_->activate(shared_from_this());
  if (blocking) wait(*operation, 0);
  return Ref<Work>(operation.detach());
}

bool Communicator::run_inline(Operation& operation) {
  std::unique_lock lock(run_mutex_, std::try_to_lock);
  // Whatever was called before runs first; one of those counted is this call.
  if (!lock.owns_lock() || queued_.load(std::memory_order_acquire) > 1) return false;
  operation.retain();
  current_ = Ref<Operation>(&operation);
  std::string why;
  const Code code = begin(operation, &why);
  drive(operation, code, std::move(why), &lock);
  return true;
}

// From wherever it is to its end; gives up the lock.
void Communicator::drive(Operation& operation, Code code, std::string why,
                         std::unique_lock<std::mutex>* lock) {
  Completions finished;
  attend();
  Waiter waiter(runtime_);
  InterruptWatch signals;
  const auto attempt = [&] {
    bool moved = false;
    code = step_current(&moved, &why);
    if (code == Code::kAgain && operation.uses_streams()) moved |= runtime_.poll_links() > 0;
    moved |= progress_messages(&finished) > 0;
    return moved || code != Code::kAgain;
  };
  // What others wait for must be told at once, with no lock held; then this operation goes on like
  // any other that is waited for.
  for (uint64_t pass = 1; code == Code::kAgain && finished.empty(); ++pass) {
    const bool moved = attempt();
    if (code != Code::kAgain) break;
    if (waiter.time_to_look() || pass % kPassesPerLook == 0) {
      engine_->pass(this, &finished);
      const int64_t now = now_ns();
      if (signals.interrupted(now)) abort(kInterruptedText);
      code = look_around(now, &why);
      if (code != Code::kAgain) break;
    }
    if (moved) {
      waiter.reset();
    } else {
      waiter.idle(operation.deadline_ns, attempt);
    }
  }
  if (code != Code::kAgain) finish_current(code, std::move(why), 0, &finished);
  lock->unlock();
  complete(&finished);
  if (code == Code::kAgain) wait(operation, 0);
  leave();
  // Whoever is told of a failure finds the flight record written.
  if (operation.code() != Code::kOk) engine_->flight().settle();
}

bool Communicator::wait(Work& work, int64_t timeout_ms) {
  const bool in_time = work.done() || wait_for(work, timeout_ms);
  // Whoever is told of a failure finds the flight record written.
  if (work.done() && work.code() != Code::kOk) engine_->flight().settle();
  return in_time;
}

bool Communicator::wait_for(Work& work, int64_t timeout_ms) {
  const int64_t deadline = timeout_ms > 0 ? deadline_after(timeout_ms) : 0;
  attend();
  Waiter waiter(runtime_);
  InterruptWatch signals;
  const auto attempt = [&] {
    const int moved = progress() + runtime_.poll_links();
    return moved > 0 || work.done();
  };
  bool in_time = true;
  for (uint64_t pass = 1; !work.done(); ++pass) {
    const bool moved = attempt();
    if (waiter.time_to_look() || pass % kPassesPerLook == 0) {
      Completions finished;
      engine_->pass(this, &finished);
      complete(&finished);
      const int64_t now = now_ns();
      if (signals.interrupted(now)) abort(kInterruptedText);
      if (deadline > 0 && now >= deadline) {
        in_time = work.done();
        break;
      }
    }
    if (moved) {
      waiter.reset();
    } else {
      waiter.idle(deadline, attempt);
    }
  }
  leave();
  return in_time;
}

void Communicator::leave() {
  if (attendants_.fetch_sub(1, std::memory_order_acq_rel) == 1 && busy())
    engine_->activate(shared_from_this());
}

}  // namespace distos_coll
