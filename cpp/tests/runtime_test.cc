#include "comm/runtime.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "comm/liveness.h"
#include "tests/runtimes.h"

namespace distos_coll {
namespace {

using namespace testing;

class RuntimeOver : public ::testing::TestWithParam<const char*> {
 protected:
  bool shm() const { return std::string(GetParam()) == "shm"; }
  std::vector<std::shared_ptr<Runtime>> make(int n) const {
    std::vector<std::shared_ptr<Runtime>> out;
    for (int i = 0; i < n; ++i) {
      Settings settings = shm() ? shm_only() : tcp_only();
      settings.ring_bytes = 1;  // the smallest possible
      if (std::string(GetParam()) == "tcp_of_three_sockets") settings.sockets_per_peer = 3;
      out.push_back(Runtime::create(settings));
    }
    return out;
  }
};

// Every ordered pair exchanges checked frames, in threads that progress and sleep as communicators
// do.
TEST_P(RuntimeOver, FramesBothWaysBetweenAll) {
  constexpr int kRanks = 3;
  constexpr uint64_t kFrames = 400;
  const auto runtimes = make(kRanks);
  const PeerMatrix peers = connect_all(runtimes);
  std::vector<std::thread> ranks;
  std::atomic<int> finished{0};
  for (int me = 0; me < kRanks; ++me) {
    ranks.emplace_back([&, me] {
      // Frames of one source arrive in order; sources are told apart by the communicator id here.
      std::vector<std::unique_ptr<CheckingSink>> sinks;
      std::vector<std::unique_ptr<RecordingComm>> comms;
      for (int from = 0; from < kRanks; ++from) {
        sinks.push_back(std::make_unique<CheckingSink>(from * 10 + me, 100 + from));
        comms.push_back(std::make_unique<RecordingComm>());
        comms.back()->frame_hook = [&, from](const FrameHeader& h, const std::byte* p) {
          sinks[from]->on_frame(h, p);
        };
        runtimes[me]->register_comm(100 + from, comms.back().get());
      }
      finished.fetch_add(1);
      while (finished.load() < kRanks) std::this_thread::yield();
      std::vector<uint64_t> sent(kRanks);
      const auto all = [&] {
        for (int other = 0; other < kRanks; ++other) {
          if (other != me && (sent[other] < kFrames || sinks[other]->received() < kFrames))
            return false;
        }
        return true;
      };
      const int64_t give_up = now_ns() + kPatienceNs;
      while (!all() && now_ns() < give_up) {
        bool moved = runtimes[me]->poll_links() > 0;
        for (int other = 0; other < kRanks; ++other) {
          if (other == me || sent[other] == kFrames) continue;
          const TestFrame frame(me * 10 + other, sent[other], 100 + me);
          if (peers[me][other]->link().try_send(frame.header, frame.payload.data()) != Code::kOk)
            continue;
          ++sent[other];
          moved = true;
        }
        if (!moved) runtimes[me]->sleep(50'000, [] { return false; });
      }
      EXPECT_TRUE(all());
      finished.fetch_add(1);
      // Others may still wait for bytes that only this rank's passes push out.
      EXPECT_TRUE(run_until(*runtimes[me], [&] { return finished.load() == 2 * kRanks; }));
      for (int from = 0; from < kRanks; ++from) runtimes[me]->unregister_comm(100 + from);
    });
  }
  for (std::thread& each : ranks) each.join();
}

TEST_P(RuntimeOver, PeersAreWhatTheHandshakeProved) {
  const auto runtimes = make(2);
  const PeerMatrix peers = connect_all(runtimes);
  for (int me = 0; me < 2; ++me) {
    const Peer& other = *peers[me][1 - me];
    EXPECT_EQ(peers[me][me], nullptr);
    EXPECT_EQ(other.card().uid, runtimes[1 - me]->card().uid);
    EXPECT_EQ(other.mapped(), shm());
    EXPECT_EQ(other.single_copy(), shm());
    EXPECT_EQ(other.pid(), shm() ? getpid() : -1);
    EXPECT_EQ(other.state(), PeerState::kAlive);
    const std::string text = runtimes[me]->describe();
    EXPECT_NE(text.find(shm() ? ": shm over unix socket" : ": tcp over"), std::string::npos)
        << text;
  }
}

TEST_P(RuntimeOver, ConcurrentConnectsShareTheLinks) {
  const auto runtimes = make(6);
  const std::vector<PeerCard> cards = cards_of(runtimes);
  std::mutex mutex;
  std::map<std::pair<int, PeerUid>, std::set<Peer*>> seen;
  std::vector<std::thread> threads;
  for (int r = 0; r < 6; ++r) {
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, r, t] {
        // Overlapping sets, the same for thread t of each runtime: all, or those two away.
        std::vector<PeerCard> some;
        for (int other = 0; other < 6; ++other) {
          if (t % 2 == 0 || (other - r) % 2 == 0) some.push_back(cards[static_cast<size_t>(other)]);
        }
        const auto peers = runtimes[static_cast<size_t>(r)]->connect(some, now_ns() + kPatienceNs);
        const std::lock_guard lock(mutex);
        for (size_t i = 0; i < some.size(); ++i) {
          if (peers[i]) seen[{r, some[i].uid}].insert(peers[i].get());
        }
      });
    }
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(seen.size(), 30U);
  for (const auto& [key, peers] : seen) EXPECT_EQ(peers.size(), 1U);
}

TEST_P(RuntimeOver, ControlMessagesKeepTheirOrder) {
  const auto runtimes = make(2);
  const PeerMatrix peers = connect_all(runtimes);
  RecordingComm comm;
  runtimes[1]->register_comm(5, &comm);
  constexpr size_t kMessages = 2000;
  for (size_t i = 0; i < kMessages; ++i) {
    peers[0][1]->send_control(5, 3, ControlKind::kAbort,
                              std::to_string(i) + std::string(i % 700, '.'), -1);
  }
  ASSERT_TRUE(run_until(*runtimes[1], [&] { return comm.n_controls() == kMessages; }));
  const auto controls = comm.take_controls();
  for (size_t i = 0; i < kMessages; ++i) {
    ASSERT_EQ(controls[i].payload, std::to_string(i) + std::string(i % 700, '.'));
    ASSERT_EQ(controls[i].source, 3U);
    ASSERT_EQ(controls[i].kind, ControlKind::kAbort);
  }
  runtimes[1]->unregister_comm(5);
}

// A group's close must not arrive before the group's last frames, though they take different
// connections.
TEST_P(RuntimeOver, ControlMessagesDoNotOvertakeFrames) {
  const auto runtimes = make(2);
  const PeerMatrix peers = connect_all(runtimes);
  RecordingComm comm;
  runtimes[1]->register_comm(5, &comm);
  constexpr int kRounds = 40;
  std::vector<std::byte> payload(kMaxFramePayload);
  FrameHeader header;
  header.comm = 5;
  header.bytes = kMaxFramePayload;
  int64_t sent = 0;
  for (int round = 0; round < kRounds; ++round) {
    // As much as the link takes, so that something is always under way.
    while (peers[0][1]->link().try_send(header, payload.data()) == Code::kOk) ++sent;
    peers[0][1]->send_control(5, 0, ControlKind::kClose, std::to_string(sent), -1);
    // The frames seen so far, when the message is there: nobody polls but the control thread.
    const size_t want = static_cast<size_t>(round) + 1;
    const int64_t give_up = now_ns() + kPatienceNs;
    while (comm.n_controls() < want && now_ns() < give_up) {
      runtimes[0]->poll_links();
      std::this_thread::yield();
    }
    ASSERT_EQ(comm.n_controls(), want);
    ASSERT_EQ(comm.frames.load(), sent);
  }
  peers[0][1]->send_control(5, 0, ControlKind::kAbort, "", -1);
  ASSERT_TRUE(run_until(*runtimes[1], [&] { return comm.n_controls() == kRounds + 1U; }));
  runtimes[1]->unregister_comm(5);
}

TEST_P(RuntimeOver, EarlyMessagesWaitForRegistration) {
  const auto runtimes = make(2);
  const PeerMatrix peers = connect_all(runtimes);
  RecordingComm first, second;
  runtimes[1]->register_comm(1, &first);
  for (int i = 0; i < 5; ++i)
    peers[0][1]->send_control(2, 0, ControlKind::kClose, std::to_string(i), -1);
  // Messages keep their order across groups, so when this one is here, the early ones are too.
  peers[0][1]->send_control(1, 0, ControlKind::kClose, "", -1);
  ASSERT_TRUE(run_until(*runtimes[1], [&] { return first.n_controls() == 1; }));
  runtimes[1]->register_comm(2, &second);
  for (int i = 5; i < 10; ++i)
    peers[0][1]->send_control(2, 0, ControlKind::kClose, std::to_string(i), -1);
  ASSERT_TRUE(run_until(*runtimes[1], [&] { return second.n_controls() == 10; }));
  const auto controls = second.take_controls();
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(controls[static_cast<size_t>(i)].payload, std::to_string(i));
  // A group that has been closed hears nothing more, even if its id is used again.
  runtimes[1]->unregister_comm(2);
  runtimes[1]->unregister_comm(1);
}

TEST_P(RuntimeOver, GoodbyeIsALeaveAndNothingSentBeforeIsLost) {
  const auto runtimes = make(2);
  const PeerMatrix peers = connect_all(runtimes);
  RecordingComm comm;
  CheckingSink sink(9, 4);
  comm.frame_hook = [&](const FrameHeader& h, const std::byte* p) { sink.on_frame(h, p); };
  runtimes[1]->register_comm(4, &comm);
  uint64_t sent = 0;
  for (;; ++sent) {
    const TestFrame frame(9, sent, 4);
    if (peers[0][1]->link().try_send(frame.header, frame.payload.data()) != Code::kOk) break;
  }
  peers[0][1]->send_control(4, 0, ControlKind::kClose, "last words", -1);
  ASSERT_GT(sent, 0U);
  // The receiver has not polled once: shutdown() must bring everything across by itself.
  runtimes[0]->shutdown();
  ASSERT_TRUE(run_until(*runtimes[1], [&] { return comm.n_losses() == 1; }));
  EXPECT_EQ(sink.received(), sent);
  EXPECT_EQ(comm.n_controls(), 1U);
  EXPECT_EQ(comm.losses()[0].state, PeerState::kLeft);
  EXPECT_EQ(comm.losses()[0].uid, runtimes[0]->card().uid);
  EXPECT_EQ(peers[1][0]->state(), PeerState::kLeft);
  const TestFrame late(1, 1, 4);
  EXPECT_EQ(peers[1][0]->link().try_send(late.header, late.payload.data()), Code::kPeerDied);
  peers[1][0]->send_control(4, 0, ControlKind::kClose, "to nobody", -1);
  // Whoever registers later hears of it as well.
  RecordingComm late_comm;
  runtimes[1]->register_comm(6, &late_comm);
  ASSERT_TRUE(run_until(*runtimes[1], [&] { return late_comm.n_losses() == 1; }));
  EXPECT_NE(runtimes[1]->describe().find("left"), std::string::npos);
  EXPECT_THROW(runtimes[1]->connect(cards_of(runtimes), now_ns() + kPatienceNs), Error);
  runtimes[1]->unregister_comm(4);
  runtimes[1]->unregister_comm(6);
}

TEST_P(RuntimeOver, FramesForClosedGroupsAreCounted) {
  const auto runtimes = make(2);
  const PeerMatrix peers = connect_all(runtimes);
  RecordingComm comm;
  runtimes[1]->register_comm(1, &comm);
  FrameHeader header;
  header.comm = 12345;
  ASSERT_EQ(peers[0][1]->link().try_send(header, nullptr), Code::kOk);
  header.comm = 1;
  ASSERT_EQ(peers[0][1]->link().try_send(header, nullptr), Code::kOk);
  ASSERT_TRUE(run_until(*runtimes[1], [&] { return comm.frames.load() == 1; }));
  EXPECT_NE(runtimes[1]->describe().find("1 frames came for groups"), std::string::npos);
  runtimes[1]->unregister_comm(1);
}

// unregister_comm returns only when no callback runs: a communicator freed right after must never
// be touched.
TEST_P(RuntimeOver, UnregisterRacesWithFramesAndMessages) {
  const auto runtimes = make(2);
  const PeerMatrix peers = connect_all(runtimes);
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    FrameHeader header;
    for (uint64_t i = 0; !stop.load(); ++i) {
      header.comm = i % 4;
      if (peers[0][1]->link().try_send(header, nullptr) != Code::kOk) std::this_thread::yield();
      // Fewer in all than a peer may leave unread: on busy cores the control thread falls behind,
      // and a peer that does not read is taken for lost.
      if (i % 64 == 0 && i < 64 * 8000) {
        peers[0][1]->send_control(header.comm, 0, ControlKind::kAbort, "x", -1);
      }
    }
  });
  std::vector<std::thread> pollers;
  for (int i = 0; i < 2; ++i) {
    pollers.emplace_back([&] {
      while (!stop.load()) {
        if (runtimes[1]->poll_links() == 0) std::this_thread::yield();
      }
    });
  }
  for (int round = 0; round < 200; ++round) {
    auto comm = std::make_unique<RecordingComm>();
    runtimes[1]->register_comm(static_cast<uint64_t>(round % 4), comm.get());
    const int64_t give_up = now_ns() + kPatienceNs;
    while (comm->frames.load() == 0 && now_ns() < give_up) std::this_thread::yield();
    EXPECT_GT(comm->frames.load(), 0) << peers[0][1]->why();
    runtimes[1]->unregister_comm(static_cast<uint64_t>(round % 4));
    if (HasFailure()) break;
  }
  stop.store(true);
  sender.join();
  for (std::thread& each : pollers) each.join();
}

