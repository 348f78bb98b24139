// Communicator: set-up. Every step publishes this rank's part in the store and collects the
// others'; a rank that fails says so there, so that the others stop at once and name it.
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "comm/communicator.h"
#include "comm/interrupt.h"
#include "comm/memory.h"
#include "comm/peer.h"
#include "comm/setup_keys.h"
#include "core/random.h"

namespace distos_coll {

using namespace setup_keys;

namespace {

// How a window reaches the process behind a member.
class PeerNeighbour final : public exec::Neighbour {
 public:
  explicit PeerNeighbour(std::shared_ptr<Peer> peer) : peer_(std::move(peer)) {}
  void ring() override { peer_->ring(); }
  Code read_memory(uint64_t address, void* dst, size_t bytes) override {
    return read_peer_memory(*peer_, address, dst, bytes);
  }

 private:
  std::shared_ptr<Peer> peer_;
};

constexpr std::chrono::milliseconds kSlice(100);

enum Reach : char { kMapped = 1, kSingleCopy = 2 };

}  // namespace

class Setup {
 public:
  Setup(Communicator& communicator, Store& store)
      : c_(communicator),
        store_(store),
        n_(communicator.options_.size),
        rank_(communicator.options_.rank),
        deadline_(deadline_after(communicator.options_.timeout_ms)) {}

  void connect() {
    try {
      exchange_cards();
      establish();
      agree_on_domains();
      share_windows();
    } catch (const Error& error) {
      publish_failure(error.what());
      throw;
    }
  }

  void give_up(const std::string& why) { publish_failure(why); }

  void ready() {
    if (c_.plan_.choices.empty()) {
      const std::string why = "the group has no plan: install one before ready()";
      publish_failure(why);
      throw Error(Code::kInvalid, why);
    }
    std::string mine(reinterpret_cast<const char*>(&c_.plan_.fingerprint),
                     sizeof(c_.plan_.fingerprint));
    publish(kReady, mine);
    std::string differing;
    for (int other = 0; other < n_; ++other) {
      if (other == rank_ || fetch(kReady, other) == mine) continue;
      differing += (differing.empty() ? "" : ", ") + std::to_string(other);
    }
    if (!differing.empty()) {
      throw Error(Code::kMismatch, strf("rank %d of group '%s' plans differently from ranks %s: "
                                        "version, plugins, or plan-affecting settings "
                                        "(DISTOS_COLL_ALGO, DISTOS_COLL_SLOT_BYTES, ...) differ; "
                                        "make them equal on all ranks",
                                        rank_, c_.options_.name.c_str(), differing.c_str()));
    }
    store_.release(kPrefix, n_);
    c_.ready_ = true;
    c_.engine_->enlist(c_.shared_from_this());
    c_.engine_->flight().enlist(&c_);
  }

 private:
  void publish(const char* step, const std::string& value) {
    store_.set(key(step, rank_), kGood + value);
  }

  void publish_failure(const std::string& why) {
    try {
      for (const char* step : {"card", "reach", kReady})
        store_.set(key(step, rank_), kFailed + why);
    } catch (const Error&) {
      // The store is gone; the first failure is the one to report.
    }
  }

  std::string fetch(const char* step, int rank) {
    std::optional<std::string> value;
    // In slices, because a rank that died meanwhile will never write.
    while (!value && now_ns() < deadline_) {
      check_signals();
      const int64_t left_ms = (deadline_ - now_ns()) / 1'000'000;
      value = store_.get(key(step, rank), std::clamp<int64_t>(left_ms, 1, 1000));
      if (!value && !store_.notices_ends()) check_alive(rank);
    }
    if (!value) {
      throw Error(Code::kTimeout,
                  strf("rank %d of group '%s' did not appear within %lld ms (rank %d waited for "
                       "its '%s'); is it "
                       "running, and does it create the same group?",
                       rank, c_.options_.name.c_str(),
                       static_cast<long long>(c_.options_.timeout_ms), rank_, step));
    }
    if (value->empty())
      throw Error(Code::kInvalid, strf("the store holds an empty '%s' of rank %d", step, rank));
    if (value->front() == kFailed) throw_failed(rank, *value);
    return value->substr(1);
  }

