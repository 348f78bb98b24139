#include "comm/flight.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>

#include "comm/communicator.h"
#include "comm/flight_text.h"
#include "core/clock.h"
#include "core/log.h"

namespace distos_coll {
namespace {

// How long an operation that failed is held back for the disk's sake.
constexpr auto kSettle = std::chrono::seconds(2);
constexpr auto kSignalCheck = std::chrono::milliseconds(100);

// --- The signal

// All that the handler touches: a count that the threads look at now and then.
std::atomic<uint64_t> g_signals{0};
static_assert(std::atomic<uint64_t>::is_always_lock_free);
struct sigaction g_before;

void on_signal(int number, siginfo_t* info, void* context) {
  g_signals.fetch_add(1, std::memory_order_relaxed);
  // Whoever had the signal before still gets it.
  if ((g_before.sa_flags & SA_SIGINFO) != 0) {
    g_before.sa_sigaction(number, info, context);
  } else if (g_before.sa_handler != SIG_DFL && g_before.sa_handler != SIG_IGN) {
    g_before.sa_handler(number);
  }
}

void handle_signal(const std::string& name) {
  if (name.empty()) return;
  static std::once_flag installed;
  std::call_once(installed, [&] {
    const int number = name == "SIGUSR1" ? SIGUSR1 : SIGUSR2;
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(number, nullptr, &g_before);
    sigaction(number, &action, nullptr);
  });
}

// --- The file

int64_t wall_ns() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_1970).count();
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_errno("write", errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// Whole or not at all: readers may come at any time, and an older dump stays until then.
void replace_file(const std::string& path, const std::string& text) {
  const std::string part = path + strf(".%d", static_cast<int>(getpid()));
  unlink(part.c_str());  // of a process before us with the same number
  // O_EXCL: nobody else can have put a link there. Not open_fd(): no fork may wait for a disk.
  const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) throw_errno("cannot create " + part, errno);
  try {
    write_all(fd, text);
  } catch (const Error& error) {
    close(fd);
    unlink(part.c_str());
    throw Error(Code::kSystem, "cannot write " + part + ": " + error.what());
  }
  close(fd);
  if (rename(part.c_str(), path.c_str()) == 0) return;
  const int why = errno;
  unlink(part.c_str());
  throw_errno("cannot rename " + part + " to " + path, why);
}

}  // namespace

struct Flight::State {
  explicit State(const Runtime& runtime)
      : prefix(runtime.settings().flight_file),
        signal(runtime.settings().flight_signal),
        host(runtime.card().hostname) {}

  void loop();
  void write_and_log(const std::string& reason);
  std::optional<std::string> write(const std::string& to, const std::string& reason);

  const std::string prefix, signal, host;

  std::mutex groups_mutex;  // below; held while their records are read, never while a file is
  std::vector<const Communicator*> groups;
  int rank = -1;  // in the job

  std::mutex mutex;  // below; held for moments
  std::condition_variable changed;
  std::string reason;
  uint64_t asked = 0, written = 0;
  bool writing = false;
  bool slow = false;  // somebody has waited in vain; no more do, until a file is written
  uint64_t signals_seen = g_signals.load();
  bool stopping = false;

  std::mutex file_mutex;  // one writer of the file at a time; last
};

namespace {

// Never destroyed: threads may still end while static objects go.
struct Registry {
  std::mutex mutex;
  std::vector<Flight*> all;
};

Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

}  // namespace

std::optional<std::string> Flight::State::write(const std::string& to, const std::string& why) {
  FlightProcess process;
  std::vector<FlightGroup> found;
  std::string text;
  {
    const std::lock_guard lock(groups_mutex);
    if (groups.empty()) return std::nullopt;
    for (const Communicator* group : groups) found.push_back(group->flight());
    process = {rank, getpid(), host, why, now_ns(), wall_ns()};
    // Under the lock: names of programs are the groups'.
    text = flight_text(process, found);
  }
  std::string path = to + strf("%d.json", process.rank);
  const std::lock_guard lock(file_mutex);
  replace_file(path, text);
  return path;
}