TEST_P(RuntimeOver, SeveralThreadsSleepAndAreAllWoken) {
  const auto runtimes = make(2);
  const PeerMatrix peers = connect_all(runtimes);
  RecordingComm comm;
  runtimes[1]->register_comm(1, &comm);
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 3; ++i) {
    sleepers.emplace_back(
        [&] { EXPECT_TRUE(run_until(*runtimes[1], [&] { return comm.frames.load() == 100; })); });
  }
  FrameHeader header;
  header.comm = 1;
  for (int i = 0; i < 100; ++i) {
    while (peers[0][1]->link().try_send(header, nullptr) == Code::kAgain) runtimes[0]->poll_links();
    if (i % 10 == 0) std::this_thread::yield();
  }
  for (std::thread& each : sleepers) each.join();
  runtimes[1]->unregister_comm(1);
}

INSTANTIATE_TEST_SUITE_P(Transports, RuntimeOver,
                         ::testing::Values("shm", "tcp", "tcp_of_three_sockets"),
                         [](const auto& info) { return std::string(info.param); });

// A rank that has sent and computes now does not call the library.
TEST(Runtime, WhatALinkTookLeavesWithoutItsSender) {
  const std::vector<std::shared_ptr<Runtime>> runtimes = {Runtime::create(tcp_only()),
                                                          Runtime::create(tcp_only())};
  const PeerMatrix peers = connect_all(runtimes);
  RecordingComm comm;
  runtimes[1]->register_comm(1, &comm);
  const std::vector<std::byte> payload(kMaxFramePayload);
  FrameHeader header;
  header.comm = 1;
  header.bytes = static_cast<uint32_t>(payload.size());
  int64_t sent = 0;
  while (!peers[0][1]->link().wants_write()) {
    ASSERT_EQ(peers[0][1]->link().try_send(header, payload.data()), Code::kOk);
    ++sent;
  }
  EXPECT_TRUE(run_until(*runtimes[1], [&] { return comm.frames == sent; }));
  runtimes[1]->unregister_comm(1);
}

