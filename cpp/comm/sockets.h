// Sockets that listen or connect: non-blocking, closed on exec, forgotten in a forked child.
#pragma once

#include <cstdint>
#include <string>

#include "core/fd.h"

namespace distos_coll {

// Abstract Unix sockets: nothing to clean up after a crash, and the name lives in the network
// namespace, so that containers with networks of their own are hosts of their own. Packets keep
// message boundaries and carry descriptors.

// Invalid, and *why, if it cannot be had.
Fd listen_unix(const std::string& name, std::string* why);
// *port 0: the kernel chooses, and it is stored there.
Fd listen_tcp(const std::string& ip, uint16_t* port, std::string* why);

// Waits for the connection until deadline_ns. Invalid, and *why, if there is none.
Fd connect_unix(const std::string& name, int64_t deadline_ns, std::string* why);
Fd connect_tcp(const std::string& ip, uint16_t port, int64_t deadline_ns, std::string* why);

// Waits until the socket has one of `events` (poll's), or deadline_ns. False: it has not.
bool wait_for_socket(int fd, short events, int64_t deadline_ns);

}  // namespace distos_coll