  [[noreturn]] void throw_failed(int rank, const std::string& said) {
    throw Error(Code::kAborted, strf("rank %d could not set up group '%s': %s", rank,
                                     c_.options_.name.c_str(), said.substr(1).c_str()));
  }

  void check_signals() {
    if (signals_.interrupted(now_ns())) throw Error(Code::kAborted, "a signal interrupted it");
  }

  void check_alive(int rank) {
    const std::lock_guard lock(c_.state_.mutex);
    const auto& loss = c_.state_.losses[static_cast<size_t>(rank)];
    if (c_.state_.broken_code != Code::kOk)
      throw Error(c_.state_.broken_code, c_.state_.broken_why);
    if (loss.state == PeerState::kAlive) return;
    throw Error(Code::kPeerDied, strf("rank %d ended while group '%s' was set up: %s", rank,
                                      c_.options_.name.c_str(), loss.why.c_str()));
  }

  // Rank 0 names the communicator; everybody says who it is.
  void exchange_cards() {
    std::string id(sizeof(c_.id_), '\0');
    if (rank_ == 0) fill_random(id.data(), id.size());
    publish("card", id + c_.runtime_.card().encode());
    cards_.resize(static_cast<size_t>(n_));
    for (int other = 0; other < n_; ++other) {
      std::string text = other == rank_ ? id + c_.runtime_.card().encode() : fetch("card", other);
      if (text.size() < sizeof(c_.id_))
        throw Error(Code::kInvalid, strf("the card of rank %d is cut off", other));
      if (other == 0) std::memcpy(&c_.id_, text.data(), sizeof(c_.id_));
      const PeerCard& card = cards_[static_cast<size_t>(other)] =
          PeerCard::decode(text.data() + sizeof(c_.id_), text.size() - sizeof(c_.id_));
      if (card.build != c_.runtime_.card().build) {
        throw Error(Code::kMismatch,
                    strf("rank %d of group '%s' (%s) runs distos_coll %s, rank %d runs %s; install "
                         "the same on all ranks",
                         other, c_.options_.name.c_str(), describe_process(card).c_str(),
                         card.build.c_str(), rank_, c_.runtime_.card().build.c_str()));
      }
    }
  }

  void establish() {
    c_.peers_.resize(static_cast<size_t>(n_));
    std::vector<PeerCard> others;
    for (int other = 0; other < n_; ++other) {
      if (other != rank_) others.push_back(cards_[static_cast<size_t>(other)]);
    }
    // A rank that could not reach another says so in the store, and that other must not wait for it
    // until the deadline.
    const auto peers = c_.runtime_.connect(others, deadline_, [&](const auto& missing) {
      check_signals();
      for (int other = 0; other < n_; ++other) {
        const bool waited_for = std::find(missing.begin(), missing.end(),
                                          cards_[static_cast<size_t>(other)].uid) != missing.end();
        if (!waited_for) continue;
        const auto said = store_.get(key("reach", other), 1);
        if (said && !said->empty() && said->front() == kFailed) throw_failed(other, *said);
      }
    });
    for (int other = 0, i = 0; other < n_; ++other) {
      if (other != rank_) c_.peers_[static_cast<size_t>(other)] = peers[static_cast<size_t>(i++)];
    }
    const Settings& settings = c_.runtime_.settings();
    c_.inbox_ = std::make_unique<Inbox>(c_.id_, rank_, c_.peers_, settings.stream_credit);
    c_.matcher_ = std::make_unique<Matcher>(
        c_.id_, rank_, c_.peers_, Matcher::Limits{settings.eager_bytes, settings.eager_credit});
    c_.runtime_.register_comm(c_.id_, &c_);
    c_.registered_ = true;
  }

