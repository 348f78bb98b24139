// Whether an operation runs in registered memory. Where arrays lie is known to their owners only,
// but all ranks of a domain must run the same program; so each offers its buffers in a round of its
// own, and all take the program for registered memory if all offers are good (docs/decisions/0009).
//
// Groups that have no registered memory pay nothing: the round takes place only if all said, in the
// round before, that they have some. Operations that use no round say nothing, so a few of them in
// a row are followed by one that offers in any case.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/operation.h"
#include "comm/regions.h"
#include "exec/run.h"
#include "exec/window.h"
#include "program/ir.h"

namespace distos_coll {

// One such round: all say where an operation's buffers are.
class OfferRound {
 public:
  // As for Offers.
  OfferRound(std::shared_ptr<Regions> regions, std::vector<std::shared_ptr<Peer>> members,
             const program::Environment& fixed);

  // Has to be run between begin() and end().
  const exec::Call& call() const { return call_; }
  // `outputs`: the others write to this rank's output.
  void begin(const Operation& operation, bool outputs);
  void end(const Operation& operation);
  // See Offers.
  std::span<const exec::RegisteredBuffers> buffers() const { return buffers_; }
  void release(bool well);

  const std::vector<PeerUid>& peers() const { return uids_; }

 private:
  struct Offer {
    Regions::Place place[2];  // by Buffer
    // In place of the input's: they are not all registered, so nobody's are used.
    static constexpr uint64_t kVeto = ~uint64_t{0};
    bool vetoes() const { return place[0].region == kVeto; }
  };
  // So that it needs no line of the slot.
  static_assert(sizeof(Offer) <= exec::kInlineBytes);

  const std::shared_ptr<Regions> regions_;
  const std::vector<std::shared_ptr<Peer>> members_;
  std::vector<PeerUid> uids_;  // the peers'
  const program::Program program_;
  exec::Call call_;
  Offer own_;
  std::vector<Offer> all_;
  bool offered_ = false;  // the others may use this rank's buffers
  std::vector<exec::RegisteredBuffers> buffers_;
  std::vector<std::shared_ptr<const Mapping>> held_;
};

// When there is one, and for which operations.
class Offers {
 public:
  // Peers in member order, null for this rank itself. `fixed` is what calls have in common, `plan`
  // the group's, once it has one.
  Offers(std::shared_ptr<Regions> regions, exec::Window& window,
         std::vector<std::shared_ptr<Peer>> members, const program::Environment& fixed,
         const program::PlanTable& plan);

  // What the operation runs if all buffers are registered; null if that makes no difference.
  const program::Program* alternative(const Operation& operation) const;
  // The operation begins. False: it runs as in any memory. True: first, call() has to be run.
  bool begin(const Operation& operation);
  const exec::Call& call() const {
    return stage_ == Stage::kArriving ? arriving_call_ : round_.call();
  }
  bool pending() const { return stage_ != Stage::kDecided; }
  // What call() said has been run. True: there is another one.
  bool next();

  // Once decided: all members' buffers, or nothing if not all are registered. The peers' are mapped
  // until release().
  std::span<const exec::RegisteredBuffers> buffers() const { return round_.buffers(); }

  // What the rounds from here on say of this rank's memory.
  void say();
  // The operation runs this program; or a small one runs that uses the window.
  void note_program(const program::Program& program);
  void note_round() {
    quiet_ = 0;
    say();
  }
  // The operation has ended; if not well, others may still be writing.
  void release(bool well);

 private:
  enum class Stage { kDecided, kArriving, kOffering };

  bool offer();

  const std::shared_ptr<Regions> regions_;
  exec::Window& window_;
  const program::PlanTable& plan_;
  const program::Program arriving_;
  exec::Call arriving_call_;
  OfferRound round_;
  Stage stage_ = Stage::kDecided;
  const Operation* operation_ = nullptr;
  bool outputs_ = false;
  uint64_t seen_changes_ = ~uint64_t{0};
  int64_t quiet_;  // operations since the last round
};

}  // namespace distos_coll
