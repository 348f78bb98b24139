// Real processes that end in the ways processes end. Each child is this binary, run again (it
// cannot be a plain fork: a forked child may not use the library), as a hidden test that plays the
// peer.
#include "comm/liveness.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "comm/bytes.h"
#include "core/log.h"
#include "tests/runtimes.h"

extern char** environ;

namespace distos_coll {
namespace {

using namespace testing;

constexpr uint64_t kComm = 77;
constexpr int kFrames = 20;  // sent before the end, to be received in spite of it

// Where the child finds its pipes: beyond any number in use here. Its stdout belongs to GoogleTest.
constexpr int kChildIn = 200;
constexpr int kChildOut = 201;

// Length-prefixed strings over a pipe.
void put(int fd, const std::string& text) {
  const auto bytes = static_cast<uint32_t>(text.size());
  ASSERT_EQ(write(fd, &bytes, sizeof bytes), static_cast<ssize_t>(sizeof bytes));
  ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}
std::string take(int fd) {
  uint32_t bytes = 0;
  if (read(fd, &bytes, sizeof bytes) != sizeof bytes || bytes > 10'000) return "";
  std::string text(bytes, '\0');
  return read(fd, text.data(), bytes) == static_cast<ssize_t>(bytes) ? text : "";
}

// `how` is an Ending's.
Settings settings_for(const std::string& how) {
  Settings settings = how.starts_with("shm") ? shm_only() : tcp_only();
  // Short only where it is silence that ends the peer: any peer may be silent on a busy machine.
  if (how.ends_with("silent")) settings.heartbeat_ms = 100;
  return settings;
}

// A worker that holds on to whatever it inherited, until it is killed.
pid_t worker(bool bypass_handlers) {
  // syscall() skips the at-fork handlers, as some sandboxes and language runtimes do.
  const pid_t child = bypass_handlers ? static_cast<pid_t>(syscall(SYS_fork)) : fork();
  if (child == 0) {
    alarm(60);  // should the test die before it kills us
    for (;;) pause();
  }
  return child;
}

// The peer: connects, sends, makes workers, then does as told.
TEST(Child, DISABLED_Plays) {
  const char* how = std::getenv("DISTOS_COLL_TEST_CHILD");
  ASSERT_NE(how, nullptr);
  std::istringstream words(how);
  std::string transport, workers;
  words >> transport >> workers;
  alarm(60);
  const auto runtime = Runtime::create(settings_for(how));
  put(kChildOut, runtime->card().encode());
  const std::string card = take(kChildIn);
  const auto peers =
      runtime->connect({PeerCard::decode(card.data(), card.size())}, now_ns() + kPatienceNs);
  std::string pids;
  for (int i = 0; i < 2; ++i) pids += " " + std::to_string(worker(workers == "raw"));
  FrameHeader header;
  header.comm = kComm;
  for (int i = 0; i < kFrames; ++i) {
    while (peers[0]->link().try_send(header, nullptr) == Code::kAgain) runtime->poll_links();
  }
  put(kChildOut, pids);
  const std::string order = take(kChildIn);
  if (order == "exit") _exit(0);  // without a word
  if (order == "leave") runtime->shutdown();
  if (order == "leave") _exit(0);
  for (;;) pause();
}

class Child {
 public:
  Child(const std::string& how, Runtime& runtime) {
    int in[2], out[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[0], kChildIn);
    posix_spawn_file_actions_adddup2(&files, out[1], kChildOut);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    setenv("DISTOS_COLL_TEST_CHILD", how.c_str(), 1);
    std::string argument[] = {"test", "--gtest_filter=Child.DISABLED_Plays",
                              "--gtest_also_run_disabled_tests"};
    char* arguments[] = {argument[0].data(), argument[1].data(), argument[2].data(), nullptr};
    EXPECT_EQ(posix_spawn(&pid_, "/proc/self/exe", &files, nullptr, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    close(in[0]);
    close(out[1]);
    to_ = in[1];
    from_ = out[0];
    put(to_, runtime.card().encode());
    const std::string card = take(from_);
    card_ = PeerCard::decode(card.data(), card.size());
    peer_ = runtime.connect({card_}, now_ns() + kPatienceNs)[0];
    std::istringstream pids(take(from_));
    for (pid_t each = 0; pids >> each;) workers_.push_back(each);
    EXPECT_EQ(workers_.size(), 2U);
  }
  ~Child() {
    kill(pid_, SIGKILL);
    for (const pid_t each : workers_) kill(each, SIGKILL);
    int status = 0;
    waitpid(pid_, &status, 0);
    close(to_);
    close(from_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void tell(const std::string& order) { put(to_, order); }
  pid_t pid() const { return pid_; }
  Peer& peer() { return *peer_; }
  const PeerCard& card() const { return card_; }
  bool workers_live() const {
    for (const pid_t each : workers_) {
      if (kill(each, 0) != 0) return false;
    }
    return true;
  }

 private:
  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
  PeerCard card_;
  std::shared_ptr<Peer> peer_;
  std::vector<pid_t> workers_;
};

struct Ending {
  const char* name;
  const char* how;    // transport, kind of workers, "silent" if silence tells of the end
  const char* order;  // "kill", "stop": by signal; others are told to the child
  PeerState state;
  const char* reason;
};

class Endings : public ::testing::TestWithParam<Ending> {};

TEST_P(Endings, AreNoticedAndNamed) {
  const Ending& ending = GetParam();
  const bool shm = std::string(ending.how).find("shm") == 0;
  const auto runtime = Runtime::create(settings_for(ending.how));
  RecordingComm comm;
  runtime->register_comm(kComm, &comm);
  Child child(ending.how, *runtime);
  EXPECT_EQ(child.peer().mapped(), shm);
  EXPECT_EQ(child.peer().pid(), shm ? child.pid() : -1);
  EXPECT_EQ(child.peer().single_copy(), shm);

  const std::string order = ending.order;
  if (order == "kill") {
    kill(child.pid(), SIGKILL);
  } else if (order == "stop") {
    kill(child.pid(), SIGSTOP);
  } else {
    child.tell(order);
  }
  const int64_t begin = now_ns();
  ASSERT_TRUE(run_until(*runtime, [&] { return comm.n_losses() == 1; }));
  RecordProperty("noticed_us", std::to_string((now_ns() - begin) / 1000));
  const auto loss = comm.losses()[0];
  EXPECT_EQ(loss.state, ending.state) << loss.why;
  EXPECT_EQ(loss.uid, child.card().uid);
  EXPECT_NE(loss.why.find(ending.reason), std::string::npos) << loss.why;
  EXPECT_NE(loss.why.find("process " + std::to_string(child.pid())), std::string::npos) << loss.why;
  EXPECT_EQ(child.peer().state(), ending.state);
  // What it had sent is not lost with it.
  EXPECT_EQ(comm.frames.load(), kFrames);
  EXPECT_TRUE(child.workers_live());
  EXPECT_EQ(child.peer().link().try_send(FrameHeader{}, nullptr), Code::kPeerDied);
  runtime->unregister_comm(kComm);
}

INSTANTIATE_TEST_SUITE_P(
    All, Endings,
    ::testing::Values(
        Ending{"ShmKilled", "shm fork", "kill", PeerState::kDead, "without a goodbye"},
        Ending{"ShmKilledWorkersHoldSockets", "shm raw", "kill", PeerState::kDead,
               "the process ended"},
        Ending{"ShmExit", "shm fork", "exit", PeerState::kDead, "without a goodbye"},
        Ending{"ShmGoodbye", "shm fork", "leave", PeerState::kLeft, "left"},
        Ending{"TcpKilled", "tcp fork", "kill", PeerState::kDead, "without a goodbye"},
        Ending{"TcpKilledWorkersHoldSockets", "tcp raw silent", "kill", PeerState::kDead,
               "no heartbeat"},
        Ending{"TcpStopped", "tcp fork silent", "stop", PeerState::kDead, "no heartbeat"},
        Ending{"TcpExit", "tcp fork", "exit", PeerState::kDead, "without a goodbye"},
        Ending{"TcpGoodbye", "tcp fork", "leave", PeerState::kLeft, "left"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace distos_coll
