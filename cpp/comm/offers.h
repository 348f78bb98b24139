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
  const exec::Call& call() const { return call_; }
  bool pending() const { return stage_ != Stage::kDecided; }
  // What call() said has been run. True: there is another one.
  bool next();

  // Once decided: all members' buffers, or nothing if not all are registered. The peers' are mapped
  // until release().
  std::span<const exec::RegisteredBuffers> buffers() const { return buffers_; }

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
  struct Offer {
    Regions::Place place[2];  // by Buffer; the first is kNone if there is nothing to offer
  };
  static constexpr uint64_t kNone = ~uint64_t{0};
  // So that it needs no line of the slot.
  static_assert(sizeof(Offer) <= exec::kInlineBytes);

  bool offer();
  void collect();

  const std::shared_ptr<Regions> regions_;
  exec::Window& window_;
  const std::vector<std::shared_ptr<Peer>> members_;
  const program::PlanTable& plan_;
  std::vector<PeerUid> uids_;  // the peers'
  const program::Program arriving_, offering_;
  exec::Call call_;
  Stage stage_ = Stage::kDecided;
  const Operation* operation_ = nullptr;
  bool outputs_ = false;
  Offer own_;
  std::vector<Offer> all_;
  std::vector<exec::RegisteredBuffers> buffers_;
  std::vector<std::shared_ptr<const Mapping>> held_;
  uint64_t seen_changes_ = ~uint64_t{0};
  int64_t quiet_;  // operations since the last round
};

}  // namespace distos_coll
