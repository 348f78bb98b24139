// A group of ranks. Set up in three steps (connect, install_plan, ready); afterwards collectives
// run one after the other in the order of their calls, point-to-point messages beside them.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/board.h"
#include "comm/engine.h"
#include "comm/flight_text.h"
#include "comm/inbox.h"
#include "comm/inquiry.h"
#include "comm/matcher.h"
#include "comm/offers.h"
#include "comm/operation.h"
#include "comm/prepared.h"
#include "comm/runtime.h"
#include "comm/store.h"
#include "exec/run.h"
#include "exec/window.h"
#include "program/ir.h"

namespace distos_coll {

class Communicator final : public CommEvents, public std::enable_shared_from_this<Communicator> {
 public:
  // Collective. Links and domains; throws Error naming the ranks that did not come or could not be
  // reached.
  static std::shared_ptr<Communicator> connect(std::shared_ptr<Engine> engine, Store& store,
                                               const CommunicatorOptions& options);
  ~Communicator() override;

  int rank() const { return options_.rank; }
  int size() const { return options_.size; }
  const std::string& name() const { return options_.name; }
  const std::shared_ptr<Engine>& shared_engine() const { return engine_; }
  const std::vector<MemberInfo>& members() const { return members_; }

  // Local. Throws Error(kInvalid) if the plan is malformed or does not fit this communicator.
  void install_plan(const void* data, size_t bytes);
  // Collective: compares plans; afterwards operations may be enqueued.
  void ready(Store& store);
  // Instead of ready(): tells the others that this rank cannot go on, so that they stop at once.
  void give_up(Store& store, const std::string& why);
  // The program that a collective of so many bytes takes.
  const program::Program& choice(Collective collective, int64_t bytes) const;

  // Throws Error for wrong arguments, and then nothing has started; failures later are the work's.
  // A blocking call is finished on return. If `early` is not null it gets a reference before
  // anything can finish, so that a completion callback finds it there.
  Ref<Work> enqueue(const CollectiveCall& call, Work** early = nullptr);
  // A blocking call without a work; `error` is set if it fails.
  Code call(const CollectiveCall& call, std::string* error);
  Ref<Work> send(const void* data, size_t bytes, int dest, int64_t tag, const CallOptions& options,
                 Work** early = nullptr);
  Ref<Work> receive(void* data, size_t bytes, int source, int64_t tag, const CallOptions& options,
                    Work** early = nullptr);
  void monitored_barrier(int64_t timeout_ms, bool wait_all_ranks);

  // Progresses until the work is done or timeout_ms (<= 0: until it is done). False: not done yet.
  bool wait(Work& work, int64_t timeout_ms);
  void set_timeout(int64_t timeout_ms) { timeout_ms_.store(timeout_ms, std::memory_order_relaxed); }
  MemoryUse memory_use();
  int64_t sequence() const { return sequence_.load(std::memory_order_relaxed); }

  // Fails everything in flight here and on the other ranks.
  void abort(const std::string& reason);
  // Lets what is in flight finish (up to the timeout), says goodbye. Idempotent.
  void close();

  // One pass over this communicator's operations; any thread. Returns how much moved.
  // With `finished`, what ended is appended there for a caller that holds a lock; else it is
  // completed here.
  int progress(std::vector<Completion>* finished = nullptr);
  // While there are operations not finished, somebody must call progress().
  bool busy() const;
  // Somebody who waits is progressing it.
  bool attended() const { return attendants_.load(std::memory_order_acquire) > 0; }

  // Compares what the ranks have called, now and then, on the engine's thread.
  void audit(int64_t now);
  FlightGroup flight() const;
  // What the members show each other. Throws Error(kInvalid) for what is too long to be shown.
  Board& board() { return board_; }
  void show(const std::vector<int>& ranks, const std::string& key, const std::string& value);
  // Throws if one of these ranks has died, `needed` has left, or the group is broken.
  void check_members(const std::vector<int>& ranks, int needed);

  // CommEvents
  void on_frame(const FrameHeader& header, const std::byte* payload) override;
  void on_control(uint32_t source, ControlKind kind, const std::string& payload, Fd fd) override;
  void on_peer_lost(const PeerUid& uid, PeerState state, const std::string& why) override;

 private:
  friend class Setup;   // comm/setup.cc
  friend class Shrink;  // comm/shrink.h

  using Completions = std::vector<Completion>;
  Communicator(std::shared_ptr<Engine> engine, const CommunicatorOptions& options);

