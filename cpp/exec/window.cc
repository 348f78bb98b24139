#include "exec/window.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace distos_coll::exec {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLargeOffset = kPage + kSmallRingBytes;
constexpr size_t kLargeSlots = 3;
static_assert(kLines * sizeof(Arrival) <= kPage);

constexpr size_t whole_lines(size_t bytes) {
  return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
}

std::byte* map_shared(int fd, size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED)
    throw_errno(strf("cannot map %zu bytes of shared memory", bytes), errno);
  // A forked DataLoader worker must not keep this memory alive after its parent.
  madvise(memory, bytes, MADV_DONTFORK);
  return static_cast<std::byte*>(memory);
}

}  // namespace

Window::Window(int local_rank, std::vector<std::shared_ptr<Neighbour>> neighbours,
               size_t slot_bytes)
    : local_rank_(local_rank),
      slot_bytes_(slot_bytes),
      members_(neighbours.size()),
      seen_(neighbours.size(), 0),
      small_(kPage, kSmallRingBytes, kSmallSlotBytes),
      large_(kLargeOffset, kLargeSlots * large_slot_bytes(), large_slot_bytes()) {
  for (size_t i = 0; i < neighbours.size(); ++i) members_[i].neighbour = std::move(neighbours[i]);
  fd_ = Fd(memfd_create("distos_coll window", MFD_CLOEXEC));
  if (!fd_.valid()) throw_errno("cannot create shared memory (memfd_create)", errno);
  if (ftruncate(fd_.get(), static_cast<off_t>(map_bytes())) != 0) {
    throw_errno(strf("cannot reserve %zu bytes of shared memory; lower DISTOS_COLL_SLOT_BYTES",
                     map_bytes()),
                errno);
  }
  members_[static_cast<size_t>(local_rank)].base = map_shared(fd_.get(), map_bytes());
}

Window::~Window() {
  if (in_forked_child()) return;  // MADV_DONTFORK: the child has no such mappings
  for (const Member& member : members_) {
    if (member.base != nullptr) munmap(member.base, map_bytes());
  }
}

// Programs count a slot from its start, wherever that is.
size_t Window::large_slot_bytes() const { return whole_lines(slot_bytes_); }

size_t Window::map_bytes() const { return kLargeOffset + kLargeSlots * large_slot_bytes(); }

size_t Window::own_bytes_touched() const {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> there((map_bytes() + page - 1) / page);
  std::byte* own = members_[static_cast<size_t>(local_rank_)].base;
  if (mincore(own, map_bytes(), there.data()) != 0) throw_errno("mincore of a window", errno);
  return page * static_cast<size_t>(std::count_if(there.begin(), there.end(),
                                                  [](unsigned char bits) { return bits & 1; }));
}

void Window::attach(int member, Fd fd) {
  struct stat status{};
  if (fstat(fd.get(), &status) != 0 || static_cast<size_t>(status.st_size) < map_bytes()) {
    throw Error(
        Code::kMismatch,
        strf("member %d's window is %lld bytes, expected %zu: DISTOS_COLL_SLOT_BYTES must be the "
             "same on all ranks",
             member, static_cast<long long>(status.st_size), map_bytes()));
  }
  members_[static_cast<size_t>(member)].base = map_shared(fd.get(), map_bytes());
}

std::byte* Window::slot(int member) const {
  // Whatever the owner wrote there, what is read is a slot of its window.
  const auto at = std::min<uint64_t>(line(member).slot, map_bytes() - large_slot_bytes());
  return members_[static_cast<size_t>(member)].base + at;
}

bool Window::can_open() {
  awaited_ = round_ + 1 - std::min(kRoundsAhead, round_ + 1);
  return all_reached(awaited_);
}

void Window::open(Signature signature) {
  awaited_ = ++round_;
  Arrival& own = line(local_rank_);
  own.signature = signature.word();
  own.exposed = registers_ ? kRegistersBit : 0;
  filled_ = 0;
  ring_ = nullptr;
}

bool Window::put(size_t offset, const void* data, size_t bytes) {
  const size_t end = offset + bytes;
  if (end > kInlineBytes && ring_ != &large_) {
    SlotRing& fits = end > kSmallSlotBytes ? large_ : small_;
    if (ring_ != &fits && !move_to(fits)) return false;
  }
  if (ring_ != nullptr)
    writer_.copy(members_[static_cast<size_t>(local_rank_)].base + slot_at_ + offset, data, bytes);
  filled_ = std::max(filled_, end);
  if (offset < kInlineBytes) {
    std::memcpy(line(local_rank_).inline_data + offset, data,
                std::min(bytes, kInlineBytes - offset));
  }
  return true;
}

bool Window::move_to(SlotRing& ring) {
  size_t at = 0;
  while (!ring.take(round_, &at)) {
    awaited_ = ring.oldest() + 1;
    if (!all_reached(awaited_)) return false;
    ring.release_before(awaited_);
  }
  awaited_ = round_;
  std::byte* own = members_[static_cast<size_t>(local_rank_)].base;
  const std::byte* before = ring_ == nullptr ? line(local_rank_).inline_data : own + slot_at_;
  std::memcpy(own + at, before, filled_);
  if (ring_ != nullptr) ring_->give_back();
  ring_ = &ring;
  slot_at_ = at;
  return true;
}

void Window::expose(const void* buffer) {
  line(local_rank_).exposed |= reinterpret_cast<uint64_t>(buffer);
}

void Window::commit() {
  if (ring_ != nullptr) ring_->cut(filled_);
  line(local_rank_).slot = slot_at_;
  line(local_rank_).round.store(round_, std::memory_order_release);
  seen_[static_cast<size_t>(local_rank_)] = round_;
  for (const Member& member : members_) {
    if (member.neighbour) member.neighbour->ring();
  }
}

// Looks first where one who is half a turn further would have written: then the next look comes
// half a turn later.
bool Window::load_arrival(int member, uint64_t round) {
  uint64_t& seen = seen_[static_cast<size_t>(member)];
  for (const uint64_t at : {round + kLines / 2, round}) {
    if (at > round_) continue;
    seen = std::max(seen, line(member, at).round.load(std::memory_order_acquire));
    if (seen >= round) return true;
  }
  return false;
}

bool Window::all_reached(uint64_t round) {
  for (int member = 0; member < size(); ++member) {
    if (!reached(member, round)) return false;
  }
  return true;
}

bool Window::all_register() const {
  for (int member = 0; member < size(); ++member) {
    if (!registers(member)) return false;
  }
  return true;
}

Signature Window::signature_of(int member) const { return Signature(line(member).signature); }

const std::byte* Window::data(int member, size_t offset, size_t bytes) const {
  if (offset + bytes <= kInlineBytes) return line(member).inline_data + offset;
  return slot(member) + offset;
}

Code Window::read(int member, size_t offset, void* dst, size_t bytes) const {
  const auto address = (line(member).exposed & ~kRegistersBit) + offset;
  if (member == local_rank_) {
    std::memmove(dst, reinterpret_cast<const void*>(address), bytes);
    return Code::kOk;
  }
  return members_[static_cast<size_t>(member)].neighbour->read_memory(address, dst, bytes);
}

}  // namespace distos_coll::exec