void Flight::State::write_and_log(const std::string& why) try {
  if (const auto path = write(prefix, why)) {
    log(LogLevel::kWarn, "flight record written to %s (%s); `distos-coll flight` reads it",
        path->c_str(), why.c_str());
  } else {
    log(LogLevel::kWarn, "no flight record was written: this process has no group yet");
  }
} catch (const std::exception& error) {
  log(LogLevel::kWarn, "no flight record was written: %s; see DISTOS_COLL_FLIGHT_FILE",
      error.what());
}

void Flight::State::loop() {
  std::unique_lock lock(mutex);
  while (true) {
    const auto due = [&] { return asked != written || stopping || g_signals != signals_seen; };
    // Nobody can notify from a signal handler.
    if (signal.empty()) {
      changed.wait(lock, due);
    } else {
      changed.wait_for(lock, kSignalCheck, due);
    }
    const uint64_t goal = asked, signals = g_signals.load();
    if (goal != written || signals != signals_seen) {
      const std::string why = goal != written ? reason : signal;
      signals_seen = signals;
      writing = true;
      lock.unlock();
      write_and_log(why);
      lock.lock();
      writing = false;
      written = goal;
      slow = false;
      changed.notify_all();
    } else if (stopping) {
      return;
    }
  }
}

Flight::Flight(const Runtime& runtime) : state_(std::make_shared<State>(runtime)) {
  if (!state_->prefix.empty()) start();
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.all.push_back(this);
}

void Flight::start() {
  handle_signal(state_->signal);
  // Signals go to the program's threads; a file that is too large is an error here, no signal.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([state = state_] {
    pthread_setname_np(pthread_self(), "distos_flight");
    state->loop();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Flight::~Flight() {
  stop();
  if (in_forked_child()) return;
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  std::erase(all.all, this);
}

void Flight::enlist(const Communicator* group) {
  const std::lock_guard lock(state_->groups_mutex);
  if (state_->rank < 0) state_->rank = group->flight().options.job_rank(group->rank());
  state_->groups.push_back(group);
}

void Flight::delist(const Communicator* group) {
  settle();
  const std::lock_guard lock(state_->groups_mutex);
  std::erase(state_->groups, group);
}

void Flight::ask(const std::string& reason) {
  if (state_->prefix.empty()) return;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping) return;
    // The first of several failures brought the others about.
    if (state_->asked == state_->written) state_->reason = reason;
    ++state_->asked;
  }
  state_->changed.notify_all();
}

void Flight::settle() {
  if (state_->prefix.empty()) return;
  std::unique_lock lock(state_->mutex);
  if (state_->slow) return;
  const uint64_t goal = state_->asked;
  state_->slow = !state_->changed.wait_for(lock, kSettle, [&] { return state_->written >= goal; });
}

std::optional<std::string> Flight::write(const std::optional<std::string>& prefix) {
  if (!prefix && state_->prefix.empty()) {
    throw Error(Code::kInvalid,
                "there is no file for the flight record: pass a prefix, or set "
                "DISTOS_COLL_FLIGHT_FILE before the first group is made");
  }
  return state_->write(prefix ? *prefix : state_->prefix, "asked for by the program");
}

void Flight::stop() {
  if (!thread_.joinable()) return;
  if (in_forked_child()) {
    thread_.detach();
    return;
  }
  settle();
  bool idle = false;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    idle = state_->asked == state_->written && !state_->writing;
  }
  state_->changed.notify_all();
  // A process must be able to end though a disk hangs.
  if (idle) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

std::vector<std::string> write_flight_records(const std::optional<std::string>& prefix) {
  if (in_forked_child()) {
    throw Error(Code::kInvalid,
                "a forked child has no flight record; ask the process it came from");
  }
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  std::vector<std::string> paths;
  for (Flight* flight : all.all) {
    if (auto path = flight->write(prefix)) paths.push_back(std::move(*path));
  }
  return paths;
}

}  // namespace distos_coll