TEST(Runtime, DescriptorsTravelToMappedPeersOnly) {
  const std::vector<std::shared_ptr<Runtime>> mapped = {Runtime::create(shm_only()),
                                                        Runtime::create(shm_only())};
  const PeerMatrix peers = connect_all(mapped);
  RecordingComm comm;
  mapped[1]->register_comm(1, &comm);
  for (int i = 0; i < 20; ++i) {
    Fd memory = open_fd([] { return memfd_create("test", MFD_CLOEXEC); });
    ASSERT_EQ(pwrite(memory.get(), &i, sizeof i, 0), static_cast<ssize_t>(sizeof i));
    peers[0][1]->send_control(1, 0, ControlKind::kWindow, "window", memory.get());
  }
  ASSERT_TRUE(run_until(*mapped[1], [&] { return comm.n_controls() == 20; }));
  const auto controls = comm.take_controls();
  for (int i = 0; i < 20; ++i) {
    int value = -1;
    ASSERT_EQ(pread(controls[static_cast<size_t>(i)].fd.get(), &value, sizeof value, 0),
              static_cast<ssize_t>(sizeof value));
    EXPECT_EQ(value, i);
  }
  mapped[1]->unregister_comm(1);

  const std::vector<std::shared_ptr<Runtime>> distant = {Runtime::create(tcp_only()),
                                                         Runtime::create(tcp_only())};
  const PeerMatrix far = connect_all(distant);
  EXPECT_THROW(far[0][1]->send_control(1, 0, ControlKind::kWindow, "", STDERR_FILENO), Error);
  EXPECT_THROW(far[0][1]->send_control(1, 0, ControlKind::kAbort, std::string(1 << 20, 'x'), -1),
               Error);
}

