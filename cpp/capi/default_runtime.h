// The one runtime and engine of a process in production.
#pragma once

#include <memory>
#include <string>

#include "comm/engine.h"

namespace distos_coll {

// Before the first default_engine(); afterwards the same text is accepted, another throws
// Error(kInvalid).
void configure_default_runtime(const std::string& settings_text);
// Created at first use. Throws Error in a forked child, and after shutdown.
std::shared_ptr<Engine>& default_engine();
// Says goodbye to all peers. Idempotent; also runs at exit.
void shutdown_default_runtime();

}  // namespace distos_coll
