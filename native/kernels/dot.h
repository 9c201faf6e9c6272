// The matrix product under every convolution: rows of activations against packed weights.
//
// Weights are packed by panels of kPanel output channels (the last one may be narrower), in the order in
// which they are read:
//   [panel][product][segment][group of channels][output channel in panel][channel in group]
// A fast convolution has one product per tap, each of one segment; a direct one has one product. A segment is
// what lies together in memory for one row: one pixel under one filter tap. One call of a micro-kernel
// multiplies R rows with one panel of NV vectors, R * NV accumulators in registers.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <span>
#include <utility>

#include "base/aligned.h"
#include "kernels/op.h"
#include "kernels/regions.h"
#include "kernels/this_set.h"

namespace tilewise::TILEWISE_SET {

inline constexpr std::int64_t kPanel = std::int64_t{kPanelVectors} * kLanes;

// A kind of products: of what, how many input channels lie together (a group of kGroup) and how many groups go through
// one instruction (kDepth), how many rows go through a micro-kernel.
struct Int8Dot {
  struct Session {};  // what a thread holds while it multiplies
  using In = std::uint8_t;
  using Weight = std::int8_t;
  using Sum = std::int32_t;
  using Vector = I32;
  static constexpr std::int64_t kGroup = 4, kDepth = 1;
  static constexpr int kRows = kByteRows;
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
  struct Session {};
  using In = float;
  using Weight = float;
  using Sum = float;
  using Vector = F32;
  static constexpr std::int64_t kGroup = 1, kDepth = 1;
  static constexpr int kRows = kFloatRows;
  static constexpr std::int32_t kRowOffset = 0;
  // (0 + x is not x where x is -0; x - 0 is, so this is one load.)
  [[gnu::always_inline]] static Vector splat(const In* p) { return *p - F32{}; }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return fused(a, b, sum); }
};

// Each product and sum rounded on its own: the same bits on every machine.
struct OrderedFloatDot : FloatDot {
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return sum + a * b; }
};

// Where the sums of a micro-kernel go: those of row r and vector v of the panel to sums[r * row + v *
// vector].
template <typename Sum>
struct Sums {
  Sum* data;
  std::int64_t row, vector;
};

// Within a network weights come from the last cache or from memory: each is used once per image. So
// micro-kernels ask for what lies `ahead` bytes after the weights that they read: first for the same
// product's, which come straight from there, and with further rows, which find them in the cache, for the
// next product's. With one or two rows they wait for the second-level cache already, and ask for nothing.
inline constexpr std::int64_t kContinuation = 8192;
inline constexpr int kFetchRows = 3;

// What a fast convolution's product sums over.
inline constexpr std::array<Stretch, 1> kOneSegment = {{{0, 1}}};

// rows[segment * distance + r] points to row r's piece of the first segment of a stretch; `stretches` are
// summed over.
template <class Dot>
using Micro = void (*)(const typename Dot::In* const* rows, std::int64_t distance,
                       std::span<const Stretch> stretches, std::int64_t groups,
                       const typename Dot::Weight* weights, std::int64_t ahead, const typename Dot::Sum* init,
                       const Sums<typename Dot::Sum>& sums);

template <class Dot, int R, int NV>
void micro(const typename Dot::In* const* rows, std::int64_t distance, std::span<const Stretch> stretches,
           std::int64_t groups, const typename Dot::Weight* weights, std::int64_t ahead,
           const typename Dot::Sum* init, const Sums<typename Dot::Sum>& sums) {
  using Vector = typename Dot::Vector;
  Vector acc[R][NV];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[r][v] = load<Vector>(init + v * kLanes);
  }
  const typename Dot::Weight* const start = weights;
  for (const Stretch& stretch : stretches) {
    weights = start + stretch.first * groups * (NV * kLanes * Dot::kGroup);
    const typename Dot::In* row[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) row[r] = rows[stretch.first * distance + r];
    for (std::int64_t g = 0; g < groups * stretch.count; ++g) {
      Vector b[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) b[v] = load<Vector>(weights + v * kLanes * Dot::kGroup);
      if constexpr (R >= kFetchRows) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v)
          __builtin_prefetch(reinterpret_cast<const char*>(weights) + ahead + v * kBytes);
      }
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
    for (int v = 0; v < NV; ++v) store(sums.data + r * sums.row + v * sums.vector, acc[r][v]);
  }
}

// Output channels come in multiples of 16, so panels are whole multiples of this many vectors wide.
inline constexpr int kStepVectors = std::gcd(kPanelVectors, std::max(1, 16 / kLanes));

// Whether whole matrices go through one instruction. Such a kind has a multiply() of its own instead of micro-kernels.
template <class Dot>
inline constexpr bool kByMatrices = Dot::kDepth > 1;

// Rows that go through a micro-kernel together: Dot::kRows fill the registers with a whole panel; narrow
// panels take twice as many. What that does not divide goes in equal parts: 25 rows as 5 times 5, since one
// row alone waits for weights.
template <class Dot>
inline constexpr std::int64_t kTallRows = 2 * Dot::kRows;
inline constexpr std::int64_t kTallVectors = kPanelVectors / 2;

