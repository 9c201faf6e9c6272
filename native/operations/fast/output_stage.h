// The output transform of fast convolutions: Y = A^T (M * z) A for one tile, finished. Needs transform.h,
// epilogue.h.
#pragma once

#include "base/aligned.h"
#include "kernels/dot.h"
#include "kernels/epilogue.h"
#include "kernels/named.h"
#include "kernels/transform.h"
#include "operations/fast/params.h"

namespace tilewise::TILEWISE_SET {

// Where the outputs of one tile go: the number of its first pixel, how many rows and columns lie in the image, and how
// many pixels apart they are.
struct Target {
  std::int64_t pixel, rows, cols, row_step, col_step;

  // Finishes the outputs, `across` of them a row of the tile, for Vectors vectors of channels from `channel` on.
  template <int Vectors>
  [[gnu::always_inline]] void end(const Finish& finish, std::int64_t channel, const F32 (*values)[Vectors],
                                  std::int64_t across) const {
    finish.template in<Vectors>(channel, [&](const auto& end) __attribute__((always_inline)) {
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < cols; ++j)
          end(values[i * across + j], pixel + i * row_step + j * col_step);
      }
    });
  }
};

// One tile and a panel of output channels from `channel` on; m holds [vector of the panel][tap][kLanes].
template <typename Sum>
class OutputStage {
 public:
  OutputStage() = default;
  virtual ~OutputStage() = default;
  OutputStage(const OutputStage&) = delete;
  OutputStage& operator=(const OutputStage&) = delete;

  virtual void run(const Sum* m, std::int64_t channel, std::int64_t vectors, const Target& target,
                   const Finish& finish) const = 0;
};

template <typename Sum, class Algorithm>
class Output final : public OutputStage<Sum> {
 public:
  explicit Output(const FastConv& conv)
      : algorithm_(algorithm_of<Algorithm>(conv)),
        taps_(conv.products()) {
    const std::int64_t filters = conv.y->channels;
    scale_.assign(static_cast<std::size_t>(kQuantized ? taps_ * conv.y->lanes() : 0), 0.0F);
    for (std::int64_t i = 0; kQuantized && i < taps_ * filters; ++i) {
      const std::int64_t tap = i / filters, k = i % filters;
      scale_[static_cast<std::size_t>((k / kLanes * taps_ + tap) * kLanes + k % kLanes)] =
          conv.scale[static_cast<std::size_t>(i)];
    }
  }

  void run(const Sum* m, std::int64_t channel, std::int64_t vectors, const Target& target,
           const Finish& finish) const override {
    for_vectors(vectors, [&](auto count) { tile<count>(m, channel, target, finish); });
  }

 private:
  static constexpr bool kQuantized = std::is_same_v<Sum, std::int32_t>;
  static constexpr int kMax = kMaxOf<Algorithm>;

  template <int Vectors>
  void tile(const Sum* m, std::int64_t channel, const Target& target, const Finish& finish) const {
    F32 values[kMax * kMax][Vectors];
    for (int v = 0; v < Vectors; ++v) {
      const float* const scale = scale_.data() + (channel / kLanes + v) * taps_ * kLanes;
      const Sum* const sums = m + v * taps_ * kLanes;
      tile_output<F32>(
          algorithm_, [&](int tap) __attribute__((always_inline)) { return real(sums, scale, tap * kLanes); },
          [&](int place, F32 value) __attribute__((always_inline)) { values[place][v] = value; });
    }
    target.end<Vectors>(finish, channel, values, algorithm_.m);
  }

  [[gnu::always_inline]] static F32 real(const std::int32_t* m, const float* scale, std::int64_t at) {
    return to_float(load<I32>(m + at)) * load<F32>(scale + at);
  }
  [[gnu::always_inline]] static F32 real(const float* m, const float*, std::int64_t at) {
    return load<F32>(m + at);
  }

  Algorithm algorithm_;
  std::int64_t taps_;
  AlignedVector<float> scale_;  // [vector of channels][tap][kLanes]
};

}  // namespace tilewise::TILEWISE_SET
