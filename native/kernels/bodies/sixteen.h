// Convolutions on 16-bit numbers: int16 with exact int32 sums (op.h has the bounds), and bf16 with float
// sums. Needs direct.h, fast.h, words.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

namespace tilewise::TILEWISE_SET {

struct Int16Dot {
  using In = std::int16_t;
  using Weight = std::int16_t;
  using Sum = std::int32_t;
  using Vector = I32;
  static constexpr std::int64_t kGroup = 2;
  static constexpr int kRows = kFloatRows;
  static constexpr std::int32_t kRowOffset = 0;
  [[gnu::always_inline]] static Vector splat(const In* p) {
    std::int32_t two;
    std::memcpy(&two, p, sizeof two);
    return I32{} + two;
  }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return dot2(sum, a, b); }
};

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
    for (std::int64_t i = 0; i < conv.n * conv.n * width(); ++i) {
      factor_.push_back(
          std::ldexp(static_cast<double>(mult_of(conv, i / width(), i % width())), -conv.fraction_bits));
    }
  }

  void run(const std::int16_t* const* pixels, std::int16_t* to, std::int64_t tap_distance,
           bool requantize) const override {
    for (std::int64_t c = 0; c < width(); c += kLanes) {
      both_sides<Real>(
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

// bf16 numbers are the upper halves of floats, so a product of two is exact in float. Pairs lie in a float's
// bits.
struct Bf16Dot {
  using In = std::uint16_t;
  using Weight = std::uint16_t;
  using Sum = float;
  using Vector = F32;
  static constexpr std::int64_t kGroup = 2;
  static constexpr int kRows = kByteRows;  // a product split in two, as one of bytes may be
  static constexpr std::int32_t kRowOffset = 0;
  [[gnu::always_inline]] static Vector splat(const In* p) {
    float two;
    std::memcpy(&two, p, sizeof two);
    return two - F32{};
  }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) {
    return fused(second(a), second(b), fused(first(a), first(b), sum));
  }

 private:
  [[gnu::always_inline]] static F32 first(F32 pair) {
    return reinterpret_cast<F32>(reinterpret_cast<I32>(pair) << 16);
  }
  [[gnu::always_inline]] static F32 second(F32 pair) {
    return reinterpret_cast<F32>(reinterpret_cast<I32>(pair) & ~0xFFFF);
  }
};

// V in float, rounded to bf16.
template <class Algorithm>
class Bf16Input final : public InputStage<float, std::uint16_t> {
 public:
  explicit Bf16Input(const FastConv& conv)
      : InputStage(round_up(conv.x->channels, kLanes)), algorithm_(algorithm_of<Algorithm>(conv)) {}

  void run(const float* const* pixels, std::uint16_t* to, std::int64_t tap_distance, bool) const override {
    for (std::int64_t c = 0; c < width(); c += kLanes) {
      both_sides<F32>(
          algorithm_, [&](int pixel) __attribute__((always_inline)) { return load<F32>(pixels[pixel] + c); },
          [&](int tap, F32 v)
              __attribute__((always_inline)) { store(to + tap * tap_distance + c, to_bf16(v)); });
    }
  }

 private:
  Algorithm algorithm_;
};

inline std::unique_ptr<Op> make_direct_int16(const DirectConv& conv) {
  return std::make_unique<DirectOp<Int16Dot>>(conv, conv.weight_int16.data());
}

using WordStage = InputStage<std::int16_t, std::int16_t>;

template <class Algorithm>
using FloatWordInput = WordInput<F32, Algorithm>;

inline std::unique_ptr<Op> make_fast_int16(const FastConv& conv) {
  std::unique_ptr<WordStage> input;
  if (largest_v(conv) <= 16777216) {
    input = make_input<WordStage, FloatWordInput>(conv);
  } else {
    input = std::make_unique<WordInput<F64, Listed>>(conv);
  }
  return std::make_unique<FastOp<Int16Dot, std::int16_t>>(conv, conv.u_int16.data(), std::move(input),
                                                          make_output<std::int32_t>(conv));
}

// The products are a parameter, for machines that have an instruction for them.
template <class Dot>
std::unique_ptr<Op> make_direct_bf16_with(const DirectConv& conv) {
  return std::make_unique<DirectOp<Dot>>(conv, conv.weight_bf16.data());
}
template <class Dot>
std::unique_ptr<Op> make_fast_bf16_with(const FastConv& conv) {
  return std::make_unique<FastOp<Dot, float>>(conv, conv.u_bf16.data(),
                                              make_input<InputStage<float, std::uint16_t>, Bf16Input>(conv),
                                              make_output<float>(conv));
}

inline std::unique_ptr<Op> make_direct_bf16(const DirectConv& conv) {
  return make_direct_bf16_with<Bf16Dot>(conv);
}
inline std::unique_ptr<Op> make_fast_bf16(const FastConv& conv) { return make_fast_bf16_with<Bf16Dot>(conv); }

}  // namespace tilewise::TILEWISE_SET
