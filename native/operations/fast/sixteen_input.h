// The input transform of fast convolutions on 16-bit numbers: int16 with exact V, and V as bf16.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/aligned.h"
#include "operations/fast/input_stage.h"

namespace tilewise::TILEWISE_SET {

// V in floats or doubles, in which it is exact; V times its multiplier has up to 15 bits more and needs
// doubles.
template <typename Real, class Algorithm>
class WordInput final : public InputStage<std::int16_t, std::int16_t> {
 public:
  explicit WordInput(const FastConv& conv)
      : InputStage(round_up(conv.x->channels, kLanes)),
        algorithm_(algorithm_of<Algorithm>(conv)),
        low_(F64{} - static_cast<double>(conv.v_limit)),
        high_(F64{} + static_cast<double>(conv.v_limit)) {
    for (std::int64_t i = 0; i < conv.products() * width(); ++i) {
      factor_.push_back(
          std::ldexp(static_cast<double>(mult_of(conv, i / width(), i % width())), -conv.fraction_bits));
    }
  }

  void run(const std::int16_t* const* pixels, std::int16_t* to, std::int64_t tap_distance,
           bool requantize) const override {
    for (std::int64_t c = 0; c < width(); c += kLanes) {
      tile_input<Real>(
          algorithm_,
          [&](int pixel) __attribute__((always_inline)) {
            return __builtin_convertvector(load<Words>(pixels[pixel] + c), Real);
          },
          [&](int tap, Real v) __attribute__((always_inline)) {
            F64 steps = __builtin_convertvector(v, F64);
            if (requantize) {
              steps = steps * load<F64>(factor_.data() + tap * width() + c) + 0.5;
              steps = smaller(larger(steps, low_), high_);
            }
            store(to + tap * tap_distance + c, narrow_to_words(floor_to_int(steps)));
          });
    }
  }

 private:
  Algorithm algorithm_;
  F64 low_, high_;
  AlignedVector<double> factor_;  // [tap][channel]
};

// V in float, rounded to bf16.
template <class Algorithm>
class Bf16Input final : public InputStage<float, std::uint16_t> {
 public:
  explicit Bf16Input(const FastConv& conv)
      : InputStage(round_up(conv.x->channels, kLanes)), algorithm_(algorithm_of<Algorithm>(conv)) {}

  void run(const float* const* pixels, std::uint16_t* to, std::int64_t tap_distance, bool) const override {
    for (std::int64_t c = 0; c < width(); c += kLanes) {
      tile_input<F32>(
          algorithm_, [&](int pixel) __attribute__((always_inline)) { return load<F32>(pixels[pixel] + c); },
          [&](int tap, F32 v)
              __attribute__((always_inline)) { store(to + tap * tap_distance + c, to_bf16(v)); });
    }
  }

 private:
  Algorithm algorithm_;
};

}  // namespace tilewise::TILEWISE_SET
