#include "tests/runtimes.h"

#include <thread>

namespace distos_coll::testing {

PeerMatrix connect_all(const std::vector<std::shared_ptr<Runtime>>& runtimes) {
  const std::vector<PeerCard> cards = cards_of(runtimes);
  PeerMatrix peers(runtimes.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < runtimes.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        peers[i] = runtimes[i]->connect(cards, now_ns() + kPatienceNs);
      } catch (const Error& error) {
        ADD_FAILURE() << error.what();
        peers[i].resize(cards.size());
      }
    });
  }
  for (std::thread& each : threads) each.join();
  return peers;
}

}  // namespace distos_coll::testing
