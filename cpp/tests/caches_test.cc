#include "core/caches.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace distos_coll {
namespace {

namespace fs = std::filesystem;

// A folder like /sys/devices/system/cpu/cpu0/cache.
class Caches : public testing::Test {
 protected:
  Caches() : folder_(fs::path(testing::TempDir()) / ("caches" + std::to_string(getpid()))) {}
  ~Caches() override { fs::remove_all(folder_); }
  void add(int index, const std::string& level, const std::string& size) {
    const fs::path cache = folder_ / ("index" + std::to_string(index));
    fs::create_directories(cache);
    std::ofstream(cache / "level") << level << "\n";
    std::ofstream(cache / "size") << size << "\n";
  }
  size_t found() const { return last_cache_bytes_in(folder_.string()); }

 private:
  const fs::path folder_;
};

TEST_F(Caches, TheDeepestLevelCounts) {
  add(0, "1", "48K");
  add(1, "1", "32K");
  add(2, "3", "32768K");
  add(3, "2", "1024K");
  EXPECT_EQ(found(), size_t{32} << 20);
}

TEST_F(Caches, UnitsAreRead) {
  add(0, "1", "2M");
  EXPECT_EQ(found(), size_t{2} << 20);
  add(1, "2", "4096");
  EXPECT_EQ(found(), 4096);
}

TEST_F(Caches, NobodySays) {
  EXPECT_EQ(found(), 0);
  for (const char* size : {"", "K", "many", "12Q", "1KB", "-1K"}) {
    add(0, "2", size);
    EXPECT_EQ(found(), 0) << size;
  }
}

}  // namespace
}  // namespace distos_coll
