// For tests of links: frames whose content can be checked, and a sink that checks it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "transport/link.h"

namespace distos_coll::testing {

// Frame number `n` of a sequence: size and content follow from the seed, so both ends can make it.
struct TestFrame {
  FrameHeader header;
  std::vector<std::byte> payload;

  TestFrame(uint64_t seed, uint64_t n, uint64_t comm = 1) {
    std::mt19937_64 random(seed * 1'000'003 + n);
    // Mostly small, often at the edges, sometimes large.
    const uint64_t pick = random() % 10;
    size_t bytes = random() % 200;
    if (pick == 0) bytes = 0;
    if (pick == 1) bytes = kMaxFramePayload;
    if (pick == 2) bytes = random() % (kMaxFramePayload + 1);
    if (pick == 3) bytes = 16 + 64 * (random() % 4);  // ends exactly at a record's end
    header.comm = comm;
    header.bytes = static_cast<uint32_t>(bytes);
    header.kind = static_cast<FrameKind>(1 + random() % 7);
    header.lane = static_cast<uint16_t>(random());
    header.source = static_cast<uint32_t>(n);
    header.a = random();
    header.b = n;
    payload.resize(bytes);
    const uint64_t pattern = random();
    for (size_t i = 0; i < bytes; ++i)
      payload[i] = static_cast<std::byte>((pattern + i * 131) >> (i % 8));
  }
};

class CheckingSink : public FrameSink {
 public:
  explicit CheckingSink(uint64_t seed, uint64_t comm = 1) : seed_(seed), comm_(comm) {}

  void on_frame(const FrameHeader& header, const std::byte* payload) override {
    const TestFrame expected(seed_, next_++, comm_);
    FrameHeader as_sent = header;
    as_sent.order = 0;  // the link's own
    ASSERT_EQ(std::memcmp(&as_sent, &expected.header, sizeof header), 0) << "frame " << next_ - 1;
    const std::vector<std::byte> got(payload, payload + header.bytes);
    ASSERT_TRUE(got == expected.payload) << "frame " << next_ - 1;
  }
  uint64_t received() const { return next_; }

 private:
  const uint64_t seed_, comm_;
  uint64_t next_ = 0;
};

}  // namespace distos_coll::testing
