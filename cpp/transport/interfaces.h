// Which addresses of this host a peer may be told to knock at, and why the others are not offered.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

namespace distos_coll {

struct InterfaceAddress {
  std::string interface, ip;
  bool up = true;
  bool loopback = false;
  int64_t speed_mbps = 0;  // 0: unknown
};

struct RejectedAddress {
  std::string interface, ip, reason;
};

struct AddressChoice {
  std::vector<InterfaceAddress> usable;  // best first; loopback last, of use on this host only
  std::vector<RejectedAddress> rejected;
};

// NCCL_SOCKET_IFNAME's grammar: a list of prefixes ("eth,ib"), exact names after '='
// ("=eth0,eth1"), or with '^' in front the interfaces to leave out ("^docker,virbr", "^=lo").
// Empty: all but those that lead nowhere.
class InterfaceFilter {
 public:
  explicit InterfaceFilter(const std::string& text);
  bool given() const { return !names_.empty(); }
  bool excluding() const { return exclude_; }
  // Does the list name it (whatever excluding() says)?
  bool names(const std::string& interface) const;

 private:
  bool exclude_ = false;
  bool exact_ = false;
  std::vector<std::string> names_;
};

// Pure: the order depends on the arguments only.
AddressChoice choose_addresses(const std::vector<InterfaceAddress>& found,
                               const std::string& filter);
// What the kernel lists now. Throws Error(kSystem).
std::vector<InterfaceAddress> list_addresses();

// A socket address for ip and port; false if the text is not an IPv4 or IPv6 address.
bool to_sockaddr(const std::string& ip, uint16_t port, sockaddr_storage* out, socklen_t* bytes);
// "10.0.0.1:80", "[fd00::1]:80".
std::string address_text(const std::string& ip, uint16_t port);
std::string address_text(const sockaddr_storage& address);

}  // namespace distos_coll
