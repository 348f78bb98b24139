// The memory that the ranks of a domain map of each other, and the rounds in which they use it
// (docs/decisions/0001).
//
// One rank's window: two lines that carry its arrivals, two small slots, and an area for large
// ones. A rank opens round k + 1 only after everyone has arrived in round k, hence finished reading
// round k - 1; so round k takes line and small slot k % 2. A slot that outgrows the small one moves
// to the area, behind the slot that was there last: by the time it comes round again, its lines
// have left the second-level caches of those who read it, and writing them need not wait for those.
// The first bytes of a slot are mirrored in the line, so that a small payload costs no second miss.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/fd.h"
#include "core/shared_writer.h"
#include "core/signature.h"
#include "core/types.h"

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

  // All members have arrived in the current round, so the next one may be opened.
  bool can_open() { return all_arrived(); }
  void open(Signature signature);
  void put(size_t offset, const void* data, size_t bytes);
  void expose(const void* buffer);
  void commit();

  bool arrived(int member) {
    return seen_[static_cast<size_t>(member)] >= round_ || load_arrival(member);
  }
  bool all_arrived();
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
  bool load_arrival(int member);
  bool registers(int member) const { return (line(member).exposed & kRegistersBit) != 0; }
  // A member's arrival line of the current round.
  Arrival& line(int member) const {
    return reinterpret_cast<Arrival*>(members_[static_cast<size_t>(member)].base)[round_ & 1];
  }
  std::byte* slot(int member) const;
  void move_to_area();
  size_t area_slot_bytes() const;
  size_t map_bytes() const;

  int local_rank_;
  size_t slot_bytes_;
  Fd fd_;
  SharedWriter writer_;
  std::vector<Member> members_;
  std::vector<uint64_t> seen_;  // the last round each member was seen in
  uint64_t round_ = 0;
  bool registers_ = false;
  // This rank's slot of the current round, and how much of it is filled.
  size_t slot_at_ = 0, filled_ = 0;
  bool in_area_ = false;
  size_t area_next_ = 0;  // where the last slot in the area ended
};

}  // namespace distos_coll::exec
