#include "core/settings.h"

#include <charconv>
#include <string_view>
#include <variant>

#include "core/status.h"

namespace distos_coll {
namespace {

using Member = std::variant<bool Settings::*, size_t Settings::*, int64_t Settings::*,
                            std::string Settings::*>;

struct Entry {
  const char* name;
  Member member;
};

constexpr Entry kEntries[] = {
    {"shm", &Settings::shm},
    {"tcp", &Settings::tcp},
    {"single_copy", &Settings::single_copy},
    {"interfaces", &Settings::interfaces},
    {"host_id", &Settings::host_id},
    {"job_key_file", &Settings::job_key_file},
    {"slot_bytes", &Settings::slot_bytes},
    {"ring_bytes", &Settings::ring_bytes},
    {"stream_credit", &Settings::stream_credit},
    {"sockets_per_peer", &Settings::sockets_per_peer},
    {"eager_bytes", &Settings::eager_bytes},
    {"eager_credit", &Settings::eager_credit},
    {"registered_cache", &Settings::registered_cache},
    {"spin_us", &Settings::spin_us},
    {"yield_us", &Settings::yield_us},
    {"heartbeat_ms", &Settings::heartbeat_ms},
    {"death_grace_ms", &Settings::death_grace_ms},
    {"domain_limit", &Settings::domain_limit},
    {"debug", &Settings::debug},
    {"flight_file", &Settings::flight_file},
    {"flight_signal", &Settings::flight_signal},
};

[[noreturn]] void refuse(std::string_view line, const char* why) {
  throw Error(Code::kInvalid,
              strf("settings: \"%.*s\": %s", static_cast<int>(line.size()), line.data(), why));
}

// Sizes and times are never negative, and none is large enough for a sum of two to overflow.
template <typename Number>
Number parse_number(std::string_view line, std::string_view text) {
  constexpr int64_t kLargest = int64_t{1} << 40;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    refuse(line, "expected a whole number");
  }
  if (value < 0 || value > kLargest) refuse(line, "expected 0 to 2^40");
  return static_cast<Number>(value);
}

struct Assign {
  Settings& settings;
  std::string_view line, text;

  void operator()(bool Settings::* member) const {
    if (text != "0" && text != "1") refuse(line, "expected 0 or 1");
    settings.*member = text == "1";
  }
  void operator()(size_t Settings::* member) const {
    settings.*member = parse_number<size_t>(line, text);
  }
  void operator()(int64_t Settings::* member) const {
    settings.*member = parse_number<int64_t>(line, text);
  }
  void operator()(std::string Settings::* member) const { settings.*member = text; }
};

void apply_line(Settings& settings, std::string_view line) {
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) refuse(line, "expected name=value");
  for (const Entry& entry : kEntries) {
    if (line.substr(0, equals) == entry.name) {
      std::visit(Assign{settings, line, line.substr(equals + 1)}, entry.member);
      return;
    }
  }
  refuse(line,
         "no such setting; the Python package and the native library differ in version, "
         "reinstall distos-coll");
}

}  // namespace

Settings Settings::parse(const std::string& text) {
  Settings settings;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t newline = rest.find('\n');
    const std::string_view line = rest.substr(0, newline);
    if (!line.empty()) apply_line(settings, line);
    rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
  }
  return settings;
}

}  // namespace distos_coll
