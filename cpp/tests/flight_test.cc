// The flight recorder: what is remembered, and the files that are made of it.
#include "comm/flight.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>

#include "comm/flight_text.h"
#include "tests/local_group.h"

namespace distos_coll::testing {
namespace {

constexpr int64_t kPatienceNs = 60'000'000'000;  // a bound for what takes milliseconds

// A folder that is gone with the test, and settings that name files in it.
class FlightFiles : public ::testing::Test {
 protected:
  FlightFiles() {
    std::string name = ::testing::TempDir() + "flightXXXXXX";
    folder_ = mkdtemp(name.data());
    settings_.flight_file = (folder_ / "rank_").string();
  }
  ~FlightFiles() override { std::filesystem::remove_all(folder_); }

  std::string dump_of(int rank) const {
    std::ifstream file(folder_ / strf("rank_%d.json", rank));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  size_t files() const {
    const auto all = std::filesystem::directory_iterator(folder_);
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }

  std::filesystem::path folder_;
  Settings settings_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// --- What is remembered

TEST(MessageRecorder, KeepsTheNewest) {
  MessageRecorder recorder;
  const auto kept = static_cast<int64_t>(MessageRecorder::kRecords);
  for (int64_t i = 1; i <= kept + 3; ++i)
    EXPECT_EQ(recorder.queued(i % 2 == 0, 5, -i, static_cast<size_t>(i), 100 + i), i);
  recorder.ended(2, 5, false);  // forgotten: must not change what took its place
  recorder.matched(kept + 2, 7);
  recorder.ended(kept + 3, 5, true);
  const auto records = recorder.records();
  ASSERT_EQ(records.size(), MessageRecorder::kRecords);
  EXPECT_EQ(recorder.last(), kept + 3);
  for (size_t i = 0; i < records.size(); ++i) {
    const auto& record = records[i];
    EXPECT_EQ(record.sequence, static_cast<int64_t>(i) + 4);
    EXPECT_EQ(record.sends, record.sequence % 2 == 0);
    EXPECT_EQ(record.tag, -record.sequence);
    EXPECT_EQ(record.bytes, static_cast<uint64_t>(record.sequence));
    EXPECT_EQ(record.queued_ns, 100 + record.sequence);
    const bool matched = record.sequence == kept + 2, ended = record.sequence == kept + 3;
    EXPECT_EQ(record.peer, matched ? 7 : 5);
    EXPECT_EQ(record.state, matched ? MessageRecorder::State::kMatched
                            : ended ? MessageRecorder::State::kFinished
                                    : MessageRecorder::State::kQueued);
  }
}

TEST(MessageRecorder, IsReadWhileItIsWritten) {
  MessageRecorder recorder;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int64_t i = 1; !stop.load(); ++i) {
      recorder.queued(false, -1, i, static_cast<size_t>(i), i);
      recorder.ended(i, static_cast<int>(i % 1000), true);
    }
  });
  size_t seen = 0;
  while (seen < 20'000) {
    for (const auto& record : recorder.records()) {
      ++seen;
      ASSERT_EQ(record.tag, record.sequence);
      ASSERT_EQ(record.bytes, static_cast<uint64_t>(record.sequence));
      ASSERT_EQ(record.queued_ns, record.sequence);
      const bool ended = record.state == MessageRecorder::State::kFinished;
      ASSERT_EQ(record.peer, ended ? static_cast<int>(record.sequence % 1000) : -1);
    }
  }
  stop = true;
  writer.join();
}

TEST(Recorder, WhatIsForgottenDoesNotChangeWhatTookItsPlace) {
  Recorder recorder;
  const Signature call(Collective::kBarrier, DType::kUint8, ReduceOp::kSum, 0, 0);
  const auto kept = static_cast<int64_t>(Recorder::kRecords);
  recorder.queued(1, call, 10);
  recorder.queued(kept + 1, call, 20);
  recorder.running(1, "ring");
  recorder.ended(1, true, 30);
  const auto newer = recorder.find(kept + 1);
  ASSERT_TRUE(newer);
  EXPECT_EQ(newer->state, Recorder::State::kQueued);
  EXPECT_STREQ(newer->program, "");
  EXPECT_EQ(newer->ended_ns, 0);
}

TEST(Messages, AreRecordedFromCallToEnd) {
  LocalWorld world(2);
  auto group = world.make_group("direct1");
  std::vector<double> small(4), large(1000);
  const Ref<Work> any = group[1]->receive(small.data(), 32, kAnySource, 3, {});
  const Ref<Work> lone = group[1]->receive(small.data(), 8, 0, 4, {});
  auto told = group[1]->flight().messages;
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].peer, kAnySource);
  EXPECT_EQ(told[0].state, MessageRecorder::State::kQueued);
  const Ref<Work> sent = group[0]->send(large.data(), 32, 1, 3, {});
  group[0]->wait(*sent, 0);
  group[1]->wait(*any, 0);
  told = group[1]->flight().messages;
  EXPECT_EQ(told[0].peer, 0);
  EXPECT_FALSE(told[0].sends);
  EXPECT_EQ(told[0].state, MessageRecorder::State::kFinished);
  EXPECT_EQ(told[1].state, MessageRecorder::State::kQueued);
  // Too large to be sent unasked.
  const Ref<Work> asking = group[0]->send(large.data(), 8000, 1, 5, {});
  told = group[0]->flight().messages;
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(told[1].sends);
  EXPECT_EQ(told[1].bytes, 8000u);
  EXPECT_EQ(told[1].tag, 5);
  EXPECT_EQ(told[1].state, MessageRecorder::State::kQueued);
  group[0]->abort("enough");
  group[0]->wait(*asking, 0);
  group[1]->wait(*lone, 0);
  EXPECT_EQ(group[0]->flight().messages[1].state, MessageRecorder::State::kFailed);
  close_all(group);
}