  void check_usable() const;
  // Counts a call into queued_, or throws because the group was closed.
  void admit(const char* what);
  void number(Operation& operation, int64_t now);
  Ref<Work> start_now_or_queue(Ref<Operation> operation, bool blocking);
  bool run_inline(Operation& operation);
  // The following need run_mutex_.
  Prepared* prepare(const CollectiveCall& call);
  Code run_prepared(Prepared& prepared, const CollectiveCall& call,
                    std::unique_lock<std::mutex>* lock, std::string* error);
  void drive(Operation& operation, Code code, std::string why, std::unique_lock<std::mutex>* lock);
  void bind(Operation& operation, exec::Call* call);
  Code step_current(bool* moved, std::string* why);
  // kAgain: it runs now. Else it could not start, and `why` says so.
  Code begin(Operation& operation, std::string* why);
  Code start_program(Operation& operation, std::string* why);
  Code check_losses(std::string* why);
  // For an operation that does not move: deadlines, and what other ranks say of where they are.
  Code look_around(int64_t now, std::string* why);
  bool differing() const;
  bool look_further_back(int64_t now);
  void ask(int64_t sequence, const std::vector<int>& ranks);
  Code check_broken_link(int rank, Code code, std::string* why);
  int progress_locked(Completions* finished);
  Ref<Operation> next_operation();
  // now: 0 where nobody has looked at the clock.
  void finish_current(Code code, std::string why, int64_t now, Completions* finished);

  int progress_messages(Completions* finished);
  void on_question_or_answer(uint32_t source, ControlKind kind, const std::string& payload);
  void fail_messages_of_lost(Completions* finished);
  // The following two need state_.mutex.
  int fatal_loss(const std::vector<int>& waiting) const;
  Code loss_text(int rank, const std::string& doing, std::string* why) const;
  void complete(Completions* finished);
  void break_down(Code code, const std::string& why, bool tell_others);
  void broke_protocol(uint32_t source, const std::string& sent);
  bool broken() const { return state_.broken.load(std::memory_order_acquire); }
  std::string broken_why() const;
  std::string timeout_text(const Operation& operation) const;
  std::string mismatch_text(const Operation& operation) const;
  std::string calls_text(const Inquiry& inquiry) const;
  std::string absent_text(const Operation& operation) const;
  std::string rank_name(int rank) const;
  int64_t deadline_from(int64_t now, int64_t timeout_ms) const;
  void attend() { attendants_.fetch_add(1, std::memory_order_acq_rel); }
  void leave();
  Ref<Work> start_message(Ref<PointToPoint> operation, bool sends, const CallOptions& options,
                          Work** early);
  void hand_out(Work& work, Work** early);
  bool wait_for(Work& work, int64_t timeout_ms);

  const std::shared_ptr<Engine> engine_;
  Runtime& runtime_;
  const CommunicatorOptions options_;
  std::atomic<int64_t> timeout_ms_;
  uint64_t id_ = 0;

  // Written during set-up only.
  std::vector<std::shared_ptr<Peer>> peers_;  // by rank; own entry null
  std::vector<MemberInfo> members_;
  std::vector<int> domain_ranks_;  // member -> rank, this rank's domain
  std::unique_ptr<exec::Window> window_;
  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<Matcher> matcher_;
  std::unique_ptr<exec::Run> own_run_;
  std::unique_ptr<Offers> offers_;
  program::PlanTable plan_;
  program::Environment environment_;  // what does not change between calls
  int n_domains_ = 1;
  bool registered_ = false, ready_ = false;

  std::mutex run_mutex_;  // current_, run_, prepared_, scratch_
  Ref<Operation> current_;
  exec::Run* run_ = nullptr;  // current_'s
  PreparedCalls prepared_;
  std::vector<std::byte> scratch_;
  std::atomic<size_t> scratch_bytes_{0};  // for those who ask while an operation runs

  Board board_;
  std::atomic<int64_t> shrinks_{0};  // the newest call of shrink() that is known of
  Recorder recorder_;
  Inquiry inquiry_;  // about current_
  Audit audit_;
  std::mutex queue_mutex_;
  std::deque<Ref<Operation>> queue_;
  std::atomic<int> queued_{0};                      // on their way into queue_, in it, or current
  std::atomic<int64_t> sequence_{0}, barriers_{0};  // collectives, monitored barriers so far
  std::atomic<int> attendants_{0};
  std::atomic<bool> closed_{false};

  mutable GroupState state_;
};

}  // namespace distos_coll
