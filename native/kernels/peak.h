// What one core can do with a set's instructions at most: the ceilings of a roofline.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "kernels/dot.h"
#include "kernels/set.h"
#include "kernels/this_set.h"

namespace tilewise::TILEWISE_SET {

// Keeps the compiler from knowing a value.
template <typename T>
[[gnu::always_inline]] inline void hide(T& value) {
  asm volatile("" : "+m"(value));
}

// The best of a few runs of work(), which does `amount` of something: amount per second.
template <typename Work>
double best_rate(double amount, const Work& work) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (const auto end = Clock::now() + std::chrono::milliseconds(60); Clock::now() < end;) {
    const auto start = Clock::now();
    work();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, amount / seconds);
  }
  return best;
}

// Multiply-adds on registers: as many independent sums as a micro-kernel has. Counts two operations for each.
template <class Dot>
double peak_operations() {
  constexpr int kSums = Dot::kRows * kPanelVectors, kRounds = 20000;
  typename Dot::Vector sums[kSums]{}, a{}, b{};
  const double amount = 2.0 * kRounds * kSums * kLanes * static_cast<double>(Dot::kGroup);
  return best_rate(amount, [&] {
    hide(a);
    typename Dot::Vector local[kSums];
#pragma GCC unroll 64
    for (int i = 0; i < kSums; ++i) local[i] = sums[i];
    for (int round = 0; round < kRounds; ++round) {
      hide(b);  // or the same products would be computed once only
#pragma GCC unroll 64
      for (int i = 0; i < kSums; ++i) local[i] = Dot::mac(local[i], a, b);
    }
#pragma GCC unroll 64
    for (int i = 0; i < kSums; ++i) sums[i] = local[i];
    hide(sums);
  });
}

// Bytes per second of reading memory of this size, again and again.
inline double read_bandwidth(std::size_t bytes) {
  const std::vector<std::uint8_t> memory(bytes, 0);  // sums of anything else would overflow
  I32 total{};
  return best_rate(static_cast<double>(bytes), [&] {
    I32 sums[4]{};
    for (std::size_t at = 0; at + 4 * kBytes <= bytes; at += 4 * kBytes) {
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i) sums[i] += load<I32>(memory.data() + at + i * kBytes);
    }
    total += sums[0] + sums[1] + sums[2] + sums[3];
    hide(total);
  });
}

inline Peaks measure_peaks() {
  return {.int8_operations = peak_operations<Int8Dot>(),
          .float_operations = peak_operations<FloatDot>(),
          .cache_bytes = read_bandwidth(std::size_t{256} << 10),
          .memory_bytes = read_bandwidth(std::size_t{128} << 20)};
}

}  // namespace tilewise::TILEWISE_SET
