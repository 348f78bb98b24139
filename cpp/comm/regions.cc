#include "comm/regions.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "comm/bytes.h"
#include "core/log.h"

namespace distos_coll {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
LogLimit g_unmapped_log(5);

void ask_for_huge_pages(const Mapping& memory) {
  // A wish: where the system allows none for shared memory, nothing changes.
  if (memory.size() >= kHugePage) madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
}

// Its pages come into being here, near the owner's core, not where a peer happens to write first.
void touch(const Mapping& memory, size_t page) {
#ifdef MADV_POPULATE_WRITE
  if (madvise(memory.data(), memory.size(), MADV_POPULATE_WRITE) == 0) return;
  if (errno != EINVAL) throw_errno(strf("%zu bytes of registered memory", memory.size()), errno);
#endif
  for (size_t at = 0; at < memory.size(); at += page)
    *static_cast<volatile std::byte*>(memory.data() + at) = std::byte{0};
}

// The owner hears nothing, and uses its memory like any other.
void say_unmapped(const Peer& owner, const char* why) {
  int64_t suppressed = 0;
  if (!g_unmapped_log.allow(now_ns(), &suppressed)) return;
  log(LogLevel::kWarn, "registered memory of %s cannot be mapped: %s (%lld more not shown)",
      owner.card().hostname.c_str(), why, static_cast<long long>(suppressed));
}

std::string numbers(std::initializer_list<uint64_t> values) {
  ByteWriter out;
  for (const uint64_t value : values) out.number(value);
  return out.take();
}

}  // namespace

Regions::Regions(Peers peers, size_t idle_bytes, size_t max_of_peer)
    : idle_bytes_(idle_bytes), max_of_peer_(max_of_peer), peers_(std::move(peers)) {}

// --- This process's regions

std::shared_ptr<std::byte> Regions::allocate(size_t bytes) {
  if (bytes < kSmallest || in_forked_child()) return nullptr;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  bytes = (bytes + page - 1) / page * page;
  const auto [id, data] = take(bytes, page);
  return {data, [self = shared_from_this(), id = id](std::byte*) { self->give_back(id); }};
}

// A region for the caller alone.
std::pair<uint64_t, std::byte*> Regions::take(size_t bytes, size_t page) {
  std::vector<std::shared_ptr<Peer>> peers;
  {
    const std::lock_guard lock(mutex_);
    if (peers_) peers = peers_();
    if (const auto kept = reuse(bytes, peers)) return {*kept, own_.at(*kept).memory.data()};
  }
  Fd fd;
  Region region{Mapping::create("distos_coll region", bytes, &fd), {}, {}, true};
  std::byte* const data = region.memory.data();
  // It is the caller's memory, and a child that it forks may look at it.
  if (madvise(data, bytes, MADV_DOFORK) != 0) throw_errno("madvise(MADV_DOFORK)", errno);
  ask_for_huge_pages(region.memory);
  touch(region.memory, page);
  const std::lock_guard lock(mutex_);
  const uint64_t id = ++last_id_;
  if (peers_) tell(region, id, fd, peers);
  by_address_[data] = id;
  own_.emplace(id, std::move(region));
  changes_.fetch_add(1, std::memory_order_release);
  return {id, data};
}

std::optional<uint64_t> Regions::reuse(size_t bytes,
                                       const std::vector<std::shared_ptr<Peer>>& peers) {
  const auto fits = [&](uint64_t idle) {
    const Region& region = own_.at(idle);
    // Not much larger; and nobody has connected since, who would not have it.
    return region.trusted && region.memory.size() >= bytes &&
           region.memory.size() <= bytes + bytes / 8 &&
           std::all_of(peers.begin(), peers.end(), [&](const auto& peer) {
             return std::find(region.told.begin(), region.told.end(), peer) != region.told.end();
           });
  };
  const auto found = std::find_if(idle_.begin(), idle_.end(), fits);
  if (found == idle_.end()) return std::nullopt;
  const uint64_t id = *found;
  idle_now_ -= own_.at(id).memory.size();
  idle_.erase(found);
  return id;
}

void Regions::tell(Region& region, uint64_t id, const Fd& fd,
                   const std::vector<std::shared_ptr<Peer>>& peers) {
  const std::string payload = numbers({id, region.memory.size()});
  for (const auto& peer : peers) {
    // One that has ended since they were listed has had its peer_ended().
    if (peer->state() != PeerState::kAlive) continue;
    try {
      peer->send_control(0, 0, ControlKind::kRegion, payload, fd.get());
      region.told.push_back(peer);
    } catch (const Error& error) {
      log(LogLevel::kWarn, "registered memory is not shared with %s: %s",
          peer->card().hostname.c_str(), error.what());
    }
  }
}

