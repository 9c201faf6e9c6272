// The matrix product under every convolution: rows of activations against packed weights. Needs simd.h and
// the set.
//
// Weights are packed by panels of kPanel output channels (the last one may be narrower):
//   [panel][segment][group of channels][output channel in panel][channel in group]
// A segment is what lies together in memory for one row: one pixel under one filter tap. One call of a
// micro-kernel multiplies R rows with one panel of NV vectors, R * NV accumulators in registers.
#pragma once

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/op.h"

namespace tilewise::TILEWISE_SET {

inline constexpr std::int64_t kPanel = std::int64_t{kPanelVectors} * kLanes;

struct Int8Dot {
  using In = std::uint8_t;
  using Weight = std::int8_t;
  using Sum = std::int32_t;
  using Vector = I32;
  static constexpr std::int64_t kGroup = 4;
  static constexpr std::int32_t kRowOffset = kSignedRows ? 128 : 0;  // what splat() takes from every byte
  [[gnu::always_inline]] static Vector splat(const In* p) {
    std::int32_t four;
    std::memcpy(&four, p, sizeof four);
    const Vector bytes = I32{} + four;
    return kSignedRows ? bytes ^ static_cast<std::int32_t>(0x80808080) : bytes;
  }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return dot4(sum, a, b); }
};

struct FloatDot {
  using In = float;
  using Weight = float;
  using Sum = float;
  using Vector = F32;
  static constexpr std::int64_t kGroup = 1;
  static constexpr std::int32_t kRowOffset = 0;
  [[gnu::always_inline]] static Vector splat(const In* p) { return F32{} + *p; }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return fused(a, b, sum); }
};

// Each product and sum rounded on its own: the same bits on every machine.
struct UnfusedFloatDot : FloatDot {
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return sum + a * b; }
};

// rows[segment * distance + r] points to row r's piece of a segment; sums[r * pitch ..] takes NV vectors.
template <class Dot>
using Micro = void (*)(const typename Dot::In* const* rows, std::int64_t distance, std::int64_t segments,
                       std::int64_t groups, const typename Dot::Weight* weights,
                       const typename Dot::Sum* init, typename Dot::Sum* sums, std::int64_t pitch);

template <class Dot, int R, int NV>
void micro(const typename Dot::In* const* rows, std::int64_t distance, std::int64_t segments,
           std::int64_t groups, const typename Dot::Weight* weights, const typename Dot::Sum* init,
           typename Dot::Sum* sums, std::int64_t pitch) {
  using Vector = typename Dot::Vector;
  Vector acc[R][NV];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[r][v] = load<Vector>(init + v * kLanes);
  }
  for (std::int64_t s = 0; s < segments; ++s) {
    const typename Dot::In* row[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) row[r] = rows[s * distance + r];
    for (std::int64_t g = 0; g < groups; ++g) {
      Vector b[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) b[v] = load<Vector>(weights + v * kLanes * Dot::kGroup);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const Vector a = Dot::splat(row[r] + g * Dot::kGroup);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) acc[r][v] = Dot::mac(acc[r][v], a, b[v]);
      }
      weights += NV * kLanes * Dot::kGroup;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(sums + r * pitch + v * kLanes, acc[r][v]);
  }
}

// Output channels come in multiples of 16, so panels are whole multiples of this many vectors wide.
inline constexpr int kStepVectors = std::gcd(kPanelVectors, std::max(1, 16 / kLanes));

// Rows that go through a micro-kernel together: kRows fill the registers with a whole panel; narrow panels
// take twice as many.
inline constexpr std::int64_t kTallRows = 2 * kRows;
inline constexpr std::int64_t kTallVectors = kPanelVectors / 2;

inline std::int64_t rows_together(std::int64_t rows_left, std::int64_t vectors) {
  if (vectors <= kTallVectors && rows_left >= kTallRows) return kTallRows;
  return std::min<std::int64_t>(rows_left, kRows);
}

// The micro-kernels of R rows for panels of kStepVectors, 2 * kStepVectors, ... vectors.
template <class Dot, std::size_t R, std::size_t... Width>
constexpr std::array<Micro<Dot>, sizeof...(Width)> micros_of(std::index_sequence<Width...>) {
  return {micro<Dot, int{R}, (int{Width} + 1) * kStepVectors>...};
}

// The micro-kernels of 1 .. kRows rows.
template <class Dot, std::size_t... Row>
constexpr auto all_micros(std::index_sequence<Row...>) {
  return std::array{micros_of<Dot, Row + 1>(std::make_index_sequence<kPanelVectors / kStepVectors>{})...};
}

// The micro-kernel for what rows_together() gave.
template <class Dot>
Micro<Dot> micro_for(std::int64_t rows, std::int64_t vectors) {
  static constexpr auto kMicros = all_micros<Dot>(std::make_index_sequence<kRows>{});
  static constexpr auto kTall =
      micros_of<Dot, kTallRows>(std::make_index_sequence<kTallVectors / kStepVectors>{});
  const auto width = static_cast<std::size_t>(vectors / kStepVectors - 1);
  return rows > kRows ? kTall[width] : kMicros[static_cast<std::size_t>(rows - 1)][width];
}

// Packed weights of one product (one tap of a fast convolution, or a whole direct one).
template <class Dot>
struct Packed {
  std::int64_t filters = 0, segments = 0, groups = 0;
  std::vector<typename Dot::Weight> weights;
  std::vector<typename Dot::Sum> init;  // per output channel, see pack()

  std::int64_t panels() const { return (round_up(filters, 16) + kPanel - 1) / kPanel; }
  std::int64_t vectors(std::int64_t panel) const {
    return std::min<std::int64_t>(kPanelVectors, (round_up(filters, 16) - panel * kPanel) / kLanes);
  }
  const typename Dot::Weight* panel_weights(std::int64_t panel) const {
    return weights.data() + panel * kPanel * segments * groups * Dot::kGroup;
  }

  // weight is [filters][segments][channels]. The sums start with what takes a row's zero away again.
  void pack(const typename Dot::Weight* weight, std::int64_t k, std::int64_t s, std::int64_t c,
            std::int32_t zero) {
    filters = k, segments = s, groups = (c + Dot::kGroup - 1) / Dot::kGroup;
    const std::int64_t lanes = round_up(k, 16);
    weights.assign(static_cast<std::size_t>(lanes * segments * groups * Dot::kGroup), 0);
    init.assign(static_cast<std::size_t>(lanes), 0);
    for (std::int64_t filter = 0; filter < k; ++filter) {
      const std::int64_t panel = filter / kPanel, row = vectors(panel) * kLanes * Dot::kGroup;
      auto* to =
          weights.data() + panel * kPanel * segments * groups * Dot::kGroup + filter % kPanel * Dot::kGroup;
      const auto* from = weight + filter * s * c;
      const auto total = std::accumulate(from, from + s * c, typename Dot::Sum{});
      for (std::int64_t segment = 0; segment < s; ++segment, from += c) {
        const std::int64_t whole = c / Dot::kGroup;
        for (std::int64_t g = 0; g < whole; ++g, to += row)
          std::copy_n(from + g * Dot::kGroup, Dot::kGroup, to);
        if (whole < groups) {
          std::copy_n(from + whole * Dot::kGroup, c % Dot::kGroup, to);
          to += row;
        }
      }
      init[static_cast<std::size_t>(filter)] = static_cast<typename Dot::Sum>(Dot::kRowOffset - zero) * total;
    }
  }
};

}  // namespace tilewise::TILEWISE_SET
