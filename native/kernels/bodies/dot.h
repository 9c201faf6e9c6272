// The matrix product under every convolution: rows of activations against packed weights. Needs simd.h and
// the set.
//
// Weights are packed by panels of kPanel output channels (the last one may be narrower):
//   [panel][segment][group of channels][output channel in panel][channel in group]
// A segment is what lies together in memory for one row: one pixel under one filter tap. One call of a
// micro-kernel multiplies R rows with one panel of NV vectors, R * NV accumulators in registers.
#pragma once

#include <array>
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
  [[gnu::always_inline]] static Vector splat(const In* p) {
    std::int32_t four;
    std::memcpy(&four, p, sizeof four);
    return I32{} + four;
  }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return dot4(sum, a, b); }
};

struct FloatDot {
  using In = float;
  using Weight = float;
  using Sum = float;
  using Vector = F32;
  static constexpr std::int64_t kGroup = 1;
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

// Rows that go through a micro-kernel together: six fill the registers with a whole panel; narrow panels take
// twelve.
inline constexpr std::int64_t kRows = 6, kTallRows = 12;
inline constexpr std::int64_t kTallVectors = kPanelVectors / 2;

inline std::int64_t rows_together(std::int64_t rows_left, std::int64_t vectors) {
  if (vectors <= kTallVectors && rows_left >= kTallRows) return kTallRows;
  return std::min(rows_left, kRows);
}

template <class Dot, int R>
constexpr std::array<Micro<Dot>, 4> micros_of() {
  constexpr bool whole = R <= kRows, wide = whole && kPanelVectors > 2;
  return {micro<Dot, R, 1>, micro<Dot, R, (whole || kTallVectors > 1 ? 2 : 1)>, micro<Dot, R, (wide ? 3 : 1)>,
          micro<Dot, R, (wide ? 4 : 1)>};
}

// The micro-kernel for what rows_together() gave.
template <class Dot>
Micro<Dot> micro_for(std::int64_t rows, std::int64_t vectors) {
  static constexpr std::array<std::array<Micro<Dot>, 4>, 7> kMicros = {
      micros_of<Dot, 1>(), micros_of<Dot, 2>(), micros_of<Dot, 3>(),        micros_of<Dot, 4>(),
      micros_of<Dot, 5>(), micros_of<Dot, 6>(), micros_of<Dot, kTallRows>()};
  return kMicros[static_cast<std::size_t>(std::min(rows, kRows + 1) - 1)]
                [static_cast<std::size_t>(vectors - 1)];
}

// Packed weights of one product (one tap of a fast convolution, or a whole direct one).
template <class Dot>
struct Packed {
  std::int64_t filters = 0, segments = 0, groups = 0;
  std::vector<typename Dot::Weight> weights;
  std::vector<typename Dot::Sum> init;  // -zero * sum of weights, per output channel

  std::int64_t panels() const { return (round_up(filters, 16) + kPanel - 1) / kPanel; }
  std::int64_t vectors(std::int64_t panel) const {
    return std::min<std::int64_t>(kPanelVectors, (round_up(filters, 16) - panel * kPanel) / kLanes);
  }
  const typename Dot::Weight* panel_weights(std::int64_t panel) const {
    return weights.data() + panel * kPanel * segments * groups * Dot::kGroup;
  }

  // weight is [filters][segments][channels], its rows `pitch` apart per filter.
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
      init[static_cast<std::size_t>(filter)] = static_cast<typename Dot::Sum>(-zero) * total;
    }
  }
};

}  // namespace tilewise::TILEWISE_SET
