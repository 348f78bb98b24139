// Point to point: send and receive with tags and any-source, over the members' links.
//
// A small message travels at once (eager) while the sender has eager credit at the receiver; any
// other asks first (RTS), and its bytes go straight into the receiver's buffer: pulled out of the
// sender's memory where the pair can do so (single copy), else sent as data frames after a CTS.
// Unexpected bytes are therefore bounded by credit, unexpected requests by kMaxRequests per peer.
//
// Receives match in the order posted, messages of one source in the order sent.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "comm/message_recorder.h"
#include "comm/runtime.h"
#include "comm/work.h"

namespace distos_coll {

inline constexpr int kAnySource = -1;

class PointToPoint final : public Work {
 public:
  const std::byte* input = nullptr;  // sends
  std::byte* output = nullptr;       // receives
  size_t bytes = 0;
  int peer = kAnySource;
  int64_t tag = 0;
  int64_t queued_ns = 0;

 private:
  friend class Matcher;
  enum class State { kQueued, kRequested, kCleared, kPosted, kPulling, kFilling };
  State state = State::kQueued;
  int64_t record = 0;    // its number in the recorder
  uint64_t id = 0;       // of a rendezvous, unique at the sender
  uint64_t address = 0;  // of the sender's buffer, for single copy
  size_t moved = 0;
};

// A finished operation and how it ended; the communicator completes it when it holds no lock.
struct Completion {
  Ref<Work> work;
  Code code;
  std::string error;
};

class Matcher {
 public:
  struct Limits {
    size_t eager_bytes, eager_credit;
  };
  Matcher(uint64_t comm, int rank, std::vector<std::shared_ptr<Peer>> peers, Limits limits);

  void send(Ref<PointToPoint> operation);
  void receive(Ref<PointToPoint> operation);

  // Frames of the point-to-point kinds. False if the peer broke the protocol.
  bool on_frame(const FrameHeader& header, const std::byte* payload);

  // One pass: sends what links and credits allow, pulls, appends what finished. Returns whether
  // anything moved.
  bool progress(std::vector<Completion>* finished);

  // Fails operations: all, those past `now`, or those that need `rank`.
  void fail_all(Code code, const std::string& why, std::vector<Completion>* finished);
  // True if a send was among them whose request the receiver may still answer.
  bool fail_expired(int64_t now, std::vector<Completion>* finished);
  void fail_rank(int rank, Code code, const std::string& why, std::vector<Completion>* finished);
  // Takes one receive or send back, unfinished; false if it has ended already.
  bool withdraw(PointToPoint* operation, Code code, const std::string& why,
                std::vector<Completion>* finished);

  // Operations not finished yet.
  int pending() const { return pending_.load(std::memory_order_acquire); }
  // Of messages that nobody has received yet.
  size_t queued_bytes();
  // The newest messages, finished or not. Takes no lock.
  const MessageRecorder& recorder() const { return recorder_; }

 private:
  static constexpr size_t kMaxRequests = 4096;

  struct Unexpected {
    int source;
    int64_t tag;
    size_t bytes;
    bool eager;
    std::vector<std::byte> data;  // eager
    uint64_t id = 0, address = 0;
  };
  struct PeerState {
    std::deque<Ref<PointToPoint>> queue;  // envelopes not sent yet, in order
    int64_t eager_credit = 0;             // that we may use at the peer
    size_t eager_owed = 0;                // consumed here, not yet given back
    size_t requests = 0;                  // unexpected requests held for the peer
    size_t asked = 0;                  // our requests that it has not answered, withdrawn ones too
    std::deque<FrameHeader> controls;  // CTS and credit refused by a full link
  };
  using Operations = std::list<Ref<PointToPoint>>;

  static std::string describe(const PointToPoint& operation, bool sends);
  FrameHeader header(FrameKind kind) const;
  void control(int peer, const FrameHeader& header);
  bool push_queue(int peer);
  bool push_controls(int peer);
  bool push_data();
  bool pull_matched(std::vector<Completion>* finished);
  void match(Ref<PointToPoint> receive, Unexpected& message);
  bool match_unexpected(Ref<PointToPoint>& receive);
  bool deliver(Unexpected message);
  void return_eager(int peer, size_t bytes);
  void record(PointToPoint& operation, bool sends);
  void complete(Ref<PointToPoint> operation, Code code, std::string error);
  bool on_cts(const FrameHeader& header);
  bool on_data(const FrameHeader& header, const std::byte* payload);
  void drain_done(std::vector<Completion>* finished);
  template <typename Predicate>
  void fail_where(Predicate predicate, Code code, const std::string& why,
                  std::vector<Completion>* finished);

  const uint64_t comm_;
  const int rank_;
  const std::vector<std::shared_ptr<Peer>> peers_;
  const Limits limits_;

  MessageRecorder recorder_;  // written under mutex_

  std::mutex mutex_;
  std::vector<PeerState> states_;
  Operations posted_;     // receives without a message
  Operations requested_;  // sends that wait for a CTS
  Operations cleared_;    // sends whose data frames go out
  Operations filling_;    // receives whose data frames come in
  Operations pulling_;    // receives to be copied out of the sender's memory
  std::list<Unexpected> unexpected_;
  std::vector<Completion> done_;
  std::atomic<int> pending_{0};
  std::atomic<bool> work_waits_{
      false};  // queue, controls, cleared_, pulling_ or done_ may be non-empty
  uint64_t next_id_ = 1;
};

}  // namespace distos_coll