// --- What a dump says

TEST(FlightText, SaysIt) {
  FlightGroup group;
  group.id = 0xabc;
  group.options = {1, 2, 5000, "d\"p\n", {4, 6}};
  group.code = Code::kTimeout;
  group.why = "back\\slash";
  group.last_collective = 9;
  group.collectives = {{8, Signature(Collective::kAllGather, DType::kUint8, ReduceOp::kSum, 0, 16),
                        0, Recorder::State::kFinished, 1000, 1500, "ring"},
                       {9, Signature(Collective::kReduce, DType::kFloat32, ReduceOp::kMax, 1, 3), 0,
                        Recorder::State::kFailed, 3000, 0, "tree"}};
  group.last_message = 1;
  group.messages = {{1, false, kAnySource, 7, 24, MessageRecorder::State::kQueued, 2000}};
  const std::string text = flight_text({6, 77, "host", "why", 4000, 1'004'000}, {group});
  for (const char* part : {
           R"("rank": 6, "pid": 77, "host": "host", "reason": "why", "time_ns": 1004000})",
           R"("0000000000000abc": {"name": "0000000000000abc", "desc": "d\"p\u000a", )"
           R"("ranks": "[4, 6]", "rank": 1, "size": 2, "error_code": "timeout", )"
           R"("error": "back\\slash"})",
           R"({"last_enqueued_collective": 9, "last_started_collective": 9, )"
           R"("last_completed_collective": 8, "last_enqueued_message": 1})",
           R"("call": "all_gather of 16 bytes", "algorithm": "ring", "input_sizes": [[16]], )"
           R"("input_dtypes": ["uint8"], "output_sizes": [[32]])",
           R"("time_created_ns": 1001000, "time_discovered_started_ns": null, )"
           R"("time_discovered_completed_ns": 1001500, "state": "completed", "retired": true})",
           R"("record_id": 1, )",
           R"("profiling_name": "distos:recv 1<-any", "peer": -1, "tag": 7, "bytes": 24)",
           R"("state": "scheduled", "retired": false})",
           R"("call": "reduce of 3 float32, op max, root 1")",
           R"("state": "started", "retired": true})",
       }) {
    EXPECT_TRUE(has(text, part)) << part << "\nis not in\n" << text;
  }
  EXPECT_LT(text.find("distos:recv"), text.find("distos:reduce")) << "entries are by time";
}

// --- Files

