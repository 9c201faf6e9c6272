// Weights in training: U = G g G^T, quantized, and the way back.
//
// U lies as the products of bytes read it, [tap][panel of filters][group of channels][filter in
// panel][channel in group], followed by what their sums start from, [tap][filter], which takes away the 128
// that are added to V. For the way back it lies transposed, in bytes with 128 added: [tap][panel of
// channels][filter][channel in panel]. Filters and channels are padded.
#pragma once

#include <cmath>

#include "kernels/dot.h"
#include "kernels/training.h"
#include "kernels/training/sandwich.h"

namespace tilewise::TILEWISE_SET {

// Where vector v of the columns of a [rows][columns] matrix begins when it is cut into panels of
// kPanelVectors, and the distance of its rows.
struct PanelPlace {
  std::int64_t offset, step;
};
inline PanelPlace panel_place(std::int64_t v, std::int64_t vectors, std::int64_t rows) {
  const std::int64_t panel = v / kPanelVectors, first = panel * kPanelVectors;
  const std::int64_t step = std::min<std::int64_t>(kPanelVectors, vectors - first) * kLanes;
  return {first * kLanes * rows + (v - first) * kLanes, step};
}

// Where U lies, in bytes.
struct PackedU {
  std::int64_t filters, groups, taps;

  explicit PackedU(const TrainingConv& conv)
      : filters(padded_channels(conv.filters)),
        groups((conv.channels + Int8Dot::kGroup - 1) / Int8Dot::kGroup),
        taps(conv.taps()) {}
  PanelPlace place(std::int64_t tap, std::int64_t v) const {
    const PanelPlace words = panel_place(v, filters / kLanes, groups);
    return {(tap * filters * groups + words.offset) * Int8Dot::kGroup, words.step * Int8Dot::kGroup};
  }
  std::int64_t start(std::int64_t tap) const { return (taps * groups * Int8Dot::kGroup + tap * 4) * filters; }
};

// clamp(floor(v * factor + 0.5)); what is not a number stays so.
[[gnu::always_inline]] inline F32 to_grid(F32 v, F32 factor, F32 low, F32 high) {
  const F32 rounded = rounded_down(v * factor + 0.5F);
  return smaller(high, larger(low, rounded));
}

template <int N, int R>
class TrainingWeightsStage {
  static constexpr int kTaps = N * N;

 public:
  static std::size_t scratch(const TrainingConv& conv) {
    return static_cast<std::size_t>(kTaps * conv.channels * kBytes);
  }

  static void forward(const TrainingConv& conv, const Filters<const float>& weight, std::uint8_t* u,
                      float* scale, std::int64_t begin, std::int64_t end, std::byte* scratch) {
    constexpr std::int64_t kVectors = 16 / kLanes;  // of a group of 16 filters
    auto* const values = reinterpret_cast<float*>(scratch);
    for (std::int64_t v = begin * kVectors; v < end * kVectors; ++v) {
      F32 absmax[kTaps] = {};
      transform(conv, weight, v * kLanes, values, absmax);
      quantize(conv, v, values, absmax, u, scale);
    }
  }

  // Filters begin .. end. The sum of all du belongs to the integers U; U before it was quantized is U *
  // scale.
  static void backward(const TrainingConv& conv, const TrainingWeights& call, std::int64_t begin,
                       std::int64_t end) {
    const Matrix<R, N> g = Matrix<N, R>(conv.g).transposed();
    F32 dg[N][R] = {};
    for (std::int64_t k = begin; k < end; ++k) {
      for (std::int64_t c = 0; c < conv.channels; c += kLanes) {
        F32 du[N][N];
        sum_gradients(conv, call, k, c, du);
        call.dg == nullptr ? filters<false>(conv, call, g, k, c, du, dg)
                           : filters<true>(conv, call, g, k, c, du, dg);
      }
    }
    if (call.dg != nullptr) add_lanes(dg, call.dg);
  }

 private:
  // values[tap][channel][lane]: U of kLanes filters from `first` on. No sum is fused: torch has the same
  // bits.
  static void transform(const TrainingConv& conv, const Filters<const float>& weight, std::int64_t first,
                        float* values, F32 (&absmax)[kTaps]) {
    const Matrix<N, R> g(conv.g);
    const std::int64_t lanes = std::clamp<std::int64_t>(conv.filters - first, 0, kLanes),
                       c_count = conv.channels;
    F32 taps[R][R] = {};
    for (std::int64_t c = 0; c < c_count; ++c) {
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const std::int64_t filter = (first + lane) * conv.filter_size();
        for (int i = 0; i < R * R; ++i) taps[i / R][i % R][lane] = weight.at(filter, c, i);
      }
      sandwich<false>(
          g, [&](int i, int j) __attribute__((always_inline)) { return taps[i][j]; },
          [&](int i, int j, F32 v) __attribute__((always_inline)) {
            const std::int64_t tap = i * N + j;
            v = v * splat(conv.v_step[tap * c_count + c]);
            absmax[tap] = larger(absmax[tap], larger(v, -v));
            store(values + (tap * c_count + c) * kLanes, v);
          });
    }
  }