TEST(Runtime, DifferentHostIdsMeetOverTcp) {
  Settings a = tcp_only(), b = tcp_only();
  a.shm = b.shm = true;
  a.host_id = "a";
  b.host_id = "b";
  const std::vector<std::shared_ptr<Runtime>> runtimes = {Runtime::create(a), Runtime::create(b)};
  // Loopback is not offered to another host; without another interface they cannot meet.
  const auto& addresses = runtimes[0]->card().addresses;
  if (addresses.empty() || addresses[0].interface == "lo") GTEST_SKIP() << "only loopback here";
  const PeerMatrix peers = connect_all(runtimes);
  EXPECT_FALSE(peers[0][1]->mapped());
}

TEST(Runtime, SingleCopyNeedsBothSides) {
  Settings off = shm_only();
  off.single_copy = false;
  for (const bool first : {true, false}) {
    const std::vector<std::shared_ptr<Runtime>> runtimes = {
        Runtime::create(first ? off : shm_only()), Runtime::create(first ? shm_only() : off)};
    const PeerMatrix peers = connect_all(runtimes);
    EXPECT_TRUE(peers[0][1]->mapped() && peers[1][0]->mapped());
    EXPECT_FALSE(peers[0][1]->single_copy());
    EXPECT_FALSE(peers[1][0]->single_copy());
  }
}