template <class Dot>
std::int64_t rows_together(std::int64_t rows_left, std::int64_t vectors) {
  if (kByMatrices<Dot>) return std::min(rows_left, kTallRows<Dot>);
  if (vectors <= kTallVectors && rows_left >= kTallRows<Dot>) return kTallRows<Dot>;
  const std::int64_t calls = (rows_left + Dot::kRows - 1) / Dot::kRows;
  return (rows_left + calls - 1) / calls;
}

// The micro-kernels of R rows for panels of kStepVectors, 2 * kStepVectors, ... vectors.
template <class Dot, std::size_t R, std::size_t... Width>
constexpr std::array<Micro<Dot>, sizeof...(Width)> micros_of(std::index_sequence<Width...>) {
  return {micro<Dot, int{R}, (int{Width} + 1) * kStepVectors>...};
}

// The micro-kernels of 1 .. Dot::kRows rows.
template <class Dot, std::size_t... Row>
constexpr auto all_micros(std::index_sequence<Row...>) {
  return std::array{micros_of<Dot, Row + 1>(std::make_index_sequence<kPanelVectors / kStepVectors>{})...};
}

// The micro-kernel for what rows_together() gave.
template <class Dot>
Micro<Dot> micro_for(std::int64_t rows, std::int64_t vectors) {
  static constexpr auto kMicros = all_micros<Dot>(std::make_index_sequence<Dot::kRows>{});
  static constexpr auto kTall =
      micros_of<Dot, kTallRows<Dot>>(std::make_index_sequence<kTallVectors / kStepVectors>{});
  const auto width = static_cast<std::size_t>(vectors / kStepVectors - 1);
  return rows > Dot::kRows ? kTall[width] : kMicros[static_cast<std::size_t>(rows - 1)][width];
}

// Packed weights.
template <class Dot>
class Packed {
  using Weight = typename Dot::Weight;
  using Sum = typename Dot::Sum;

 public:
  // Room for `products` products of [filters][segments][channels] weights.
  Packed(std::int64_t products, std::int64_t filters, std::int64_t segments, std::int64_t channels)
      : products_(products),
        filters_(filters),
        segments_(segments),
        channels_(channels),
        groups_(round_up((channels + Dot::kGroup - 1) / Dot::kGroup, Dot::kDepth)),
        weights_(static_cast<std::size_t>(round_up(filters, 16) * products * depth())),
        init_(static_cast<std::size_t>(round_up(filters, 16) * products)) {}

  std::int64_t segments() const { return segments_; }
  std::int64_t groups() const { return groups_; }
  std::int64_t panels() const { return (round_up(filters_, 16) + kPanel - 1) / kPanel; }
  std::int64_t vectors(std::int64_t panel) const {
    return std::min<std::int64_t>(kPanelVectors, (round_up(filters_, 16) - panel * kPanel) / kLanes);
  }
  const Weight* weights(std::int64_t panel, std::int64_t product) const {
    return weights_.data() + lane(panel, product) * depth();
  }
  // What a panel's micro-kernels ask for: see micro(). `call` counts those that read the same weights.
  std::int64_t ahead(std::int64_t panel, std::int64_t call) const {
    const std::int64_t product = depth() * vectors(panel) * kLanes;
    return call == 1 ? product * static_cast<std::int64_t>(sizeof(Weight)) : kContinuation;
  }
  // Where the sums of output channels start: what takes a row's zero away again.
  const Sum* init(std::int64_t panel, std::int64_t product) const {
    return init_.data() + lane(panel, product);
  }

  // weight is [filters][segments][channels].
  void pack(std::int64_t product, const Weight* weight, std::int32_t zero) {
    for (std::int64_t filter = 0; filter < filters_; ++filter) {
      const std::int64_t panel = filter / kPanel, row = vectors(panel) * kLanes * Dot::kGroup;
      Weight* to = weights_.data() + lane(panel, product) * depth() + filter % kPanel * Dot::kGroup;
      const Weight* from = weight + filter * segments_ * channels_;
      const auto total = std::accumulate(from, from + segments_ * channels_, Sum{});
      for (std::int64_t segment = 0; segment < segments_; ++segment, from += channels_) {
        const std::int64_t whole = channels_ / Dot::kGroup;
        for (std::int64_t g = 0; g < whole; ++g, to += row)
          std::copy_n(from + g * Dot::kGroup, Dot::kGroup, to);
        if (whole < groups_) {
          std::copy_n(from + whole * Dot::kGroup, channels_ % Dot::kGroup, to);
          to += (groups_ - whole) * row;
        }
      }
      init_[static_cast<std::size_t>(lane(panel, product) + filter % kPanel)] =
          static_cast<Sum>(Dot::kRowOffset - zero) * total;
    }
  }

 private:
  std::int64_t depth() const { return segments_ * groups_ * Dot::kGroup; }
  std::int64_t lane(std::int64_t panel, std::int64_t product) const {
    return panel * kPanel * products_ + product * vectors(panel) * kLanes;
  }

  std::int64_t products_, filters_, segments_, channels_, groups_;
  AlignedVector<Weight> weights_;
  AlignedVector<Sum> init_;
};

}  // namespace tilewise::TILEWISE_SET
