// The job's store: values between processes, and strangers at its door.
#include "comm/job_store.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "comm/sockets.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/random.h"
#include "core/status.h"

namespace distos_coll {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

MeetingPoint unix_point() {
  MeetingPoint point;
  point.unix_name =
      strf("distos_coll.test.%d.%llx", getpid(), static_cast<unsigned long long>(random_u64()));
  point.job = "test";
  return point;
}

MeetingPoint tcp_point() {
  MeetingPoint point;
  point.ips = {"127.0.0.1"};
  // Found free a moment ago.
  uint16_t port = 0;
  std::string why;
  listen_tcp("127.0.0.1", &port, &why);
  point.ports = {port};
  point.job = "test";
  return point;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// Why no client comes to this store within the limit.
std::string why_not(const MeetingPoint& point, int64_t limit_ns) {
  try {
    JobStoreClient client(point, now_ns() + limit_ns);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kTimeout);
    return error.what();
  }
  ADD_FAILURE() << "it came";
  return "";
}

class Places : public ::testing::TestWithParam<MeetingPoint (*)()> {};
INSTANTIATE_TEST_SUITE_P(UnixAndTcp, Places, ::testing::Values(unix_point, tcp_point));

TEST_P(Places, ValuesComeAcross) {
  const MeetingPoint point = GetParam()();
  const JobStoreServer server(point);
  JobStoreClient one(point, now_ns() + 10 * kSecond), other(point, now_ns() + 10 * kSecond);
  one.set("a", "1");
  EXPECT_EQ(other.get("a", 0), "1");
  one.set("a", "");
  EXPECT_EQ(other.get("a", 0), "");
  EXPECT_EQ(other.get("absent", 0), std::nullopt);
  EXPECT_EQ(other.get("absent", 20), std::nullopt);
  const std::string largest(60 * 1024, 'x');
  one.set("large", largest);
  EXPECT_EQ(other.get("large", 1000), largest);
  EXPECT_THROW(one.set("larger", largest + "x"), Error);
  EXPECT_EQ(server.dropped(), 0);
}

TEST_P(Places, WhatAllRanksReleasedIsForgotten) {
  const MeetingPoint point = GetParam()();
  const JobStoreServer server(point);
  JobStoreClient one(point, now_ns() + 10 * kSecond), other(point, now_ns() + 10 * kSecond);
  one.set("group/a", "1");
  other.set("group/b", "2");
  one.set("group2", "3");
  one.release("group/", 2);
  EXPECT_EQ(other.get("group/a", 0), "1");
  other.release("group/", 2);
  EXPECT_EQ(one.get("group/a", 0), std::nullopt);
  EXPECT_EQ(one.get("group/b", 0), std::nullopt);
  EXPECT_EQ(one.get("group2", 0), "3");
  EXPECT_EQ(server.keys(), 1);
  // A name may be used again.
  one.set("group/a", "4");
  one.release("group/", 2);
  EXPECT_EQ(one.get("group/a", 0), "4");
}

TEST_P(Places, AGetWaitsForItsKey) {
  const MeetingPoint point = GetParam()();
  const JobStoreServer server(point);
  std::vector<std::thread> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back([&] {
      JobStoreClient client(point, now_ns() + 10 * kSecond);
      EXPECT_EQ(client.get("late", 60'000), "value");
    });
  }
  JobStoreClient client(point, now_ns() + 10 * kSecond);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  client.set("late", "value");
  for (auto& each : waiting) each.join();
}

TEST_P(Places, RankZeroMayBeLate) {
  const MeetingPoint point = GetParam()();
  std::thread early([&] {
    JobStoreClient client(point, now_ns() + 30 * kSecond);
    EXPECT_EQ(client.get("key", 30'000), "value");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const JobStoreServer server(point);
  JobStoreClient(point, now_ns() + 10 * kSecond).set("key", "value");
  early.join();
}

TEST_P(Places, AnAbsentRankZeroIsNamed) {
  const std::string said = why_not(GetParam()(), kSecond / 5);
  EXPECT_TRUE(has(said, "refused")) << said;
}

TEST_P(Places, OtherJobsAndOtherKeysAreRefused) {
  set_log_level(0);
  const MeetingPoint point = GetParam()();
  const JobStoreServer server(point);
  MeetingPoint job = point, key = point;
  job.job = "another run";
  key.key = "a key";
  for (const MeetingPoint& wrong : {job, key}) {
    std::string said;
    // The limit must expire, but not before the server's thread has answered.
    for (int64_t limit = kSecond / 5; !has(said, "cannot prove") && limit < 60 * kSecond;
         limit *= 4)
      said = why_not(wrong, limit);
    EXPECT_TRUE(has(said, "cannot prove")) << said;
  }
  JobStoreClient client(point, now_ns() + 10 * kSecond);
  client.set("still", "there");
  EXPECT_GE(server.dropped(), 2);
}

TEST_P(Places, AServerThatEndsIsSaid) {
  const MeetingPoint point = GetParam()();
  auto server = std::make_unique<JobStoreServer>(point);
  JobStoreClient client(point, now_ns() + 10 * kSecond);
  server.reset();
  try {
    client.get("key", 60'000);
    FAIL() << "the server is gone";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kPeerDied);
    EXPECT_NE(std::string(error.what()).find("rank 0"), std::string::npos) << error.what();
  }
  EXPECT_NO_THROW(client.release("prefix/", 2));
}

TEST(Strangers, AreDroppedAndCounted) {
  set_log_level(0);
  const MeetingPoint point = tcp_point();
  const JobStoreServer server(point);
  JobStoreClient client(point, now_ns() + 10 * kSecond);
  const int64_t patience = now_ns() + 60 * kSecond;
  std::vector<Fd> silent;
  std::string why;
  for (int i = 0; i < 200; ++i) {
    Fd garbage = connect_tcp("127.0.0.1", point.ports[0], patience, &why);
    ASSERT_TRUE(garbage.valid()) << why;
    const std::string text = i % 2 == 0 ? "GET / HTTP/1.1\r\n\r\n" : std::string(5000, '\xff');
    EXPECT_GT(send(garbage.get(), text.data(), text.size(), MSG_NOSIGNAL), 0);
    silent.push_back(connect_tcp("127.0.0.1", point.ports[0], patience, &why));
  }
  client.set("key", "value");
  EXPECT_EQ(client.get("key", 0), "value");
  while (server.dropped() < 400 && now_ns() < patience) std::this_thread::yield();
  EXPECT_EQ(server.dropped(), 400);
}

TEST(MeetingPoints, ThePortsAreTriedInOrder) {
  MeetingPoint point = tcp_point();
  const JobStoreServer first(point);
  MeetingPoint second = tcp_point();
  second.ports.insert(second.ports.begin(), point.ports[0]);
  second.job = "another run";
  const JobStoreServer server(second);
  // The first port is the other job's, and that is found out.
  set_log_level(0);
  JobStoreClient client(second, now_ns() + 10 * kSecond);
  client.set("key", "value");
  try {
    const JobStoreServer third(point);
    FAIL() << "the port is taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("in use"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace distos_coll
