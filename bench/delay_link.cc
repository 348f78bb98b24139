// A link with a long way between two network namespaces: a TUN device in each, and packets that are
// handed from one to the other a while after they came. netem does the same where the kernel has
// it. bench/hosts.py compiles and runs it.
//
//   delay_link NAMESPACE_A NAMESPACE_B DEVICE DELAY_MS
//
// Prints "ready" and works until it is killed. Large packets pass whole: the kernel would cut them
// into frames at a sender's card only.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLargestPacket = 80 * 1024;
// More than a window of any connection on such a link.
constexpr size_t kLongestQueue = 65536;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int open_device(const char* name_space, const char* device) {
  const int place = open((std::string("/run/netns/") + name_space).c_str(), O_RDONLY | O_CLOEXEC);
  if (place < 0 || setns(place, CLONE_NEWNET) != 0) die(name_space);
  close(place);
  const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) die("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  if (ioctl(tun, TUNSETIFF, &request) != 0) die("TUNSETIFF");
  if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0) die("TUNSETOFFLOAD");
  return tun;
}

struct Direction {
  int from, to;
  std::deque<std::pair<Clock::time_point, std::vector<char>>> under_way;

  void take(Clock::duration delay) {
    static std::vector<char> buffer(kLargestPacket);
    for (ssize_t got; (got = read(from, buffer.data(), buffer.size())) > 0;) {
      if (under_way.size() < kLongestQueue)
        under_way.emplace_back(Clock::now() + delay,
                               std::vector<char>(buffer.data(), buffer.data() + got));
    }
  }
  void hand_over() {
    for (; !under_way.empty() && under_way.front().first <= Clock::now(); under_way.pop_front()) {
      const std::vector<char>& packet = under_way.front().second;
      // What the kernel has no room for is lost, as on any link.
      [[maybe_unused]] const ssize_t written = write(to, packet.data(), packet.size());
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const int a = open_device(argv[1], argv[3]), b = open_device(argv[2], argv[3]);
  const auto delay = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double, std::milli>(std::stod(argv[4])));
  Direction directions[2] = {{a, b, {}}, {b, a, {}}};
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    auto next = Clock::now() + std::chrono::seconds(1);
    for (Direction& each : directions) {
      each.take(delay);
      each.hand_over();
      if (!each.under_way.empty()) next = std::min(next, each.under_way.front().first);
    }
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(next - Clock::now());
    const timespec timeout{0, std::clamp<int64_t>(left.count(), 0, 999'999'999)};
    pollfd fds[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
    ppoll(fds, 2, &timeout, nullptr);
  }
}
