#include "core/settings.h"

#include <gtest/gtest.h>

#include "core/status.h"

namespace distos_coll {
namespace {

std::string refusal(const std::string& text) {
  try {
    (void)Settings::parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalid);
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text;
  return "";
}

TEST(Settings, EmptyTextIsTheDefaults) {
  const Settings settings = Settings::parse("");
  EXPECT_TRUE(settings.shm);
  EXPECT_EQ(settings.slot_bytes, size_t{1} << 20);
  EXPECT_EQ(settings.interfaces, "");
}

TEST(Settings, ReadsEveryKind) {
  const Settings settings = Settings::parse(
      "shm=0\ntcp=1\nslot_bytes=4096\nheartbeat_ms=100\n"
      "\ninterfaces==eth0,^docker\nhost_id=");
  EXPECT_FALSE(settings.shm);
  EXPECT_TRUE(settings.tcp);
  EXPECT_EQ(settings.slot_bytes, 4096u);
  EXPECT_EQ(settings.heartbeat_ms, 100);
  EXPECT_EQ(settings.interfaces, "=eth0,^docker");  // only the first '=' divides
  EXPECT_EQ(settings.host_id, "");
}

TEST(Settings, NamesTheLineItRefuses) {
  EXPECT_NE(refusal("shm=1\nspin=3").find("\"spin=3\""), std::string::npos);
  EXPECT_NE(refusal("spin=3").find("reinstall"), std::string::npos);
  EXPECT_NE(refusal("shm=yes").find("0 or 1"), std::string::npos);
  EXPECT_NE(refusal("shm").find("name=value"), std::string::npos);
  for (const char* number : {"", "x", "1k", " 1", "1 ", "99999999999999999999", "0x10"}) {
    EXPECT_NE(refusal(std::string("spin_us=") + number).find("whole number"), std::string::npos)
        << number;
  }
  for (const char* number : {"-1", "1099511627777"}) {
    EXPECT_NE(refusal(std::string("slot_bytes=") + number).find("0 to 2^40"), std::string::npos);
  }
}

}  // namespace
}  // namespace distos_coll
