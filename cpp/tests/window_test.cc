// Slots of a window: whoever is rounds behind still reads what was written for those rounds.
#include "exec/window.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

namespace distos_coll::exec {
namespace {

class Silent final : public Neighbour {
 public:
  void ring() override {}
  Code read_memory(uint64_t, void*, size_t) override { return Code::kPeerDied; }
};

constexpr size_t kSlot = 40'000;

std::unique_ptr<Window> window_of(int member) {
  std::vector<std::shared_ptr<Neighbour>> neighbours(2);
  neighbours[static_cast<size_t>(1 - member)] = std::make_shared<Silent>();
  return std::make_unique<Window>(member, std::move(neighbours), kSlot);
}

Fd copy_of(int fd) { return Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// What the writer puts in a round: one piece, or two of which the second does not fit into a small
// slot any more.
struct Filling {
  size_t first, second;
  std::vector<std::byte> bytes;
};

Filling filling(std::mt19937& random) {
  const size_t sizes[] = {0, 1, kInlineBytes, kSmallSlotBytes, kSmallSlotBytes + 1, 3'000, kSlot};
  const size_t total = random() % 3 == 0 ? sizes[random() % 7] : random() % (kSlot + 1);
  Filling out{total == 0 ? 0 : random() % (total + 1), 0, std::vector<std::byte>(total)};
  out.second = total - out.first;
  for (std::byte& each : out.bytes) each = static_cast<std::byte>(random());
  return out;
}

// False: there is no room for now; what is left of it has to be put later.
bool put_rest(Window& window, Filling* filled) {
  const std::byte* bytes = filled->bytes.data();
  if (filled->first > 0) {
    if (!window.put(0, bytes, filled->first)) return false;
    filled->first = 0;
  }
  const size_t at = filled->bytes.size() - filled->second;
  return filled->second == 0 || window.put(at, bytes + at, filled->second);
}

void expect_read(const Window& reader, const std::vector<std::byte>& wanted) {
  const size_t bytes = wanted.size();
  if (bytes == 0) return;
  ASSERT_EQ(std::memcmp(reader.data(0, 0, bytes), wanted.data(), bytes), 0);
  ASSERT_EQ(*reader.data(0, bytes - 1, 1), wanted.back());
}

struct Pair {
  std::unique_ptr<Window> writer = window_of(0), reader = window_of(1);

  Pair() {
    writer->attach(1, copy_of(reader->fd()));
    reader->attach(0, copy_of(writer->fd()));
  }
  void arrive() const {
    ASSERT_TRUE(reader->can_open());
    reader->open(Signature(1));
    reader->commit();
  }
};

TEST(Window, ASlotIsWholeUntilItsReadersHaveArrivedInTheNextRound) {
  const Pair pair;
  Window& writer = *pair.writer;
  std::mt19937 random(20261124);
  std::deque<std::vector<std::byte>> unread;
  size_t furthest = 0, full = 0;
  bool open = false;
  Filling next;
  for (int step = 0; step < 30'000; ++step) {
    // Now the one is faster, now the other.
    const bool writes = random() % 8 < (step / 500 % 2 == 0 ? 6 : 2);
    if (!writes) {
      if (unread.empty()) continue;
      pair.arrive();
      ASSERT_TRUE(pair.reader->arrived(0));
      expect_read(*pair.reader, unread.front());
      // What is next is not there before it is committed.
      unread.pop_front();
      continue;
    }
    if (!open) {
      if (!writer.can_open()) {
        ++full;
        ASSERT_TRUE(writer.waits_for(1));
        continue;
      }
      writer.open(Signature(1));
      next = filling(random);
      open = true;
    }
    if (!put_rest(writer, &next)) {
      ++full;
      ASSERT_TRUE(writer.waits_for(1));
      continue;
    }
    writer.commit();
    unread.push_back(next.bytes);
    open = false;
    furthest = std::max(furthest, unread.size());
  }
  ASSERT_GT(furthest, 4U);
  ASSERT_GT(full, 100U);
}

TEST(Window, OneWhoOnlySendsIsAsFarAheadAsThereAreLines) {
  const Pair pair;
  const uint32_t word = 7;
  const auto send = [&] {
    if (!pair.writer->can_open()) return false;
    pair.writer->open(Signature(1));
    EXPECT_TRUE(pair.writer->put(0, &word, sizeof word));
    pair.writer->commit();
    return true;
  };
  uint64_t sent = 0;
  while (send()) ++sent;
  EXPECT_EQ(sent, kRoundsAhead);
  EXPECT_TRUE(pair.writer->waits_for(1));
  pair.arrive();
  EXPECT_TRUE(send());
  EXPECT_FALSE(send());
  // Each of them is still there.
  for (uint64_t round = 2; round <= kRoundsAhead + 1; ++round) {
    ASSERT_TRUE(pair.reader->arrived(0));
    ASSERT_EQ(std::memcmp(pair.reader->data(0, 0, sizeof word), &word, sizeof word), 0);
    pair.arrive();
  }
}

TEST(Window, ALargeSlotWaitsForRoomAndSaysForWhom) {
  const Pair pair;
  const std::vector<std::byte> large(kSlot, std::byte{3});
  size_t sent = 0;
  for (;; ++sent) {
    ASSERT_TRUE(pair.writer->can_open());
    pair.writer->open(Signature(1));
    if (!pair.writer->put(0, large.data(), large.size())) break;
    pair.writer->commit();
  }
  EXPECT_EQ(sent, 3U);
  EXPECT_TRUE(pair.writer->waits_for(1));
  EXPECT_FALSE(pair.writer->waits_for(0));
  pair.arrive();  // in the first round, which it still reads
  EXPECT_FALSE(pair.writer->put(0, large.data(), large.size()));
  pair.arrive();
  EXPECT_TRUE(pair.writer->put(0, large.data(), large.size()));
}

}  // namespace
}  // namespace distos_coll::exec
