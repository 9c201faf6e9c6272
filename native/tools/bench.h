// What the benchmark of an operation is: a program that holds it, made from a problem that is written as one string.
#pragma once

#include <cstdint>
#include <string>

#include "tests/small_network.h"
#include "tools/command.h"

namespace tilewise::tools {

struct Bench {
  testing::Draft draft;
  std::string name;      // of the operation that is timed
  double tolerance = 0;  // how far a kernel set may be from the reference, relative to the largest value
};

// Each folder's bench.cpp reads the fields that it knows from a problem, all of which have defaults.
#define TILEWISE_BENCH(operation) Bench operation##_bench(Command& problem);
#include "generated/benches.inc"
#undef TILEWISE_BENCH

inline constexpr std::int64_t kMaxBenchChannels = 8192;

inline std::int64_t channels_of(Command& problem, const char* key = "channels", std::int64_t otherwise = 64) {
  return problem.number_or(otherwise, key, 1, kMaxBenchChannels);
}

// A tensor of the type that the problem names: 8 bits unless it says otherwise.
inline std::int64_t tensor_of(testing::Draft& draft, Command& problem, const char* key, std::int64_t channels) {
  const std::string type = problem.text_or("uint8", key);
  if (type == "uint8") return draft.bytes(channels);
  if (type == "int8") return draft.bytes(channels, -127);
  if (type == "int16") return draft.words(channels, -2047);
  if (type == "float32") return draft.floats(channels);
  refuse(key, " is ", type.substr(0, kMaxShown), ", must be uint8, int8, int16 or float32");
}

}  // namespace tilewise::tools
