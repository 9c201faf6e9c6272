// For the tests of light operations: every kernel set against naive loops, bit for bit; odd shapes, every pair of formats,
// lanes beyond the channels, guard bands.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/set.h"
#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace tilewise::testing {

inline constexpr std::int64_t kImages = 2;
inline constexpr std::int64_t kChannels[] = {1, 3, 15, 16, 17, 33};
inline constexpr std::pair<std::int64_t, std::int64_t> kSizes[] = {{1, 1}, {3, 7}, {17, 4}};

// Which pixel and channel a value belongs to.
struct Place {
  std::int64_t image, row, col, channel;
};
// The value of an operation's output at a place, as a real number.
using Formula = std::function<float(const Place&)>;

inline std::size_t position(const TensorRef& t, const Place& p) {
  return static_cast<std::size_t>(((p.image * t.height + p.row) * t.width + p.col) * t.stride + p.channel);
}

inline int stored(const TensorRef& t, std::size_t at) {
  if (t.dtype == Dtype::kBf16) return reinterpret_cast<const std::uint16_t*>(t.data)[at];
  if (t.dtype == Dtype::kInt16) return reinterpret_cast<const std::int16_t*>(t.data)[at];
  return std::to_integer<int>(t.data[at]);
}

inline float real(const TensorRef& t, const Place& p) {
  const std::size_t at = position(t, p);
  if (t.dtype == Dtype::kFloat32) return reinterpret_cast<const float*>(t.data)[at];
  return static_cast<float>(stored(t, at) - t.grid.zero) * t.grid.step;
}

inline int quantized(const QuantGrid& grid, float y) {
  const float q = std::floor(y * grid.factor + 0.5f);
  return static_cast<int>(std::clamp(q, static_cast<float>(grid.low), static_cast<float>(grid.high)));
}

inline bool holds(const TensorRef& t, const Place& p, float expected) {
  const std::size_t at = position(t, p);
  if (t.dtype == Dtype::kFloat32) return reinterpret_cast<const float*>(t.data)[at] == expected;
  if (t.dtype == Dtype::kBf16) return stored(t, at) == bf16(expected);
  return stored(t, at) == quantized(t.grid, expected) + t.grid.zero;
}

// Every value is what the formula says, every lane beyond the channels zero.
inline void check_output(const Memory& y, const Formula& formula, const std::string& text) {
  const TensorRef& t = y.tensor;
  CHECK(y.guards_intact(), text);
  for (std::int64_t i = 0; i < kImages * t.pixels() * t.stride; ++i) {
    const Place p{i / t.stride / t.pixels(), i / t.stride / t.width % t.height, i / t.stride % t.width, i % t.stride};
    CHECK(holds(t, p, p.channel < t.channels ? formula(p) : 0.0F), text + " at value " + std::to_string(i));
  }
}

inline void run(const Op& op, const Call& call) {
  const std::int64_t tasks = op.tasks(call), middle = tasks / 2;
  CHECK(op.scratch_bytes() == 0, "light operations need no scratch");
  op.run(call, 0, middle, nullptr, nullptr);
  op.run(call, middle, tasks, nullptr, nullptr);
}

// Calls function(set, name of the set) for all that this machine has.
template <typename Function>
void for_sets(const Function& function) {
  for (const KernelSet* const set : kernel_sets()) {
    if (set->supported()) function(*set, std::string(set->name));
  }
}

// Float, unsigned bytes, signed bytes, bytes of another step, and words; bf16, which few write and none reads.
inline TensorRef shaped(int format, std::int64_t height, std::int64_t width, std::int64_t channels,
                        std::int64_t multiple = 16) {
  constexpr Dtype kDtypes[] = {Dtype::kFloat32, Dtype::kUint8, Dtype::kUint8,
                               Dtype::kUint8,   Dtype::kInt16, Dtype::kBf16};
  const Dtype dtype = kDtypes[format];
  TensorRef t = tensor(dtype, height, width, channels, format % 2 == 0, multiple);
  if (format == 3) t.grid = {0.013f, 1 / 0.013f, 0, 15, 0};
  return t;
}
inline constexpr int kFormats[] = {0, 1, 2, 3, 4};
inline constexpr int kBf16 = 5;

inline Memory filled(const TensorRef& like, Random& random) {
  Memory memory(like, kImages, 0);
  fill(memory, kImages, Fill::kRandom, random);
  return memory;
}

// Calls function(x's format, y's format, channels, text).
template <typename Function>
void for_formats(const char* name, const Function& function, bool writes_bf16 = false) {
  for (const int from : kFormats) {
    for (int to = 0; to < (writes_bf16 ? kBf16 + 1 : kBf16); ++to) {
      for (const std::int64_t channels : kChannels) {
        function(from, to, channels,
                 std::string(name) + " from format " + std::to_string(from) + " to " + std::to_string(to) +
                     ", " + std::to_string(channels) + " channels");
      }
    }
  }
}

}  // namespace tilewise::testing