void Regions::give_back(uint64_t id) {
  if (in_forked_child()) return;
  std::vector<Region> dropped;
  const std::lock_guard lock(mutex_);
  const Region& region = own_.at(id);
  const bool keep = peers_ && region.trusted && region.memory.size() <= idle_bytes_;
  if (!keep) {
    dropped.push_back(drop(id));
    return;
  }
  idle_.push_back(id);
  idle_now_ += region.memory.size();
  while (idle_now_ > idle_bytes_) {
    const uint64_t oldest = idle_.front();
    idle_.pop_front();
    idle_now_ -= own_.at(oldest).memory.size();
    dropped.push_back(drop(oldest));
  }
}

Regions::Region Regions::drop(uint64_t id) {
  Region region = std::move(own_.extract(id).mapped());
  if (peers_) {
    for (const auto& peer : region.told)
      peer->send_control(0, 0, ControlKind::kRegionGone, numbers({id}), -1);
  }
  by_address_.erase(region.memory.data());
  changes_.fetch_add(1, std::memory_order_release);
  return region;
}

bool Regions::mapped_by(const Region& region, const std::vector<PeerUid>& processes) const {
  return std::all_of(processes.begin(), processes.end(),
                     [&](const PeerUid& uid) { return region.mapped_by.count(uid) != 0; });
}

Regions::Place Regions::find(const void* data, size_t bytes, const std::vector<PeerUid>& by) const {
  const auto* const at = static_cast<const std::byte*>(data);
  const std::lock_guard lock(mutex_);
  auto found = by_address_.upper_bound(at);
  if (found == by_address_.begin()) return {};
  --found;
  const auto offset = static_cast<size_t>(at - found->first);
  const Region& region = own_.at(found->second);
  const size_t size = region.memory.size();
  if (offset > size || bytes > size - offset || !mapped_by(region, by)) return {};
  return {found->second, offset};
}

bool Regions::any_mapped(const std::vector<PeerUid>& by) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(own_.begin(), own_.end(),
                     [&](const auto& each) { return mapped_by(each.second, by); });
}

void Regions::distrust(const Place& place) {
  const std::lock_guard lock(mutex_);
  const auto found = own_.find(place.region);
  if (found != own_.end()) found->second.trusted = false;
}

size_t Regions::bytes() const {
  const std::lock_guard lock(mutex_);
  size_t total = 0;
  for (const auto& [id, region] : own_) total += region.memory.size();
  return total;
}

// --- The peers'

std::shared_ptr<const Mapping> Regions::of_peer(const PeerUid& peer, uint64_t region) const {
  const std::lock_guard lock(mutex_);
  const auto regions = others_.find(peer);
  if (regions == others_.end()) return nullptr;
  const auto found = regions->second.find(region);
  return found == regions->second.end() ? nullptr : found->second;
}

void Regions::on_control(Peer& peer, ControlKind kind, const std::string& payload, const Fd& fd) {
  ByteReader in(payload.data(), payload.size());
  const auto id = in.number<uint64_t>();
  const uint64_t bytes = kind == ControlKind::kRegion ? in.number<uint64_t>() : 0;
  if (!in.ok() || in.left() != 0) return;
  const PeerUid& uid = peer.card().uid;
  Mapped::node_type gone;
  const std::lock_guard lock(mutex_);
  if (kind == ControlKind::kRegionMapped) {
    const auto found = own_.find(id);
    if (found == own_.end()) return;
    found->second.mapped_by.insert(uid);
    changes_.fetch_add(1, std::memory_order_release);
  } else if (kind == ControlKind::kRegionGone) {
    gone = others_[uid].extract(id);
  } else if (others_[uid].size() >= max_of_peer_) {
    say_unmapped(peer, strf("it has more than %zu regions", max_of_peer_).c_str());
  } else if (fd.valid()) {
    try {
      const auto memory = std::make_shared<const Mapping>(Mapping::attach(fd, bytes));
      ask_for_huge_pages(*memory);
      others_[uid][id] = memory;
      peer.send_control(0, 0, ControlKind::kRegionMapped, numbers({id}), -1);
    } catch (const Error& error) {
      say_unmapped(peer, error.what());
    }
  }
}

void Regions::peer_ended(const PeerUid& peer) {
  decltype(others_)::node_type gone;
  const std::lock_guard lock(mutex_);
  gone = others_.extract(peer);
  for (auto& [id, region] : own_) {
    region.mapped_by.erase(peer);
    std::erase_if(region.told, [&](const auto& each) { return each->card().uid == peer; });
  }
  changes_.fetch_add(1, std::memory_order_release);
}

void Regions::close() {
  decltype(others_) gone;
  std::vector<Region> dropped;
  const std::lock_guard lock(mutex_);
  peers_ = nullptr;
  gone.swap(others_);
  for (auto& [id, region] : own_) {
    region.told.clear();
    region.mapped_by.clear();
  }
  for (const uint64_t id : std::exchange(idle_, {})) dropped.push_back(drop(id));
  idle_now_ = 0;
  changes_.fetch_add(1, std::memory_order_release);
}

}  // namespace distos_coll
