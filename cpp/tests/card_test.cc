#include <gtest/gtest.h>

#include <random>

#include "comm/bytes.h"
#include "comm/runtime.h"
#include "comm/wire.h"

namespace distos_coll {
namespace {

PeerCard sample() {
  PeerCard card;
  for (size_t i = 0; i < card.uid.size(); ++i) card.uid[i] = static_cast<uint8_t>(i * 7);
  card.secret.fill(3);
  card.build = "1.2.3 (wire 5)";
  card.pid = 4711;
  card.hostname = "node-a";
  card.host_id = "boot/x";
  card.unix_name = "distos_coll.00";
  card.addresses = {{"eth0", "10.0.0.1", 4000}, {"ib0", "fd00::1", 65535}};
  return card;
}

std::string why_not(const std::string& bytes) {
  try {
    PeerCard::decode(bytes.data(), bytes.size());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalid);
    return error.what();
  }
  return "accepted";
}

TEST(Card, ComesBackAsItWas) {
  const PeerCard card = sample();
  const std::string bytes = card.encode();
  const PeerCard back = PeerCard::decode(bytes.data(), bytes.size());
  EXPECT_EQ(back.uid, card.uid);
  EXPECT_EQ(back.secret, card.secret);
  EXPECT_EQ(back.build, card.build);
  EXPECT_NE(back.without_secret().secret, card.secret);
  EXPECT_EQ(back.pid, card.pid);
  EXPECT_EQ(back.hostname, card.hostname);
  EXPECT_EQ(back.host_id, card.host_id);
  EXPECT_EQ(back.unix_name, card.unix_name);
  ASSERT_EQ(back.addresses.size(), 2U);
  EXPECT_EQ(back.addresses[1].interface, "ib0");
  EXPECT_EQ(back.addresses[1].ip, "fd00::1");
  EXPECT_EQ(back.addresses[1].port, 65535);
  EXPECT_EQ(back.encode(), bytes);
}

TEST(Card, EveryPrefixIsRefused) {
  const std::string bytes = sample().encode();
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(why_not(bytes.substr(0, n)), "accepted") << n;
  EXPECT_NE(why_not(bytes + "x").find("follow"), std::string::npos);
}

TEST(Card, SaysWhatIsWrong) {
  std::string other_version = sample().encode();
  other_version[4] = 9;
  EXPECT_NE(why_not(other_version).find("version is 9"), std::string::npos);
  EXPECT_NE(why_not("{\"json\": true}").find("does not start"), std::string::npos);
  PeerCard evil = sample();
  evil.hostname = "a\x1b[2J";
  EXPECT_NE(why_not(evil.encode()).find("control characters"), std::string::npos);
}

TEST(Card, FlippedBytesNeverCrash) {
  std::mt19937 random(1);
  const std::string good = sample().encode();
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    why_not(bytes);
  }
}

TEST(Wire, HandshakeComesBackAsItWas) {
  Handshake hello;
  hello.role = Role::kTcpData;
  hello.flags = 5;
  hello.from.fill(1);
  hello.to.fill(2);
  hello.challenge.fill(8);
  hello.nonce = 3;
  hello.mapped_echo = 4;
  hello.private_echo = 5;
  hello.proof_address = 6;
  hello.ring_bytes = 7;
  hello.card = "card";
  std::string why;
  const auto back = decode_handshake(encode_handshake(hello), &why);
  ASSERT_TRUE(back);
  EXPECT_EQ(encode_handshake(*back), encode_handshake(hello));
}

TEST(Wire, HandshakeOfAnotherVersionNamesBoth) {
  Handshake hello;
  hello.version = 77;
  std::string why;
  EXPECT_FALSE(decode_handshake(encode_handshake(hello), &why));
  EXPECT_NE(why.find("77"), std::string::npos);
  std::string cut = encode_handshake(Handshake{});
  cut.pop_back();
  EXPECT_FALSE(decode_handshake(cut, &why));
  EXPECT_FALSE(decode_handshake(encode_handshake(Handshake{}) + "x", &why));
  Handshake strange;
  strange.role = static_cast<Role>(9);
  EXPECT_FALSE(decode_handshake(encode_handshake(strange), &why));
}

TEST(Wire, MessagesAreParsedWholeOrNotAtAll) {
  Message message;
  message.type = MessageType::kControl;
  message.kind = 3;
  message.source = 9;
  message.comm = 0x123456789abcdefULL;
  message.payload = "reason";
  const std::string bytes = encode_message(message);
  ASSERT_EQ(bytes.size(), kMessageHeaderBytes + 6);
  Message back;
  size_t used = 0;
  std::string why;
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_EQ(parse_message(bytes.data(), n, 100, &back, &used, &why), ParseResult::kIncomplete)
        << n;
  }
  ASSERT_EQ(parse_message(bytes.data(), bytes.size(), 100, &back, &used, &why),
            ParseResult::kWhole);
  EXPECT_EQ(used, bytes.size());
  EXPECT_EQ(encode_message(back), bytes);
  EXPECT_EQ(parse_message(bytes.data(), bytes.size(), 5, &back, &used, &why),
            ParseResult::kInvalid);
  EXPECT_EQ(parse_message("GET ", 4, 100, &back, &used, &why), ParseResult::kInvalid);
}

TEST(Bytes, ReadsPastTheEndAreZeroAndRemembered) {
  const char data[3] = {1, 2, 3};
  ByteReader in(data, sizeof data);
  EXPECT_EQ(in.number<uint16_t>(), 0x0201);
  EXPECT_EQ(in.number<uint32_t>(), 0U);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.number<uint8_t>(), 0);
}

}  // namespace
}  // namespace distos_coll
