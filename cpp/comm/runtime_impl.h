// The one implementation of Runtime: joins handshakes, liveness, links and communicators.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "comm/handshake.h"
#include "comm/liveness.h"
#include "comm/mailbox.h"
#include "comm/peer.h"
#include "comm/reactor.h"
#include "comm/regions.h"
#include "comm/runtime.h"
#include "comm/table.h"

namespace distos_coll {

class RuntimeImpl final : public Runtime {
 public:
  explicit RuntimeImpl(const Settings& settings);
  ~RuntimeImpl() override;

  const Settings& settings() const override { return settings_; }
  const PeerCard& card() const override { return card_; }
  std::vector<std::shared_ptr<Peer>> connect(const std::vector<PeerCard>& cards,
                                             int64_t deadline_ns,
                                             const WhileWaiting& while_waiting = {}) override;
  void register_comm(uint64_t id, CommEvents* events) override;
  void unregister_comm(uint64_t id) override;
  const std::shared_ptr<Regions>& regions() const override { return regions_; }
  int poll_links() override;
  bool shares_cpu() override;
  void count_peers_here(CpuUse* use) override;
  void ring_self() override;
  void sleep(int64_t timeout_us, const std::function<bool()>& ready) override;
  void shutdown() override;
  std::string describe() const override;

 private:
  // What is known of another process.
  struct Known {
    std::shared_ptr<PeerImpl> peer;  // alive
    PeerState ended = PeerState::kAlive;
    std::string end_why;
    std::string line;                  // describe()'s, once it has ended
    int64_t failures = 0;              // finished attempts to open a connection
    std::vector<std::string> reasons;  // of the last one; for accepted ones, why they failed
  };

  // Any thread
  void check_usable() const;
  // Starts to open what this side of each pair opens; returns how often each failed before.
  std::map<PeerUid, int64_t> start_opening(const std::vector<PeerCard>& cards, int64_t deadline_ns);
  std::string failure_text(const PeerCard& card, bool opens) const;  // needs mutex_
  void report_broken(PeerImpl& peer);
  int poll_tcp(const LinkTable& table, FrameSink& sink);
  bool links_have_frames();

  std::vector<std::shared_ptr<Peer>> mapped_peers();

  // Control thread
  void on_message(PeerImpl& peer, Message message);
  void established(Established parts);
  void peer_ended(const std::shared_ptr<PeerImpl>& peer);
  std::string refusal(const PeerUid& uid);
  void drain(PeerImpl& peer);
  void flush_soon();
  void flush_staged();
  void begin_shutdown();
  void finish_shutdown(int64_t deadline_ns);

  const Settings settings_;
  PeerCard card_;
  std::vector<std::string> rejected_addresses_;
  const std::shared_ptr<Doorbell> bell_;  // links that outlive the runtime still ring it
  Fd tcp_epoll_;                          // all data sockets, for poll_links and sleep
  std::atomic<int64_t> dropped_frames_{0};

  const std::shared_ptr<Reactor> reactor_;  // shared with the peers' wake-up hooks
  // The control thread is about to look for bytes that wait for the wire; shared with the links,
  // which may outlive the runtime.
  const std::shared_ptr<std::atomic<bool>> flush_is_due_;
  TableHolder table_;
  Mailbox mailbox_;
  const std::shared_ptr<Regions> regions_;
  HandshakeContext context_;
  Accepter accepter_;
  Opener opener_;
  Liveness liveness_;
  uint64_t next_data_token_ = 1;
  std::unique_ptr<std::thread> thread_;
  std::atomic<std::thread::id> control_thread_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<PeerUid, Known> known_;  // guarded by mutex_
  bool shut_down_ = false;          // guarded by mutex_
  std::mutex shutdown_mutex_;       // one caller at a time
};

}  // namespace distos_coll
