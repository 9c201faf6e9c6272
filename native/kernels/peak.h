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

// The inner loop of a micro-kernel on rows and weights that stay in the first cache. Every sum has a row and weights of
// its own: with the same ones for all, a set without a multiply-add of bytes would multiply once and only add.
// Counts two operations for each multiply-add.
template <class Dot>
double peak_operations() {
  using Vector = typename Dot::Vector;
  constexpr int kRows = Dot::kRows, kVectors = kPanelVectors, kRounds = 20000;
  typename Dot::In rows[kRows * Dot::kGroup]{};
  typename Dot::Weight weights[kVectors * kLanes * Dot::kGroup]{};
  Vector sums[kRows][kVectors]{};
  const double amount = 2.0 * kRounds * kRows * kVectors * kLanes * static_cast<double>(Dot::kGroup);
  return best_rate(amount, [&] {
    Vector local[kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) local[r][v] = sums[r][v];
    }
    for (int round = 0; round < kRounds; ++round) {
      hide(rows);  // or the same products would be computed once only
      hide(weights);
      Vector b[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) b[v] = load<Vector>(weights + v * kLanes * Dot::kGroup);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Vector a = Dot::splat(rows + r * Dot::kGroup);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) local[r][v] = Dot::mac(local[r][v], a, b[v]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = local[r][v];
    }
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
