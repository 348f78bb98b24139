// The memory that the ranks of a domain map of each other, and the rounds in which they use it
// (docs/decisions/0001).
//
// One rank's window: lines that carry its arrivals, and two rings of slots, small and large. Who
// has arrived in round k + 1 has finished reading round k. So a rank may be kRoundsAhead rounds
// ahead of the last: round k takes line k % kLines. A payload that fits lies in the line and costs
// no second miss; one that does not takes a small slot, and moves to a large one when it outgrows
// that. The large ones go round an area: by the time a place comes round again, its lines have left
// the second-level caches of those who read it, and writing them need not wait for those.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/fd.h"
#include "core/shared_writer.h"
#include "core/signature.h"
#include "core/types.h"
#include "exec/slot_ring.h"

namespace distos_coll::exec {

// What a window needs of the process behind another member.
class Neighbour {
 public:
  virtual ~Neighbour() = default;
  virtual void ring() = 0;  // wakes it if it sleeps
  // Copies out of its private memory; kPeerDied if it is gone.
  virtual Code read_memory(uint64_t address, void* dst, size_t bytes) = 0;
};

inline constexpr size_t kInlineBytes = 32;
// Small slots stay in the first-level caches.
inline constexpr size_t kSmallSlotBytes = 8 << 10;
inline constexpr size_t kSmallRingBytes = 4 * kSmallSlotBytes;
// Enough that one who only sends does not wait for those who share its processor: they take turns
// of many rounds.
inline constexpr uint64_t kLines = SlotRing::kMaxHeld;
inline constexpr uint64_t kRoundsAhead = kLines - 1;

// One writer (the owner), any number of readers. Exactly what one cache miss brings.
struct alignas(64) Arrival {
  std::atomic<uint64_t> round;
  uint64_t signature;
  uint64_t exposed;  // address of the exposed buffer in the owner's memory, and kRegistersBit
  uint64_t slot;     // where the slot begins in the owner's window
  std::byte inline_data[kInlineBytes];
};
static_assert(sizeof(Arrival) == 64);

// No address has it: the owner has registered memory that this domain's members map.
inline constexpr uint64_t kRegistersBit = uint64_t{1} << 63;

class Window {
 public:
  // `neighbours` in member order; the entry of this rank itself is null.
  Window(int local_rank, std::vector<std::shared_ptr<Neighbour>> neighbours, size_t slot_bytes);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  // The descriptor of this rank's memory, to pass to the other members; valid until close_fd().
  int fd() const { return fd_.get(); }
  void close_fd() { fd_.reset(); }
  // Maps a member's memory. Throws Error if it is too small for slots of slot_bytes.
  void attach(int member, Fd fd);

  size_t slot_bytes() const { return slot_bytes_; }
  // This rank's memory, and how much of it was ever written.
  size_t own_bytes() const { return map_bytes(); }
  size_t own_bytes_touched() const;
  int size() const { return static_cast<int>(members_.size()); }

  // Nobody is so far behind that the line of the next round is still read.
  bool can_open();
  void open(Signature signature);
  // False: there is no room until others have gone on; try again.
  bool put(size_t offset, const void* data, size_t bytes);
  void expose(const void* buffer);
  void commit();

  bool arrived(int member) { return reached(member, round_); }
  bool all_arrived() { return all_reached(round_); }
  // What this rank tried last waits for the member.
  bool waits_for(int member) { return !reached(member, awaited_); }
  // What rounds from the next one on say of this rank's memory (comm/offers.h).
  void say_registers(bool registers) { registers_ = registers; }
  // What this rank said in the current round, and whether all did; only after they arrived.
  bool registers_own() const { return registers(local_rank_); }
  bool all_register() const;
  // What the member called in the current round; only after it arrived.
  Signature signature_of(int member) const;

  // A member's slot bytes of the current round; only after it arrived.
  const std::byte* data(int member, size_t offset, size_t bytes) const;
  // Copies from a member's exposed buffer. kPeerDied if the process is gone.
  Code read(int member, size_t offset, void* dst, size_t bytes) const;

 private:
  struct Member {
    std::byte* base = nullptr;
    std::shared_ptr<Neighbour> neighbour;
  };
  // The member has arrived in the round, which is at most this rank's, or in a later one.
  bool reached(int member, uint64_t round) {
    return seen_[static_cast<size_t>(member)] >= round || load_arrival(member, round);
  }
  bool load_arrival(int member, uint64_t round);
  bool all_reached(uint64_t round);
  bool registers(int member) const { return (line(member).exposed & kRegistersBit) != 0; }
  // A member's arrival line of a round; by default of the current one.
  Arrival& line(int member, uint64_t round) const {
    return reinterpret_cast<Arrival*>(members_[static_cast<size_t>(member)].base)[round % kLines];
  }
  Arrival& line(int member) const { return line(member, round_); }
  std::byte* slot(int member) const;
  bool move_to(SlotRing& ring);
  size_t large_slot_bytes() const;
  size_t map_bytes() const;

  int local_rank_;
  size_t slot_bytes_;
  Fd fd_;
  SharedWriter writer_;
  std::vector<Member> members_;
  std::vector<uint64_t> seen_;  // a round each member was seen in
  uint64_t round_ = 0;
  uint64_t awaited_ = 0;
  bool registers_ = false;
  // This rank's payload of the current round: how much of it there is, and the ring that it lies in
  // from slot_at_ on; null: in the line.
  size_t filled_ = 0, slot_at_ = 0;
  SlotRing* ring_ = nullptr;
  SlotRing small_, large_;
};

}  // namespace distos_coll::exec