  // Everybody publishes whom it proved to share memory with. The matrix is the same for all, so all
  // compute the same domains from it: in rank order, each rank joins the first domain whose every
  // member it reaches.
  void agree_on_domains() {
    std::string mine(static_cast<size_t>(n_), '\0');
    for (int other = 0; other < n_; ++other) {
      const auto& peer = c_.peers_[static_cast<size_t>(other)];
      const bool mapped = !peer || peer->mapped();
      const bool single = !peer || peer->single_copy();
      mine[static_cast<size_t>(other)] =
          static_cast<char>((mapped ? kMapped : 0) | (single ? kSingleCopy : 0));
    }
    mine += own_cpus();
    publish("reach", mine);
    std::vector<std::string> reach(static_cast<size_t>(n_));
    for (int other = 0; other < n_; ++other) {
      reach[static_cast<size_t>(other)] = other == rank_ ? mine : fetch("reach", other);
      if (reach[static_cast<size_t>(other)].size() != mine.size()) {
        throw Error(Code::kMismatch, strf("rank %d believes that group '%s' has another number of "
                                          "ranks than %d, as rank %d says; "
                                          "pass the same ranks on every rank",
                                          other, c_.options_.name.c_str(), n_, rank_));
      }
    }
    const auto has = [&](int a, int b, Reach bit) {
      return (reach[static_cast<size_t>(a)][static_cast<size_t>(b)] &
              reach[static_cast<size_t>(b)][static_cast<size_t>(a)] & bit) != 0;
    };
    const int64_t limit = c_.runtime_.settings().domain_limit;
    std::vector<std::vector<int>> domains;
    for (int rank = 0; rank < n_; ++rank) {
      const auto home =
          std::find_if(domains.begin(), domains.end(), [&](const std::vector<int>& domain) {
            if (limit > 0 && static_cast<int64_t>(domain.size()) >= limit) return false;
            return std::all_of(domain.begin(), domain.end(),
                               [&](int member) { return has(rank, member, kMapped); });
          });
      if (home == domains.end()) {
        domains.push_back({rank});
      } else {
        home->push_back(rank);
      }
    }
    record(domains, reach, [&](const std::vector<int>& domain) {
      for (const int a : domain) {
        for (const int b : domain) {
          if (!has(a, b, kSingleCopy)) return false;
        }
      }
      return true;
    });
  }

