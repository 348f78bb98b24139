// Strangers, liars and wrong turns on the way to a connection.
#include "comm/handshake.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "comm/control.h"
#include "comm/mapped_proof.h"
#include "comm/seal.h"
#include "core/log.h"
#include "tests/error_page.h"
#include "tests/local_group.h"
#include "tests/runtimes.h"
#include "tests/stranger.h"
#include "transport/interfaces.h"
#include "transport/tcp_link.h"

namespace distos_coll {
namespace {

using namespace testing;

class Quiet : public ::testing::Environment {
 public:
  // The lines about dropped strangers are wanted, but not hundreds of them here.
  void SetUp() override { set_log_level(0); }
};
const auto* const kQuiet = ::testing::AddGlobalTestEnvironment(new Quiet);

TEST(Strangers, GarbageIsDropped) {
  const auto shm = Runtime::create(shm_only());
  const auto tcp = Runtime::create(tcp_only());
  const std::string garbage[] = {"GET / HTTP/1.1\r\n\r\n", std::string(4, '\0'),
                                 std::string(100'000, 'x'),
                                 "\x16\x03\x01\x02" + std::string(512, '\1')};
  for (const std::string& bytes : garbage) {
    Client over_tcp = Client::tcp_to(tcp->card());
    over_tcp.send_raw(bytes);
    over_tcp.expect_closed();
    Client over_unix = Client::unix_to(shm->card());
    over_unix.send_raw(bytes);
    over_unix.expect_closed();
  }
  // A valid start that promises more than a stranger may send.
  Message huge;
  huge.type = MessageType::kHello;
  huge.payload.assign(kMaxHandshakePayload + 1, 'x');
  Client client = Client::tcp_to(tcp->card());
  client.send_raw(encode_message(huge));
  client.expect_closed();
  EXPECT_NE(tcp->describe().find("5 connections were dropped"), std::string::npos)
      << tcp->describe();
}

TEST(Strangers, SilenceAndHalfAHelloTimeOut) {
  const auto shm = Runtime::create(shm_only());
  const auto tcp = Runtime::create(tcp_only());
  Client silent = Client::tcp_to(tcp->card());
  Client half = Client::tcp_to(tcp->card());
  Seal seal(handshake_key(tcp->card(), ""));
  half.send_raw(
      encode_message(seal.close(MessageType::kHello, hello_to(tcp->card(), Role::kTcpControl)))
          .substr(0, 50));
  Client silent_unix = Client::unix_to(shm->card());
  silent.expect_closed();
  half.expect_closed();
  silent_unix.expect_closed();
}

TEST(Strangers, AFloodOfSilentConnectionsDoesNotKeepPeersOut) {
  const std::vector<std::shared_ptr<Runtime>> runtimes = {Runtime::create(tcp_only()),
                                                          Runtime::create(tcp_only())};
  std::vector<Client> flood;
  for (size_t i = 0; i < 2 * kMaxHalfOpen; ++i) {
    flood.push_back(Client::tcp_to(runtimes[i % 2]->card()));
    flood.push_back(Client::tcp_to(runtimes[(i + 1) % 2]->card()));
  }
  const PeerMatrix peers = connect_all(runtimes);
  EXPECT_TRUE(peers[0][1] && peers[1][0]);
  // The oldest had to make room.
  flood.front().expect_closed();
}

TEST(Strangers, HellosThatAreWrongAreRejectedWithTheReason) {
  const auto tcp = Runtime::create(tcp_only());
  const auto rejected = [&](const Handshake& hello) {
    Client client = Client::tcp_to(tcp->card());
    client.send(MessageType::kHello, hello);
    return client.expect_reject();
  };
  Handshake version = hello_to(tcp->card(), Role::kTcpControl);
  version.version = 1;
  EXPECT_NE(rejected(version).find("handshake version 1"), std::string::npos);
  Handshake uid = hello_to(tcp->card(), Role::kTcpControl);
  uid.to.fill(9);
  EXPECT_NE(rejected(uid).find("wrong uid"), std::string::npos);
  Handshake order = hello_to(tcp->card(), Role::kTcpControl);
  order.from.fill(0xff);
  PeerCard large = stranger();
  large.uid = order.from;
  order.card = large.encode();
  EXPECT_NE(rejected(order).find("smaller uid"), std::string::npos);
  Handshake card = hello_to(tcp->card(), Role::kTcpControl);
  card.card = "not a card";
  EXPECT_NE(rejected(card).find("card is invalid"), std::string::npos);
  Handshake other = hello_to(tcp->card(), Role::kTcpControl);
  other.card = large.encode();
  EXPECT_NE(rejected(other).find("another process"), std::string::npos);
  EXPECT_NE(rejected(hello_to(tcp->card(), Role::kUnix)).find("another kind"), std::string::npos);
  for (const uint16_t sockets : {uint16_t{0}, static_cast<uint16_t>(kMaxSocketsPerPeer + 1)}) {
    Handshake count = hello_to(tcp->card(), Role::kTcpControl);
    count.socket = sockets;
    EXPECT_NE(rejected(count).find("1 to 16 data connections"), std::string::npos);
  }
  Client data = Client::tcp_to(tcp->card());
  data.send(MessageType::kHello, hello_to(tcp->card(), Role::kTcpData));
  data.expect_closed();
  Client commit_first = Client::tcp_to(tcp->card());
  commit_first.send(MessageType::kCommit, hello_to(tcp->card(), Role::kTcpControl));
  commit_first.expect_closed();
  Client no_data = Client::tcp_to(tcp->card());
  no_data.send(MessageType::kHello, hello_to(tcp->card(), Role::kTcpControl));
  ASSERT_TRUE(no_data.receive_handshake());
  no_data.send(MessageType::kCommit, hello_to(tcp->card(), Role::kTcpControl));
  EXPECT_NE(no_data.expect_reject().find("before the data connection"), std::string::npos);
}

// A stranger that does the TCP handshake right becomes a peer; the same uid is refused a second
// time.
TEST(Strangers, TheSameUidConnectsOnce) {
  const auto tcp = Runtime::create(tcp_only());
  const Handshake control_hello = hello_to(tcp->card(), Role::kTcpControl);
  Client control = Client::tcp_to(tcp->card());
  control.send(MessageType::kHello, control_hello);
  ASSERT_TRUE(control.receive_handshake());
  Client data = Client::tcp_to(tcp->card());
  data.send(MessageType::kHello, hello_to(tcp->card(), Role::kTcpData));
  ASSERT_TRUE(data.receive_handshake());
  control.send(MessageType::kCommit, control_hello);
  const auto committed = control.receive();
  ASSERT_TRUE(committed);
  EXPECT_EQ(committed->type, MessageType::kCommitted);
  Client again = Client::tcp_to(tcp->card());
  again.send(MessageType::kHello, control_hello);
  EXPECT_NE(again.expect_reject().find("connected already"), std::string::npos);
  // Garbage on the data connection ends the peer, and it is told why.
  RecordingComm comm;
  tcp->register_comm(1, &comm);
  data.send_raw(std::string(sizeof(FrameHeader), '\xee'));
  ASSERT_TRUE(run_until(*tcp, [&] { return comm.n_losses() == 1; }));
  EXPECT_EQ(comm.losses()[0].state, PeerState::kDead);
  EXPECT_NE(comm.losses()[0].why.find("corrupt"), std::string::npos) << comm.losses()[0].why;
  std::optional<Message> last;
  while (auto message = control.receive()) last = std::move(message);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->type, MessageType::kReject);
  tcp->unregister_comm(1);
}

// Who has read the card from the job's store knows its secret; who found the port does not.
TEST(Strangers, WhoCannotProveItselfIsRejected) {
  const auto tcp = Runtime::create(tcp_only());
  const auto says = [&](const PeerCard& believed, const std::string& job_key) {
    Client client = Client::tcp_to(tcp->card());
    Seal seal(handshake_key(believed, job_key));
    client.send_raw(
        encode_message(seal.close(MessageType::kHello, hello_to(tcp->card(), Role::kTcpControl))));
    return client.expect_reject();
  };
  PeerCard guessed = tcp->card();
  guessed.secret.fill(0);
  EXPECT_NE(says(guessed, "").find("cannot prove that it belongs to this job"), std::string::npos);
  EXPECT_NE(says(tcp->card(), "another job's key").find("job keys"), std::string::npos);

  // A hello that was overheard gets no further than the welcome.
  Seal seal(handshake_key(tcp->card(), ""));
  const Handshake hello = hello_to(tcp->card(), Role::kTcpControl);
  const std::string heard_hello = encode_message(seal.close(MessageType::kHello, hello));
  std::string heard_commit;
  for (int attempt = 0; attempt < 2; ++attempt) {
    Client control = Client::tcp_to(tcp->card());
    control.send_raw(heard_hello);
    const auto welcome = control.receive();
    ASSERT_TRUE(welcome);
    if (attempt == 0) {
      std::string why;
      ASSERT_TRUE(seal.open(*welcome, &why)) << why;
      heard_commit = encode_message(seal.close(MessageType::kCommit, hello));
    }
    // Without its data connection the first commit fails for another reason.
    control.send_raw(heard_commit);
    EXPECT_NE(control.expect_reject().find(attempt == 0 ? "data connection" : "cannot prove"),
              std::string::npos);
  }
}

// Of a pair one side opens and sees the rejection; the other hears of it through the store.
TEST(Peers, NeedTheSameJobKey) {
  const std::string folder = ::testing::TempDir();
  const auto with_key = [&](const std::string& key) {
    Settings settings = tcp_only();
    settings.job_key_file = folder + "/distos_coll_job_key";
    std::ofstream(settings.job_key_file) << key << '\n';
    return Runtime::create(settings);
  };
  const std::string key = "0123456789abcdef";
  EXPECT_TRUE(connect_all({with_key(key), with_key(key)})[0][1]);
  const std::shared_ptr<Engine> engines[] = {std::make_shared<Engine>(with_key(key)),
                                             std::make_shared<Engine>(with_key(key + "x"))};
  MemoryStore store;
  on_all_ranks(2, [&](int rank) {
    try {
      Communicator::connect(engines[rank], store, {rank, 2, 60'000, "test"});
      ADD_FAILURE() << "the keys differ";
    } catch (const Error& error) {
      EXPECT_NE(error.code(), Code::kTimeout);
      EXPECT_NE(std::string(error.what()).find("DISTOS_COLL_JOB_KEY_FILE"), std::string::npos)
          << error.what();
    }
  });
  try {
    with_key("short");
    FAIL() << "a key that can be guessed";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("at least"), std::string::npos) << error.what();
  }
}

struct UnixHello {
  Handshake body;
  std::vector<Fd> fds;
};

UnixHello unix_hello(const PeerCard& card, const Doorbell& bell,
                     std::optional<MappedProof>* proof) {
  UnixHello out{hello_to(card, Role::kUnix), doorbell_fds(bell)};
  Fd memory;
  *proof = MappedProof::create(kMinRingBytes, &memory);
  out.fds.push_back(std::move(memory));
  out.body.ring_bytes = kMinRingBytes;
  out.body.proof_address = (*proof)->proof_address();
  out.body.flags = kFlagSingleCopy;
  return out;
}

TEST(Strangers, MappedMemoryMustBeProved) {
  const auto shm = Runtime::create(shm_only());
  const Doorbell bell = Doorbell::create();
  std::optional<MappedProof> proof;
  const auto rejected = [&](UnixHello hello) {
    Client client = Client::unix_to(shm->card());
    client.send(MessageType::kHello, hello.body, std::move(hello.fds));
    return client.expect_reject();
  };
  UnixHello missing = unix_hello(shm->card(), bell, &proof);
  missing.fds.pop_back();
  EXPECT_NE(rejected(std::move(missing)).find("three descriptors"), std::string::npos);
  UnixHello size = unix_hello(shm->card(), bell, &proof);
  size.body.ring_bytes *= 2;
  EXPECT_NE(rejected(std::move(size)).find("expected"), std::string::npos);
  UnixHello odd = unix_hello(shm->card(), bell, &proof);
  odd.body.ring_bytes = 12345;
  EXPECT_NE(rejected(std::move(odd)).find("not possible"), std::string::npos);
  UnixHello unsealed = unix_hello(shm->card(), bell, &proof);
  unsealed.fds.back() = open_fd([] { return memfd_create("test", MFD_CLOEXEC); });
  ASSERT_EQ(ftruncate(unsealed.fds.back().get(), static_cast<off_t>(pair_bytes(kMinRingBytes))), 0);
  EXPECT_NE(rejected(std::move(unsealed)).find("sealed"), std::string::npos);

  // Memory that only looks the part: the right answer is in another file.
  UnixHello hello = unix_hello(shm->card(), bell, &proof);
  Client client = Client::unix_to(shm->card());
  client.send(MessageType::kHello, hello.body, std::move(hello.fds));
  const auto body = client.receive_handshake();
  ASSERT_TRUE(body);
  EXPECT_TRUE(proof->mapped_echo_is_right(body->mapped_echo));
  EXPECT_TRUE(proof->private_echo_is_right(body->private_echo));
  Handshake commit = hello_to(shm->card(), Role::kUnix);
  commit.mapped_echo = proof->read_mapped() + 1;
  client.send(MessageType::kCommit, commit);
  EXPECT_NE(client.expect_reject().find("does not see the memory"), std::string::npos);
}

TEST(Strangers, SingleCopyThatOneSideCannotProveIsOff) {
  const auto shm = Runtime::create(shm_only());
  const Doorbell bell = Doorbell::create();
  std::optional<MappedProof> proof;
  for (const bool readable : {true, false}) {
    UnixHello hello = unix_hello(shm->card(), bell, &proof);
    PeerCard card = stranger();
    card.uid[15] = readable ? 1 : 2;
    hello.body.from = card.uid;
    hello.body.card = card.encode();
    if (!readable) hello.body.proof_address = 8;  // the kernel will not read there
    Client client = Client::unix_to(shm->card());
    client.send(MessageType::kHello, hello.body, std::move(hello.fds));
    const auto welcome = client.receive_handshake();
    ASSERT_TRUE(welcome);
    EXPECT_EQ(welcome->flags & kFlagSingleCopy, readable ? kFlagSingleCopy : 0);
    Handshake commit = hello.body;
    commit.card.clear();
    commit.mapped_echo = proof->read_mapped();
    commit.private_echo = 1;  // wrong: claims to read, but does not
    client.send(MessageType::kCommit, commit);
    const auto committed = client.receive_handshake();
    ASSERT_TRUE(committed);
    EXPECT_EQ(committed->flags & kFlagSingleCopy, 0U);
  }
}

// ---- The opening side

// Two runtimes, the first with the smaller uid, so that it opens.
std::vector<std::shared_ptr<Runtime>> ordered_pair(const Settings& settings) {
  std::vector<std::shared_ptr<Runtime>> pair = {Runtime::create(settings),
                                                Runtime::create(settings)};
  if (pair[1]->card().uid < pair[0]->card().uid) std::swap(pair[0], pair[1]);
  return pair;
}

struct Listener {
  Fd socket;
  uint16_t port = 0;
  Listener() {
    sockaddr_storage address{};
    socklen_t bytes = 0;
    to_sockaddr("127.0.0.1", 0, &address, &bytes);
    socket = open_fd([] { return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); });
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), bytes), 0);
    EXPECT_EQ(listen(socket.get(), 16), 0);
    getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &bytes);
    port = ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  }
};

