// A convolution by every kernel set against the reference set: guard bands, poisoned outputs and scratch, run twice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "kernels/set.h"
#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace tilewise::testing {

inline std::unique_ptr<Op> make(const KernelSet& set, const DirectConv& conv) {
  if (!conv.weight_int16.empty()) return set.direct_int16(conv);
  if (!conv.weight_bf16.empty()) return set.direct_bf16(conv);
  return conv.weight_int8.empty() ? set.direct_f32(conv) : set.direct_int8(conv);
}
inline std::unique_ptr<Op> make(const KernelSet& set, const FastConv& conv) {
  if (!conv.u_int16.empty()) return set.fast_int16(conv);
  if (!conv.u_bf16.empty()) return set.fast_bf16(conv);
  return conv.u_int8.empty() ? set.fast_f32(conv) : set.fast_int8(conv);
}

inline std::unique_ptr<Op> make(const KernelSet& set, const WrappingConv& conv) { return set.wrapping_int8(conv); }
inline std::unique_ptr<Op> make(const KernelSet& set, const ResidueConv& conv) { return set.residue_int8(conv); }

// Runs all tasks, in pieces, with scratch full of `poison`.
inline void run(const Op& op, const Call& call, std::int64_t piece, unsigned char poison) {
  const std::size_t bytes = op.scratch_bytes() + kSlack + kAlignment;
  std::vector<std::byte> scratch(bytes, std::byte{poison});
  void* start = scratch.data();
  std::size_t room = bytes;
  auto* const aligned = static_cast<std::byte*>(std::align(kAlignment, op.scratch_bytes(), start, room));
  const std::int64_t tasks = op.tasks(call);
  for (std::int64_t task = 0; task < tasks; task += piece) {
    op.run(call, task, std::min(tasks, task + piece), aligned, nullptr);
  }
}

template <typename Conv>
std::vector<std::byte> result(const KernelSet& set, Conv conv, std::int64_t images, std::int64_t piece,
                              unsigned char poison, const std::string& text) {
  Memory y(*conv.y, images, poison);
  conv.y = &y.tensor;
  const std::unique_ptr<Op> op = make(set, conv);
  run(*op, Call{images}, piece, poison);
  CHECK(y.guards_intact(), text);
  return y.contents();
}

inline int share = 1, problem = 0;
inline bool takes_next_problem() { return ++problem % share == 0; }

template <typename Conv>
void compare(const Conv& conv, std::int64_t images, double tolerance, const std::string& text) {
  if (!takes_next_problem()) return;
  const auto expected = result(kernel_set("reference"), conv, images, 1, 0xFF, text);
  for (const KernelSet* const set : kernel_sets()) {
    if (!set->supported()) continue;
    const std::string where = text + " by " + set->name;
    const auto first = result(*set, conv, images, 1'000'000, 0xFF, where);
    const auto again = result(*set, conv, images, 1, 0x7B, where);
    CHECK(first == again, where);
    if (tolerance == 0) CHECK(same(first, expected, conv.y->dtype), where);
    if (tolerance > 0) CHECK(distance(first, expected, conv.y->dtype) <= tolerance, where);
  }
}

// Two sizes of a layer that share a slot give what each gives alone. The second finds what the first has packed: without()
// takes its weights away.
template <typename Conv, typename Without>
void compare_shared(const Conv& first, const Conv& second, const Without& without, const std::string& text) {
  for (const KernelSet* const set : kernel_sets()) {
    if (!set->supported()) continue;
    const std::string where = text + ", shared, by " + set->name;
    std::shared_ptr<const void> slot;
    for (const Conv* const conv : {&first, &second}) {
      const auto alone = result(*set, *conv, 1, 1'000'000, 0xFF, where);
      Conv sharing = *conv;
      sharing.shared = &slot;
      if (conv == &second) without(sharing);
      CHECK(result(*set, sharing, 1, 1'000'000, 0xFF, where) == alone, where);
      CHECK(slot != nullptr, where);
    }
  }
}

struct Shape {
  std::int64_t height, width, channels, filters;
};
inline constexpr Shape kShapes[] = {{1, 1, 1, 1},     {3, 7, 3, 5},    {7, 3, 15, 17},
                                    {8, 8, 16, 16},   {5, 9, 33, 31},  {13, 1, 4, 65},
                                    {10, 11, 63, 64}, {6, 6, 65, 129}, {2, 17, 20, 96}};

struct Store {
  Dtype dtype;
  bool is_signed;
};
inline constexpr Store kStores[] = {{Dtype::kUint8, false},
                                    {Dtype::kUint8, true},
                                    {Dtype::kFloat32, false},
                                    {Dtype::kInt16, true},
                                    {Dtype::kBf16, false}};
inline constexpr Dtype kInputs[] = {Dtype::kFloat32, Dtype::kUint8, Dtype::kInt16, Dtype::kBf16,
                                    Dtype::kUint8};
inline constexpr Dtype kResiduals[] = {Dtype::kFloat32, Dtype::kUint8, Dtype::kInt16};

// Bias, a residual of the other kind of grid, a clipped activation, and a function, in turn.
inline Epilogue epilogue(int turn, const TensorRef* residual, std::int64_t filters, Random& random) {
  Epilogue e;
  e.bias = floats(static_cast<std::size_t>(filters), 0.3F, random);
  if (turn % 2 == 1) e.residual = residual;
  if (turn % 3 != 0) e.low = 0;
  if (turn % 3 == 2) e.high = 1.5F;
  constexpr Function kFinite[] = {Function::elu, Function::gelu, Function::hardswish, Function::sigmoid, Function::tanh};
  if (turn % 4 == 3) e.function = kFinite[turn / 4 % std::ssize(kFinite)];
  return e;
}

}  // namespace tilewise::testing