  // The CPUs that this process may run on, as a bitmap.
  static std::string own_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) CPU_SET(0, &set);
    return std::string(reinterpret_cast<const char*>(&set), sizeof(set));
  }

  // Ranks pinned apart have the sum of their cores, ranks that share a mask have it once.
  int cores_of(const std::vector<int>& domain, const std::vector<std::string>& reach) const {
    cpu_set_t all;
    CPU_ZERO(&all);
    for (const int rank : domain) {
      cpu_set_t one;
      std::memcpy(&one, reach[static_cast<size_t>(rank)].data() + n_, sizeof(one));
      CPU_OR(&all, &all, &one);
    }
    return CPU_COUNT(&all);
  }

  template <typename SingleCopy>
  void record(const std::vector<std::vector<int>>& domains, const std::vector<std::string>& reach,
              SingleCopy single_copy) {
    c_.members_.resize(static_cast<size_t>(n_));
    size_t smallest = static_cast<size_t>(n_);
    for (size_t d = 0; d < domains.size(); ++d) {
      smallest = std::min(smallest, domains[d].size());
      const bool single = single_copy(domains[d]);
      const int cores = cores_of(domains[d], reach);
      for (const int rank : domains[d]) {
        c_.members_[static_cast<size_t>(rank)] = {static_cast<int>(d), domains[d].size() > 1,
                                                  single, cores,
                                                  cards_[static_cast<size_t>(rank)].host()};
        if (rank == rank_) c_.domain_ranks_ = domains[d];
      }
    }
    c_.n_domains_ = static_cast<int>(domains.size());
    local_rank_ =
        static_cast<int>(std::find(c_.domain_ranks_.begin(), c_.domain_ranks_.end(), rank_) -
                         c_.domain_ranks_.begin());
    auto& params = c_.environment_.params;
    using program::Param;
    params[static_cast<int>(Param::kRank)] = rank_;
    params[static_cast<int>(Param::kSize)] = n_;
    params[static_cast<int>(Param::kDomains)] = c_.n_domains_;
    params[static_cast<int>(Param::kDomain)] = c_.members_[static_cast<size_t>(rank_)].domain;
    params[static_cast<int>(Param::kLocalRank)] = local_rank_;
    params[static_cast<int>(Param::kLocalSize)] = static_cast<int64_t>(c_.domain_ranks_.size());
    params[static_cast<int>(Param::kMinLocalSize)] = static_cast<int64_t>(smallest);
  }

  void share_windows() {
    std::vector<std::shared_ptr<exec::Neighbour>> neighbours;
    for (const int rank : c_.domain_ranks_) {
      const auto& peer = c_.peers_[static_cast<size_t>(rank)];
      neighbours.push_back(peer ? std::make_shared<PeerNeighbour>(peer) : nullptr);
    }
    c_.window_ = std::make_unique<exec::Window>(local_rank_, std::move(neighbours),
                                                c_.runtime_.settings().slot_bytes);
    for (const int rank : c_.domain_ranks_) {
      if (rank == rank_) continue;
      c_.peers_[static_cast<size_t>(rank)]->send_control(
          c_.id_, static_cast<uint32_t>(rank_), ControlKind::kWindow, "", c_.window_->fd());
    }
    for (size_t member = 0; member < c_.domain_ranks_.size(); ++member) {
      const int rank = c_.domain_ranks_[member];
      if (rank != rank_) c_.window_->attach(static_cast<int>(member), await_window(rank));
    }
    c_.window_->close_fd();
    std::vector<std::shared_ptr<Peer>> members;
    members.reserve(c_.domain_ranks_.size());
    for (const int rank : c_.domain_ranks_) members.push_back(c_.peers_[static_cast<size_t>(rank)]);
    c_.offers_ = std::make_unique<Offers>(c_.runtime_.regions(), *c_.window_, std::move(members),
                                          c_.environment_, c_.plan_);
    c_.own_run_ = std::make_unique<exec::Run>(c_.window_.get(), c_.inbox_.get(), c_.domain_ranks_);
  }

  Fd await_window(int rank) {
    std::unique_lock lock(c_.state_.mutex);
    auto& window = c_.state_.early_windows[static_cast<size_t>(rank)];
    const auto over = [&] {
      return window.valid() || c_.state_.broken_code != Code::kOk ||
             c_.state_.losses[static_cast<size_t>(rank)].state != PeerState::kAlive;
    };
    // In slices, because of signals.
    while (!c_.state_.window_arrived.wait_for(lock, kSlice, over) && now_ns() < deadline_) {
      lock.unlock();
      check_signals();
      lock.lock();
    }
    if (window.valid()) return std::move(window);
    const auto& loss = c_.state_.losses[static_cast<size_t>(rank)];
    if (c_.state_.broken_code != Code::kOk)
      throw Error(c_.state_.broken_code, c_.state_.broken_why);
    if (loss.state != PeerState::kAlive) {
      throw Error(Code::kPeerDied, strf("rank %d ended while group '%s' was set up: %s", rank,
                                        c_.options_.name.c_str(), loss.why.c_str()));
    }
    throw Error(
        Code::kTimeout,
        strf("rank %d did not share its memory with rank %d in time while group '%s' was set up",
             rank, rank_, c_.options_.name.c_str()));
  }

  Communicator& c_;
  Store& store_;
  const int n_;
  const int rank_;
  const int64_t deadline_;
  InterruptWatch signals_;
  int local_rank_ = 0;
  std::vector<PeerCard> cards_;
};

std::shared_ptr<Communicator> Communicator::connect(std::shared_ptr<Engine> engine, Store& store,
                                                    const CommunicatorOptions& options) {
  if (options.size < 1 || options.rank < 0 || options.rank >= options.size) {
    throw Error(Code::kInvalid, strf("rank %d of %d is not a rank: ranks run from 0 to size - 1",
                                     options.rank, options.size));
  }
  if (in_forked_child()) {
    throw Error(Code::kInvalid,
                "a group cannot be made in a forked child; start the process with spawn, or make "
                "the group before the fork");
  }
  std::shared_ptr<Communicator> communicator(new Communicator(std::move(engine), options));
  Setup(*communicator, store).connect();
  return communicator;
}

void Communicator::ready(Store& store) { Setup(*this, store).ready(); }

void Communicator::give_up(Store& store, const std::string& why) {
  if (!ready_) Setup(*this, store).give_up(why);
}

}  // namespace distos_coll
