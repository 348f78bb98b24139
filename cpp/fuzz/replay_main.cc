// replay TARGET_CORPUS_FOLDER... [--mutations=N]: runs every file of the folders through the
// target, and N mutations of each, the same ones every time. A crash, a sanitizer report or a
// failed check ends the process; that is the verdict.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/fuzz_target.h"

namespace {

std::vector<uint8_t> mutated(std::vector<uint8_t> input, std::mt19937_64& random) {
  for (uint64_t steps = 1 + random() % 4; steps > 0; --steps) {
    const size_t at = input.empty() ? 0 : random() % input.size();
    switch (input.empty() ? 4 : random() % 6) {
      case 0:
        input[at] = static_cast<uint8_t>(random());
        break;
      case 1:
        input[at] ^= static_cast<uint8_t>(1U << (random() % 8));
        break;
      case 2:  // values at the edges of lengths
        input[at] = random() % 2 == 0 ? 0 : 0xff;
        break;
      case 3:
        input.resize(at);
        break;
      case 4:
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at),
                     static_cast<uint8_t>(random()));
        break;
      default: {
        const std::vector<uint8_t> copy(input.begin(),
                                        input.begin() + static_cast<std::ptrdiff_t>(at));
        input.insert(input.end(), copy.begin(), copy.end());
      }
    }
  }
  return input;
}

std::vector<uint8_t> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
  constexpr const char* kMutations = "--mutations=";
  uint64_t mutations = 1000;
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind(kMutations, 0) == 0) {
      mutations = std::strtoull(argument.c_str() + std::string(kMutations).size(), nullptr, 10);
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& each : std::filesystem::directory_iterator(argument))
        files.push_back(each.path());
    } else {
      files.emplace_back(argument);
    }
  }
  if (files.empty()) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER_OR_FILE... [--mutations=N]\n", argv[0]);
    return 2;
  }
  std::mt19937_64 random(1);
  for (const auto& path : files) {
    const std::vector<uint8_t> input = read_file(path);
    LLVMFuzzerTestOneInput(input.data(), input.size());
    for (uint64_t i = 0; i < mutations; ++i) {
      const std::vector<uint8_t> other = mutated(input, random);
      LLVMFuzzerTestOneInput(other.data(), other.size());
    }
  }
  std::printf("%zu files, %llu mutations of each\n", files.size(),
              static_cast<unsigned long long>(mutations));
  return 0;
}