  static void quantize(const TrainingConv& conv, std::int64_t v, const float* values,
                       const F32 (&absmax)[kTaps], std::uint8_t* u, float* scale) {
    const PackedU packed(conv);
    const F32 limit = splat(conv.u_limit);
    for (std::int64_t tap = 0; tap < kTaps; ++tap) {
      const F32 step = larger(splat(1e-30F), absmax[tap]) / limit;  // what is not a number stays so
      for (std::int64_t k = v * kLanes; k < std::min(conv.filters, (v + 1) * kLanes); ++k)
        scale[tap * conv.filters + k] = step[k % kLanes];
      const F32 factor = 1.0F / step;
      const PanelPlace place = packed.place(tap, v);
      I32 total{};
      for (std::int64_t group = 0; group < packed.groups; ++group) {
        I32 four{};
        for (std::int64_t i = 0; i < std::min(Int8Dot::kGroup, conv.channels - group * Int8Dot::kGroup);
             ++i) {
          const float* const from = values + (tap * conv.channels + group * Int8Dot::kGroup + i) * kLanes;
          const I32 q = floor_to_int(to_grid(load<F32>(from), factor, -limit, limit));
          total += q;
          four |= (q & 0xFF) << static_cast<std::int32_t>(8 * i);
        }
        store(u + place.offset + group * place.step, four);
      }
      store(u + packed.start(tap) + v * kBytes, total * (Int8Dot::kRowOffset - 128));
    }
  }

  static void sum_gradients(const TrainingConv& conv, const TrainingWeights& call, std::int64_t k,
                            std::int64_t c, F32 (&du)[N][N]) {
    const std::int64_t padded = padded_channels(conv.channels);
    for (std::int64_t tap = 0; tap < kTaps; ++tap) {
      F32 sum{};
      for (const float* const part : call.du) sum += load<F32>(part + (tap * conv.filters + k) * padded + c);
      F32 v_step{};
      std::memcpy(
          &v_step, conv.v_step + tap * conv.channels + c,
          static_cast<std::size_t>(std::min<std::int64_t>(kLanes, conv.channels - c)) * sizeof(float));
      du[tap / N][tap % N] = sum * v_step * splat(1.0F / call.scale[tap * conv.filters + k]);
    }
  }

  template <bool kLearned>
  static void filters(const TrainingConv& conv, const TrainingWeights& call, const Matrix<R, N>& g,
                      std::int64_t k, std::int64_t c, const F32 (&du)[N][N], F32 (&dg)[N][R]) {
    const std::int64_t lanes = std::min<std::int64_t>(kLanes, conv.channels - c);
    const std::int64_t filter = k * conv.filter_size();
    F32 taps[R][R] = {}, dtaps[R][R];
    for (std::int64_t lane = 0; kLearned && lane < lanes; ++lane)
      for (int i = 0; i < R * R; ++i) taps[i / R][i % R][lane] = call.weight.at(filter, c + lane, i);
    sandwich_backward<kLearned>(
        g, [&](int i, int j) { return taps[i][j]; }, [&](int i, int j) { return du[i][j]; }, dg,
        [&](int i, int j, F32 v) { dtaps[i][j] = v; });
    for (std::int64_t lane = 0; lane < lanes; ++lane)
      for (int i = 0; i < R * R; ++i) call.dweight.at(filter, c + lane, i) = dtaps[i / R][i % R][lane];
  }
};

// Taps begin .. end of U, transposed.
inline void transpose_weights(const TrainingConv& conv, const std::uint8_t* u, std::uint8_t* transposed,
                              std::int64_t begin, std::int64_t end) {
  const PackedU packed(conv);
  const std::int64_t channels = padded_channels(conv.channels);
  for (std::int64_t tap = begin; tap < end; ++tap) {
    std::uint8_t* const to = transposed + tap * packed.filters * channels;
    for (std::int64_t v = 0; v < packed.filters / kLanes; ++v) {
      const PanelPlace here = packed.place(tap, v);
      for (std::int64_t c = 0; c < channels; ++c) {
        const PanelPlace there = panel_place(c / kLanes, channels / kLanes, packed.filters);
        std::uint8_t* const column = to + there.offset + v * kLanes * there.step + c % kLanes;
        const std::uint8_t* const row =
            u + here.offset + c / Int8Dot::kGroup * here.step + c % Int8Dot::kGroup;
        for (std::int64_t lane = 0; lane < kLanes; ++lane)
          column[lane * there.step] = c < conv.channels ? row[lane * Int8Dot::kGroup] ^ 0x80 : 0x80;
      }
    }
  }
}

}  // namespace tilewise::TILEWISE_SET
