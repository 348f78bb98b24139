// The least that a small message over TCP can cost: 8 bytes go back and forth between two processes
// that wait as distos_coll's callers do. bench/hosts.py compiles and runs it.
//
//   ping_pong serve PORT SPIN_US YIELD_US
//   ping_pong IP PORT SPIN_US YIELD_US ROUNDS
//
// Prints two medians in microseconds: half a round trip, and an exchange, in which both send and
// then both receive. An exchange is what any all_reduce of one step consists of.
//
// Waiting: non-blocking recv for SPIN_US, the same with sched_yield for YIELD_US, then poll.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct Waiting {
  int64_t spin_us, yield_us;
};

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// False once the other side has closed.
bool receive(int socket, uint64_t* word, const Waiting& waiting) {
  const int64_t start = now_ns();
  for (;;) {
    const ssize_t got = recv(socket, word, sizeof *word, MSG_DONTWAIT);
    if (got == sizeof *word) return true;
    // A reset: it left with our last word unread.
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return false;
    if (got > 0) die("a message of 8 bytes came in pieces");
    if (errno != EAGAIN && errno != EINTR) die("recv");
    const int64_t waited_us = (now_ns() - start) / 1000;
    if (waited_us < waiting.spin_us) continue;
    if (waited_us < waiting.spin_us + waiting.yield_us) {
      sched_yield();
      continue;
    }
    pollfd each{socket, POLLIN, 0};
    poll(&each, 1, -1);
  }
}

void transmit(int socket, uint64_t word) {
  if (send(socket, &word, sizeof word, MSG_NOSIGNAL) != sizeof word) die("send");
}

int no_delay(int socket) {
  const int on = 1;
  if (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) die("TCP_NODELAY");
  return socket;
}

void serve(sockaddr_in address, const Waiting& waiting) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener, raw, sizeof address) != 0 || listen(listener, 1) != 0) die("listen");
  std::puts("listening");
  std::fflush(stdout);
  const int peer = no_delay(accept(listener, nullptr, nullptr));
  // The first word says how many round trips there will be; exchanges follow.
  uint64_t left = 0;
  uint64_t word = 0;
  receive(peer, &left, waiting);
  for (; left > 0; --left) {
    receive(peer, &word, waiting);
    transmit(peer, word);
  }
  do transmit(peer, word);
  while (receive(peer, &word, waiting));
}

// Calls `step` so many times, and a tenth more to warm up; the median of what each takes.
template <typename Step>
double median_us(uint64_t rounds, const Step& step) {
  std::vector<int64_t> times;
  for (uint64_t i = 0; i < rounds + rounds / 10; ++i) {
    const int64_t start = now_ns();
    step();
    if (i >= rounds / 10) times.push_back(now_ns() - start);
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return static_cast<double>(times[times.size() / 2]) / 1e3;
}

void measure(sockaddr_in address, const Waiting& waiting, uint64_t rounds) {
  const int peer = no_delay(socket(AF_INET, SOCK_STREAM, 0));
  if (connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("connect");
  uint64_t word = rounds + rounds / 10;
  transmit(peer, word);
  const auto step = [&] {
    transmit(peer, word);
    if (!receive(peer, &word, waiting)) die("the other side left");
  };
  const double round_trip = median_us(rounds, step);
  std::printf("%.3f %.3f\n", round_trip / 2, median_us(rounds, step));
}

}  // namespace

int main(int argc, char** argv) {
  const bool serves = argc == 5 && std::strcmp(argv[1], "serve") == 0;
  if (!serves && argc != 6) return 2;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(argv[2])));
  if (!serves && inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) return 2;
  const Waiting waiting{std::stoll(argv[3]), std::stoll(argv[4])};
  if (serves) {
    serve(address, waiting);
  } else {
    measure(address, waiting, std::stoull(argv[5]));
  }
  return 0;
}