TEST(Runtime, Ipv6LoopbackWorks) {
  Settings settings = tcp_only();
  settings.interfaces = "lo";
  const std::vector<std::shared_ptr<Runtime>> runtimes = {Runtime::create(settings),
                                                          Runtime::create(settings)};
  std::vector<PeerCard> cards = cards_of(runtimes);
  for (PeerCard& card : cards) {
    std::erase_if(card.addresses, [](const auto& each) { return each.ip != "::1"; });
  }
  if (cards[0].addresses.empty()) GTEST_SKIP() << "no IPv6 loopback here";
  std::thread other([&] { EXPECT_NO_THROW(runtimes[1]->connect(cards, now_ns() + kPatienceNs)); });
  EXPECT_NO_THROW(runtimes[0]->connect(cards, now_ns() + kPatienceNs));
  other.join();
  EXPECT_NE(runtimes[0]->describe().find("[::1]"), std::string::npos);
}

TEST(Runtime, NoTransportIsAnErrorThatSaysSo) {
  Settings settings;
  settings.shm = settings.tcp = false;
  EXPECT_THROW(Runtime::create(settings), Error);
  settings.tcp = true;
  settings.interfaces = "^e,l,i,d,v,w,b,t,s";
  try {
    Runtime::create(settings);
    GTEST_SKIP() << "an interface with an unexpected name";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("excluded"), std::string::npos) << error.what();
  }
}