TEST(Opener, TriesCandidatesInOrderAndKeepsTheReasons) {
  const auto pair = ordered_pair(tcp_only());
  const auto other = Runtime::create(tcp_only());
  const Listener mute;
  uint16_t refusing = 0;
  {
    refusing = Listener().port;
  }
  PeerCard card = pair[1]->card();
  const PeerCard::Address good = card.addresses.back();
  const PeerCard::Address foreign = other->card().addresses.back();
  card.addresses = {{"a", "127.0.0.1", refusing},
                    {"b", foreign.ip, foreign.port},
                    {"c", "nonsense", 1},
                    {"d", "127.0.0.1", mute.port},
                    good};
  const auto peers = pair[0]->connect({card}, now_ns() + kPatienceNs);
  ASSERT_TRUE(peers[0]);
  const std::string text = pair[0]->describe();
  for (const char* part : {"a 127.0.0.1", "Connection refused", "wrong uid",
                           "c nonsense:1: not an IP address", "timed out"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(Opener, FailureNamesEveryAddressAndReason) {
  const auto pair = ordered_pair(tcp_only());
  uint16_t refusing = 0;
  {
    refusing = Listener().port;
  }
  PeerCard card = pair[1]->card();
  card.hostname = "far-host";
  card.unix_name.clear();
  card.addresses = {{"eth7", "127.0.0.1", refusing}, {"eth8", "nonsense", 1}};
  try {
    pair[0]->connect({card}, now_ns() + kPatienceNs);
    FAIL() << "connected to nobody";
  } catch (const Error& error) {
    const std::string what = error.what();
    for (const char* part : {"1 of 1", "far-host", "eth7 127.0.0.1", "refused", "eth8 nonsense"}) {
      EXPECT_NE(what.find(part), std::string::npos) << what;
    }
  }
  // A later attempt is a new one.
  std::thread accepting(
      [&] { EXPECT_NO_THROW(pair[1]->connect({pair[0]->card()}, now_ns() + kPatienceNs)); });
  EXPECT_NO_THROW(pair[0]->connect({pair[1]->card()}, now_ns() + kPatienceNs));
  accepting.join();
}

TEST(Opener, ADeadlineThatPassesHasItsReasonsToo) {
  const auto pair = ordered_pair(tcp_only());
  const Listener mute;
  PeerCard card = pair[1]->card();
  card.addresses = {{"eth9", "127.0.0.1", mute.port}};
  const auto what = [&](Runtime& runtime, const PeerCard& other) {
    try {
      runtime.connect({other}, now_ns() + kSecondNs / 2);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("connected");
  };
  EXPECT_NE(what(*pair[0], card).find("eth9 127.0.0.1"), std::string::npos) << what(*pair[0], card);
  // The accepting side can only say that nobody came.
  EXPECT_TRUE(says("not-opened", what(*pair[1], pair[0]->card())));
}

TEST(Opener, ServersThatAreNotOursAreToldApart) {
  const auto pair = ordered_pair(tcp_only());
  const Listener http;
  std::atomic<bool> stop{false};
  std::thread server([&] {
    while (!stop.load()) {
      const Fd client(accept4(http.socket.get(), nullptr, nullptr,
                              SOCK_CLOEXEC));  // blocks, so not under a guard
      ::send(client.get(), "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
    }
  });
  PeerCard card = pair[1]->card();
  card.addresses = {{"eth0", "127.0.0.1", http.port}};
  try {
    pair[0]->connect({card}, now_ns() + kPatienceNs);
    FAIL() << "connected to a web server";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("something else talks"), std::string::npos)
        << error.what();
  }
  stop.store(true);
  PeerCard last = card;
  Client::tcp_to(last);  // so that accept returns
  server.join();
}

TEST(Opener, SharedMemoryRefusedFallsBackToTcp) {
  const auto pair = ordered_pair(Settings{});
  PeerCard card = pair[1]->card();
  card.unix_name = "distos_coll.nobody";
  const auto peers = pair[0]->connect({card}, now_ns() + kPatienceNs);
  EXPECT_FALSE(peers[0]->mapped());
  EXPECT_TRUE(says("refused-unix", pair[0]->describe()));
}

}  // namespace
}  // namespace distos_coll