TEST_F(FlightFiles, AreThereWhenTheFailureIsTold) {
  LocalWorld world(2, 0, true, settings_);
  auto broken = world.make_group("direct1");
  auto other = world.make_group("direct1");
  on_all_ranks(2, [&](int rank) {
    auto& mine = *broken[static_cast<size_t>(rank)];
    std::vector<float> data(rank == 0 ? 4 : 5, 1);
    const Ref<Work> work = mine.enqueue(all_reduce_of(data, true));
    EXPECT_EQ(work->code(), Code::kMismatch);
    const std::string text = dump_of(rank);
    EXPECT_TRUE(has(text, "\"reason\": \"mismatch in group 'test'\"")) << text;
    EXPECT_TRUE(has(text, strf("all_reduce of %zu float32", data.size()))) << text;
    for (const auto* group : {&broken, &other}) {
      const uint64_t id = (*group)[static_cast<size_t>(rank)]->flight().id;
      EXPECT_TRUE(has(text, strf("%016llx", static_cast<unsigned long long>(id))));
    }
  });
  close_all(broken);
  close_all(other);
  EXPECT_EQ(files(), 2u) << "nothing but the dumps is left";
}

TEST_F(FlightFiles, AreWrittenForAMessageThatFails) {
  LocalWorld world(2, 0, true, settings_);
  auto group = world.make_group("direct1");
  double data = 0;
  CallOptions soon;
  soon.timeout_ms = 50;
  soon.blocking = true;
  const Ref<Work> work = group[1]->receive(&data, 8, 0, 3, soon);
  EXPECT_EQ(work->code(), Code::kTimeout);
  EXPECT_TRUE(has(dump_of(1), "a message failed in group 'test'")) << dump_of(1);
  close_all(group);
  EXPECT_EQ(files(), 1u) << "a group that is closed leaves no dump";
}

TEST_F(FlightFiles, ThatCannotBeWrittenChangeNothingElse) {
  settings_.flight_file = (folder_ / "absent" / "rank_").string();
  LocalWorld world(2, 0, true, settings_);
  auto group = world.make_group("direct1");
  ::testing::internal::CaptureStderr();
  on_all_ranks(2, [&](int rank) {
    std::vector<float> data(rank == 0 ? 4 : 5, 1);
    const Ref<Work> work = group[static_cast<size_t>(rank)]->enqueue(all_reduce_of(data, true));
    EXPECT_EQ(work->code(), Code::kMismatch) << work->error();
  });
  close_all(group);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(has(said, "no flight record was written: cannot create " +
                            (folder_ / "absent" / "rank_0.json").string()))
      << said;
  EXPECT_TRUE(has(said, "No such file or directory")) << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2) << said;
}

TEST_F(FlightFiles, AreWrittenOnRequest) {
  Settings none;
  LocalWorld world(2, 0, true, none);
  EXPECT_TRUE(write_flight_records(settings_.flight_file).empty()) << "there is no group";
  auto group = world.make_group("direct1");
  EXPECT_THROW(write_flight_records(std::nullopt), Error);
  const auto paths = write_flight_records(settings_.flight_file);
  EXPECT_EQ(paths.size(), 2u);
  EXPECT_TRUE(has(dump_of(1), "\"reason\": \"asked for by the program\"")) << dump_of(1);
  EXPECT_THROW(write_flight_records((folder_ / "absent" / "x").string()), Error);
  close_all(group);
  EXPECT_TRUE(write_flight_records(settings_.flight_file).empty());
}

std::atomic<int> g_calls_of_older_handler{0};

TEST_F(FlightFiles, AreWrittenOnASignalWhileAllThreadsAreStuck) {
  struct sigaction older = {};
  older.sa_handler = [](int) { g_calls_of_older_handler.fetch_add(1); };
  sigaction(SIGUSR2, &older, nullptr);
  settings_.flight_signal = "SIGUSR2";
  LocalWorld world(2, 0, true, settings_);
  auto group = world.make_group("direct1");
  std::vector<float> data(4, 1);
  std::thread stuck([&] { (void)group[0]->enqueue(all_reduce_of(data, true)); });
  const int64_t give_up = now_ns() + kPatienceNs;
  while (group[0]->flight().last_collective == 0 && now_ns() < give_up) std::this_thread::yield();
  raise(SIGUSR2);
  while ((dump_of(0).empty() || dump_of(1).empty()) && now_ns() < give_up)
    std::this_thread::yield();
  EXPECT_TRUE(has(dump_of(0), "\"reason\": \"SIGUSR2\"")) << dump_of(0);
  EXPECT_TRUE(has(dump_of(0), "all_reduce of 4 float32")) << dump_of(0);
  EXPECT_EQ(g_calls_of_older_handler.load(), 1);
  group[1]->abort("enough");
  stuck.join();
  close_all(group);
}

}  // namespace
}  // namespace distos_coll::testing
