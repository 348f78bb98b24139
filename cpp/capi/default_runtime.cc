#include "capi/default_runtime.h"

#include <cstdlib>
#include <mutex>

#include "core/fd.h"
#include "core/log.h"

namespace distos_coll {
namespace {

// Never destroyed: threads of torch and of the interpreter may still use it while static objects
// go.
struct State {
  std::mutex mutex;
  std::string settings_text;
  std::shared_ptr<Engine> engine;
  bool shut_down = false;
};

State& state() {
  static State* const instance = new State;
  return *instance;
}

}  // namespace

void configure_default_runtime(const std::string& settings_text) {
  const std::lock_guard lock(state().mutex);
  if (state().engine && settings_text != state().settings_text) {
    throw Error(
        Code::kInvalid,
        "settings differ from those that this process already communicates with; set DISTOS_COLL_* "
        "before the first group is made");
  }
  Settings::parse(settings_text);
  state().settings_text = settings_text;
}

std::shared_ptr<Engine>& default_engine() {
  if (in_forked_child()) {
    throw Error(Code::kInvalid,
                "this process was forked from one that communicates, and cannot use its links; "
                "start it with "
                "spawn, or make the first group after the fork");
  }
  const std::lock_guard lock(state().mutex);
  if (state().shut_down)
    throw Error(Code::kInvalid, "communication was shut down in this process, which is exiting");
  if (!state().engine) {
    const Settings settings = Settings::parse(state().settings_text);
    set_log_level(static_cast<int>(settings.debug == "INFO" ? LogLevel::kInfo : LogLevel::kWarn));
    state().engine = std::make_shared<Engine>(Runtime::create(settings));
    std::atexit(shutdown_default_runtime);
  }
  return state().engine;
}

void shutdown_default_runtime() {
  if (in_forked_child()) return;
  const std::lock_guard lock(state().mutex);
  if (!state().engine || state().shut_down) return;
  state().shut_down = true;
  state().engine->stop();
  state().engine->runtime().shutdown();
}

}  // namespace distos_coll
