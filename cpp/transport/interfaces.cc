#include "transport/interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <tuple>

#include "core/status.h"

namespace distos_coll {
namespace {

bool has_prefix(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

bool is_v6(const std::string& ip) { return ip.find(':') != std::string::npos; }

bool is_link_local(const std::string& ip) {
  in6_addr v6{};
  if (inet_pton(AF_INET6, ip.c_str(), &v6) == 1) return IN6_IS_ADDR_LINKLOCAL(&v6);
  return has_prefix(ip, "169.254.");
}

// Multicast, site-local, v4-mapped and the like: only global unicast (2000::/3) and unique local
// (fc00::/7) reach a peer.
bool is_routable_v6(const std::string& ip) {
  in6_addr v6{};
  if (inet_pton(AF_INET6, ip.c_str(), &v6) != 1) return false;
  return (v6.s6_addr[0] & 0xe0) == 0x20 || (v6.s6_addr[0] & 0xfe) == 0xfc;
}

// Empty if the address may be offered.
std::string reason_against(const InterfaceAddress& address, const InterfaceFilter& filter) {
  const bool named = filter.names(address.interface);
  if (!address.up) return "interface is down or has no carrier";
  if (filter.given() && filter.excluding() && named) return "excluded by the interface setting";
  if (is_link_local(address.ip))
    return "link-local address, not reachable without an interface scope";
  if (address.loopback) return "";
  if (filter.given() && !filter.excluding()) return named ? "" : "not in the interface setting";
  if (is_v6(address.ip) && !is_routable_v6(address.ip))
    return "neither a global nor a unique local address";
  for (const char* prefix : {"docker", "virbr"}) {
    if (has_prefix(address.interface, prefix)) {
      return "bridge of this host's containers or virtual machines; name it in the interface "
             "setting to use it";
    }
  }
  return "";
}

int64_t read_speed(const std::string& interface) {
  // Virtual interfaces report -1 or fail to read.
  std::ifstream file("/sys/class/net/" + interface + "/speed");
  int64_t speed = 0;
  return file >> speed && speed > 0 ? speed : 0;
}

std::string ip_text(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text,
              sizeof text);
  }
  return text;
}

}  // namespace

InterfaceFilter::InterfaceFilter(const std::string& text) {
  size_t at = 0;
  if (at < text.size() && text[at] == '^') exclude_ = true, ++at;
  if (at < text.size() && text[at] == '=') exact_ = true, ++at;
  while (at < text.size()) {
    const size_t comma = std::min(text.find(',', at), text.size());
    std::string name = text.substr(at, comma - at);
    name.erase(0, name.find_first_not_of(" \t"));
    name.erase(name.find_last_not_of(" \t") + 1);
    if (!name.empty()) names_.push_back(std::move(name));
    at = comma + 1;
  }
}

bool InterfaceFilter::names(const std::string& interface) const {
  return std::any_of(names_.begin(), names_.end(), [&](const std::string& name) {
    return exact_ ? interface == name : has_prefix(interface, name);
  });
}

AddressChoice choose_addresses(const std::vector<InterfaceAddress>& found,
                               const std::string& filter_text) {
  const InterfaceFilter filter(filter_text);
  AddressChoice choice;
  for (const InterfaceAddress& address : found) {
    std::string reason = reason_against(address, filter);
    if (reason.empty()) {
      choice.usable.push_back(address);
    } else {
      choice.rejected.push_back({address.interface, address.ip, std::move(reason)});
    }
  }
  // Loopback named by the user is a wish to test over it, and comes first.
  const auto key = [&](const InterfaceAddress& a) {
    const bool wished = filter.given() && !filter.excluding() && filter.names(a.interface);
    return std::tuple(a.loopback && !wished, -a.speed_mbps, is_v6(a.ip));
  };
  std::stable_sort(choice.usable.begin(), choice.usable.end(),
                   [&](const auto& a, const auto& b) { return key(a) < key(b); });
  return choice;
}

std::vector<InterfaceAddress> list_addresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) throw_errno("cannot list the network interfaces (getifaddrs)", errno);
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owned(list, freeifaddrs);
  std::vector<InterfaceAddress> found;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    if (each->ifa_addr->sa_family != AF_INET && each->ifa_addr->sa_family != AF_INET6) continue;
    InterfaceAddress address;
    address.interface = each->ifa_name;
    address.ip = ip_text(each->ifa_addr);
    address.up = (each->ifa_flags & IFF_UP) != 0 && (each->ifa_flags & IFF_RUNNING) != 0;
    address.loopback = (each->ifa_flags & IFF_LOOPBACK) != 0;
    address.speed_mbps = read_speed(address.interface);
    found.push_back(std::move(address));
  }
  return found;
}

bool to_sockaddr(const std::string& ip, uint16_t port, sockaddr_storage* out, socklen_t* bytes) {
  std::memset(out, 0, sizeof *out);
  auto* v4 = reinterpret_cast<sockaddr_in*>(out);
  if (inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    *bytes = sizeof(sockaddr_in);
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(out);
  if (inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *bytes = sizeof(sockaddr_in6);
    return true;
  }
  return false;
}

std::string address_text(const std::string& ip, uint16_t port) {
  return strf(is_v6(ip) ? "[%s]:%u" : "%s:%u", ip.c_str(), static_cast<unsigned>(port));
}

std::string address_text(const sockaddr_storage& address) {
  const uint16_t port = address.ss_family == AF_INET6
                            ? ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port)
                            : ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  return address_text(ip_text(reinterpret_cast<const sockaddr*>(&address)), port);
}

}  // namespace distos_coll
