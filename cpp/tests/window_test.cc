// Slots of a window: whoever is a round behind still reads what was written for that round.
#include "exec/window.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
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

void put(Window& window, const Filling& filled) {
  window.open(Signature(1));
  if (filled.first > 0) window.put(0, filled.bytes.data(), filled.first);
  if (filled.second > 0)
    window.put(filled.first, filled.bytes.data() + filled.first, filled.second);
}

TEST(Window, ASlotIsWholeUntilAllHaveArrivedInTheNextRound) {
  const auto writer = window_of(0), reader = window_of(1);
  writer->attach(1, copy_of(reader->fd()));
  reader->attach(0, copy_of(writer->fd()));
  std::mt19937 random(20261124);
  Filling last = filling(random);
  put(*writer, last);
  writer->commit();
  for (int round = 0; round < 2000; ++round) {
    reader->open(Signature(1));
    reader->commit();
    ASSERT_TRUE(writer->can_open());
    // The writer is a round ahead, and has not told of it yet.
    const Filling next = filling(random);
    put(*writer, next);
    ASSERT_TRUE(reader->arrived(0));
    const size_t bytes = last.bytes.size();
    if (bytes > 0) {
      ASSERT_EQ(std::memcmp(reader->data(0, 0, bytes), last.bytes.data(), bytes), 0) << round;
      ASSERT_EQ(*reader->data(0, bytes - 1, 1), last.bytes.back()) << round;
    }
    writer->commit();
    last = next;
  }
}

}  // namespace
}  // namespace distos_coll::exec
