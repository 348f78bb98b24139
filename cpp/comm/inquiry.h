// What a rank that waits has heard from those it waits for: questions over the control channel,
// answered by the other side's control thread, whatever its program is doing.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "comm/recorder.h"

namespace distos_coll {

// Where a rank is, as it said.
struct Whereabouts {
  int64_t asked = 0;  // about this collective
  int64_t last = 0;   // the newest it has called
  Recorder::State last_state = Recorder::State::kQueued;
  Signature last_signature;
  Signature asked_signature;  // no word: not called, or forgotten
  int64_t heard_ns = 0;

  bool called_asked() const { return asked_signature.word() != 0; }
  std::string encode() const;
  static std::optional<Whereabouts> decode(const std::string& payload);
};

// The answer to a question about collective `asked`.
Whereabouts whereabouts_of(const Recorder& recorder, int64_t asked);

// What a rank tells its neighbour now and then: its newest collectives.
std::string encode_audit(const Recorder& recorder);
// The first collective that both know and that differs, or whose history does; nothing if none
// does, or if the payload is malformed.
std::optional<int64_t> first_difference(const Recorder& recorder, const std::string& payload);

// "has not called #12; its last is #11, all_reduce of 4 float32, op sum, which has finished".
std::string describe(const Whereabouts& where);

// The questions about one collective of a group. Answers come on the control thread; all else is
// called by whoever runs the group's operation, or audits it.
class Inquiry {
 public:
  explicit Inquiry(int size) : told_(static_cast<size_t>(size)) {}

  // Nothing is known of the others yet.
  void begin(int64_t sequence);
  int64_t sequence() const { return sequence_; }
  // The operation has not moved: is it time to ask those it waits for? Then the next time is later.
  bool due(int64_t now, int64_t deadline);
  // The operation ends with this code (ranks called different things, or its deadline passed) once
  // the others have said where they are.
  void conclude(int64_t now, Code code, std::string why);
  bool concluding() const { return concluded_ns_ != 0; }
  Code code() const { return code_; }
  const std::string& why() const { return why_; }
  // Everybody but `own` has answered, or had the time to.
  bool settled(int64_t now, int own) const;

  void tell(int rank, const Whereabouts& where);
  // What the rank said since the operation began.
  std::optional<Whereabouts> told(int rank) const;
  // A rank that called something else than `own` at this place; -1: none known.
  int differing(Signature own) const;

 private:
  int64_t sequence_ = 0;
  int64_t since_ns_ = 0;  // the first look at the operation
  int64_t next_ns_ = 0;
  int64_t gap_ns_ = 0;
  int64_t concluded_ns_ = 0;
  Code code_ = Code::kOk;
  std::string why_;
  mutable std::mutex mutex_;
  std::vector<Whereabouts> told_;  // by rank; guarded by mutex_
};

// What a rank knows of whether all have called the same so far.
struct Audit {
  explicit Audit(int size) : suspicion(size) {}

  std::mutex mutex;        // below; never with another lock held
  int64_t told = 0;        // the newest collective that the neighbour was told of
  bool news = false;       // `neighbours` has not been compared yet
  std::string neighbours;  // what another rank last said of all that it called
  Inquiry suspicion;       // about a collective that ranks called differently
};

}  // namespace distos_coll
