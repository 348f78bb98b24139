#include "transport/interfaces.h"

#include <gtest/gtest.h>

namespace distos_coll {
namespace {

std::vector<InterfaceAddress> some_host() {
  return {{"lo", "127.0.0.1", true, true, 0},        {"lo", "::1", true, true, 0},
          {"eth0", "10.0.0.1", true, false, 1000},   {"eth0", "fe80::1", true, false, 1000},
          {"eth0", "fd00::1", true, false, 1000},    {"ib0", "10.1.0.1", true, false, 200000},
          {"docker0", "172.17.0.1", true, false, 0}, {"virbr0", "192.168.122.1", true, false, 0},
          {"eth1", "10.2.0.1", false, false, 0},     {"eth2", "169.254.3.4", true, false, 0},
          {"sit0", "fec0::1", true, false, 0}};
}

std::string usable(const std::string& filter) {
  std::string text;
  for (const InterfaceAddress& each : choose_addresses(some_host(), filter).usable) {
    text += (text.empty() ? "" : " ") + each.interface + "/" + each.ip;
  }
  return text;
}

std::string reason(const std::string& filter, const std::string& ip) {
  for (const RejectedAddress& each : choose_addresses(some_host(), filter).rejected) {
    if (each.ip == ip) return each.reason;
  }
  return "usable";
}

TEST(Interfaces, FastestFirstLoopbackLast) {
  EXPECT_EQ(usable(""), "ib0/10.1.0.1 eth0/10.0.0.1 eth0/fd00::1 lo/127.0.0.1 lo/::1");
}

TEST(Interfaces, FilterGrammar) {
  EXPECT_EQ(usable("eth"), "eth0/10.0.0.1 eth0/fd00::1 lo/127.0.0.1 lo/::1");
  EXPECT_EQ(usable("eth,ib"), usable(""));
  EXPECT_EQ(usable("=eth0"), "eth0/10.0.0.1 eth0/fd00::1 lo/127.0.0.1 lo/::1");
  EXPECT_EQ(usable("=eth"), "lo/127.0.0.1 lo/::1");
  EXPECT_EQ(usable("^ib"), "eth0/10.0.0.1 eth0/fd00::1 lo/127.0.0.1 lo/::1");
  EXPECT_EQ(usable("^=ib0,lo"), "eth0/10.0.0.1 eth0/fd00::1");
  EXPECT_EQ(usable("docker"), "docker0/172.17.0.1 lo/127.0.0.1 lo/::1");
  EXPECT_EQ(usable("lo"), "lo/127.0.0.1 lo/::1");
  EXPECT_EQ(usable(" ib0 , eth0"), usable(""));
}

TEST(Interfaces, EveryRejectionHasItsReason) {
  EXPECT_NE(reason("", "172.17.0.1").find("bridge"), std::string::npos);
  EXPECT_NE(reason("", "192.168.122.1").find("bridge"), std::string::npos);
  EXPECT_NE(reason("", "10.2.0.1").find("down"), std::string::npos);
  EXPECT_NE(reason("", "fe80::1").find("link-local"), std::string::npos);
  EXPECT_NE(reason("", "169.254.3.4").find("link-local"), std::string::npos);
  EXPECT_NE(reason("", "fec0::1").find("neither"), std::string::npos);
  EXPECT_NE(reason("^eth", "10.0.0.1").find("excluded"), std::string::npos);
  EXPECT_NE(reason("ib", "10.0.0.1").find("not in"), std::string::npos);
}

TEST(Interfaces, ListsThisHost) {
  // Whatever this machine has, the texts must be addresses.
  for (const InterfaceAddress& each : list_addresses()) {
    sockaddr_storage address{};
    socklen_t bytes = 0;
    EXPECT_TRUE(to_sockaddr(each.ip, 1, &address, &bytes)) << each.ip;
  }
}

TEST(Interfaces, AddressTexts) {
  sockaddr_storage address{};
  socklen_t bytes = 0;
  ASSERT_TRUE(to_sockaddr("fd00::1", 80, &address, &bytes));
  EXPECT_EQ(address_text(address), "[fd00::1]:80");
  ASSERT_TRUE(to_sockaddr("10.0.0.1", 65535, &address, &bytes));
  EXPECT_EQ(address_text(address), "10.0.0.1:65535");
  EXPECT_FALSE(to_sockaddr("example.org", 1, &address, &bytes));
}

}  // namespace
}  // namespace distos_coll