TEST(Runtime, ShutdownEndsAConnectInProgress) {
  const auto runtime = Runtime::create(shm_only());
  // It never comes; its uid decides whether we wait for it or look for it.
  for (const uint8_t fill : {0x00, 0xff}) {
    const auto waiting = Runtime::create(shm_only());
    PeerCard absent = runtime->card();
    absent.uid.fill(fill);
    absent.host_id = "elsewhere";
    std::thread caller(
        [&] { EXPECT_THROW(waiting->connect({absent}, now_ns() + kPatienceNs), Error); });
    waiting->shutdown();
    caller.join();
    EXPECT_THROW(waiting->connect({absent}, now_ns() + kPatienceNs), Error);
    waiting->shutdown();
  }
}

TEST(Runtime, PeersAndLinksSurviveTheirRuntime) {
  std::shared_ptr<Peer> peer;
  {
    const std::vector<std::shared_ptr<Runtime>> runtimes = {Runtime::create(shm_only()),
                                                            Runtime::create(shm_only())};
    peer = connect_all(runtimes)[0][1];
  }
  FrameHeader header;
  EXPECT_EQ(peer->link().try_send(header, nullptr), Code::kPeerDied);
  peer->ring();
  peer->send_control(1, 0, ControlKind::kAbort, "", -1);
  EXPECT_NE(peer->state(), PeerState::kAlive);
}

TEST(Runtime, AForkedChildMayDropEverythingButUseNothing) {
  std::vector<std::shared_ptr<Runtime>> runtimes = {Runtime::create(shm_only()),
                                                    Runtime::create(shm_only())};
  PeerMatrix peers = connect_all(runtimes);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int bad = 0;
    FrameHeader header;
    bad += peers[0][1]->link().try_send(header, nullptr) != Code::kPeerDied;
    peers[0][1]->ring();
    runtimes[0]->ring_self();
    bad += runtimes[0]->poll_links() != 0;
    try {
      runtimes[0]->connect({}, now_ns());
      ++bad;
    } catch (const Error&) {
    }
    try {
      Runtime::create(shm_only());
      ++bad;
    } catch (const Error&) {
    }
    peers.clear();
    runtimes.clear();
    _exit(bad);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  // The parent's connections are untouched.
  EXPECT_EQ(peers[0][1]->link().try_send(FrameHeader{}, nullptr), Code::kOk);
  EXPECT_EQ(peers[0][1]->state(), PeerState::kAlive);
}

TEST(Liveness, SilenceIsDeathUnlessWeWereAsleepOurselves) {
  constexpr int64_t kBeat = 250'000'000;
  EXPECT_FALSE(silence_is_death(6 * kBeat, kBeat, kBeat));
  EXPECT_TRUE(silence_is_death(6 * kBeat + 1, kBeat, kBeat));
  EXPECT_FALSE(silence_is_death(100 * kBeat, 2 * kBeat, kBeat));
}

}  // namespace
}  // namespace distos_coll
