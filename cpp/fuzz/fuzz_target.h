// A fuzz target is a .cc with this function. With clang it links to libFuzzer; with any compiler to
// replay_main.cc, which runs a corpus and mutations of it.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes);
