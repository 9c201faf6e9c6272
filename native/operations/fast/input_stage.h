// The input transform of fast convolutions: V = B^T d B for one tile, requantized.
//
//   ShortInput  named algorithms whose V fits 16 bits: shifts and additions on int16
//   DotInput    (dot_input.h) matrices of 8-bit numbers, as learned and larger ones are: integer dot products
//   RealInput   any other one, in float32 or float64
//   FloatInput  float networks: V is kept as it is
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/aligned.h"
#include "kernels/doubles.h"
#include "kernels/named.h"
#include "kernels/this_set.h"
#include "kernels/transform.h"
#include "kernels/words.h"
#include "operations/fast/params.h"

namespace tilewise::TILEWISE_SET {

// One tile: pixels[i * t + j] points to its pixels' channels; V[tap][channel] goes to to[tap * tap_distance +
// channel], in bytes with 128 added. Reads and writes width() channels. requantize: false, to see what
// requantizing takes, leaves it out.
template <typename In, typename Out>
class InputStage {
 public:
  explicit InputStage(std::int64_t width) : width_(width) {}
  virtual ~InputStage() = default;
  InputStage(const InputStage&) = delete;
  InputStage& operator=(const InputStage&) = delete;

  std::int64_t width() const { return width_; }
  virtual void run(const In* const* pixels, Out* to, std::int64_t tap_distance, bool requantize) const = 0;

 private:
  std::int64_t width_;
};

// The largest |V| that B^T makes of any bytes, or of any words of the grid.
inline double largest_v(const FastConv& conv) {
  const std::int64_t t = conv.t();
  const QuantGrid& grid = conv.x->grid;
  const bool words = conv.x->dtype == Dtype::kInt16;
  const double low = words ? grid.low : -grid.zero, high = words ? grid.high : 255 - grid.zero;
  double largest = 0;
  for (std::int64_t tap = 0; tap < conv.products(); ++tap) {
    double up = 0, down = 0;
    for (std::int64_t i = 0; i < t * t; ++i) {
      const double factor = conv.input_factor(tap, i);
      up += factor > 0 ? factor * high : factor * low;
      down += factor > 0 ? factor * low : factor * high;
    }
    largest = std::max({largest, up, -down});
  }
  return largest;
}

// The requantization multiplier of a tap and channel.
inline std::int32_t mult_of(const FastConv& conv, std::int64_t tap, std::int64_t channel) {
  const std::int64_t columns = static_cast<std::int64_t>(conv.mult.size()) / (conv.products());
  return conv.mult[static_cast<std::size_t>(tap * columns + std::min(channel, columns - 1))];
}

// The last step of a requantization: V in [-limit, limit], 128 added.
class ByteClamp {
 public:
  explicit ByteClamp(const FastConv& conv)
      : low_(I8{} - static_cast<std::int8_t>(conv.v_limit)),
        high_(I8{} + static_cast<std::int8_t>(conv.v_limit)),
        low_short_(I16{} - static_cast<std::int16_t>(conv.v_limit)),
        high_short_(I16{} + static_cast<std::int16_t>(conv.v_limit)) {}

  [[gnu::always_inline]] I8 operator()(I8 v) const {
    return smaller(larger(v, low_), high_) ^ std::int8_t{-128};
  }
  [[gnu::always_inline]] U8Pair operator()(I16 v) const {
    return narrow_pair(smaller(larger(v, low_short_), high_short_) + std::int16_t{128});
  }

 private:
  I8 low_, high_;
  I16 low_short_, high_short_;
};

// 16-bit integers: exact where |V| stays below 2^15, requantized by one multiply-high. kBytes channels go
// through together, as two vectors that hold the lower and the higher halves of each 16; what is left, as one
// in order.
template <class Algorithm>
class ShortInput final : public InputStage<std::uint8_t, std::uint8_t> {
 public:
  explicit ShortInput(const FastConv& conv)
      : InputStage(round_up(conv.x->channels, kHalf)),
        zero_(I16{} + static_cast<std::int16_t>(conv.x->grid.zero)),
        clamp_(conv) {
    const std::int64_t taps = conv.products();
    per_channel_ = static_cast<std::int64_t>(conv.mult.size()) > taps;
    mult_row_ = per_channel_ ? width() : kHalf;
    mult_.resize(static_cast<std::size_t>(taps * mult_row_));
    for (std::int64_t i = 0; i < taps * mult_row_; ++i) {
      mult_[static_cast<std::size_t>(i)] =
          static_cast<std::int16_t>(mult_of(conv, i / mult_row_, channel_at(i % mult_row_)));
    }
  }

  static bool serves(const FastConv& conv) {
    return has_input_of<Algorithm>(conv) && conv.fraction_bits == 15 && largest_v(conv) <= 32767;
  }

  void run(const std::uint8_t* const* pixels, std::uint8_t* to, std::int64_t tap_distance,
           bool requantize) const override {
    requantize ? all<true>(pixels, to, tap_distance) : all<false>(pixels, to, tap_distance);
  }

 private:
  static constexpr std::int64_t kHalf = kBytes / 2;

  // Whether a chunk of kBytes channels begins here.
  bool whole(std::int64_t c) const { return width() - c > kHalf; }

  // The channel of a place in the chunks' order.
  std::int64_t channel_at(std::int64_t place) const {
    const std::int64_t start = place / kBytes * kBytes, in = place - start;
    if (!whole(start)) return place;
    return start + in % kHalf / 8 * 16 + in / kHalf * 8 + in % 8;
  }

  template <bool Requantize>
  void all(const std::uint8_t* const* pixels, std::uint8_t* to, std::int64_t tap_distance) const {
    std::int64_t c = 0;
    for (; whole(c); c += kBytes) chunk<2, Requantize>(pixels, to, tap_distance, c);
    if (c < width()) chunk<1, Requantize>(pixels, to, tap_distance, c);
  }

  template <int Halves, bool Requantize>
  void chunk(const std::uint8_t* const* pixels, std::uint8_t* to, std::int64_t tap_distance,
             std::int64_t c) const {
    constexpr int n = Algorithm::n, t = Algorithm::t;
    I16 half[n][t][Halves];
    for (int j = 0; j < t; ++j) {
      if constexpr (Halves == 1) {
        Algorithm::template input<I16>(
            [&](int i)
                __attribute__((always_inline)) { return load_byte_pairs(pixels[i * t + j] + c) - zero_; },
            [&](int a, I16 v) __attribute__((always_inline)) { half[a][j][0] = v; });
      } else {
        I8 bytes[t];
        for (int i = 0; i < t; ++i) bytes[i] = load<I8>(pixels[i * t + j] + c);
        Algorithm::template input<I16>(
            [&](int i) __attribute__((always_inline)) {
              return reinterpret_cast<I16>(low_bytes(bytes[i], I8{})) - zero_;
            },
            [&](int a, I16 v) __attribute__((always_inline)) { half[a][j][0] = v; });
        Algorithm::template input<I16>(
            [&](int i) __attribute__((always_inline)) {
              return reinterpret_cast<I16>(high_bytes(bytes[i], I8{})) - zero_;
            },
            [&](int a, I16 v) __attribute__((always_inline)) { half[a][j][1] = v; });
      }
    }
    if constexpr (kMixes<Algorithm>) {
      I16 mixed[n * n + Algorithm::kMade][Halves];
      for (int a = 0; a < n; ++a) row<Halves>(half[a], mixed + a * n);
#pragma GCC unroll 2
      for (int h = 0; h < Halves; ++h) {
        Algorithm::template into<I16>([&](int place) __attribute__((always_inline)) { return mixed[place][h]; },
                                      [&](int place, I16 v) __attribute__((always_inline)) { mixed[place][h] = v; });
      }
      for (int tap = 0; tap < Algorithm::taps; ++tap) {
        finish<Halves, Requantize>(mixed[Algorithm::source[tap]], to, tap_distance, c, tap);
      }
    } else {
      for (int a = 0; a < n; ++a) {
        I16 v[n][Halves];
        row<Halves>(half[a], v);
        for (int b = 0; b < n; ++b) finish<Halves, Requantize>(v[b], to, tap_distance, c, a * n + b);
      }
    }
  }

  template <int Halves>
  [[gnu::always_inline]] static void row(const I16 (&half)[Algorithm::t][Halves], I16 (*v)[Halves]) {
#pragma GCC unroll 2
    for (int h = 0; h < Halves; ++h) {
      Algorithm::template input<I16>([&](int j) __attribute__((always_inline)) { return half[j][h]; },
                                     [&](int b, I16 x) __attribute__((always_inline)) { v[b][h] = x; });
    }
  }

  template <int Halves, bool Requantize>
  [[gnu::always_inline]] void finish(const I16 (&v)[Halves], std::uint8_t* to, std::int64_t tap_distance, std::int64_t c,
                                     std::int64_t tap) const {
    std::uint8_t* const place = to + tap * tap_distance + c;
    const std::int16_t* const mult = mult_.data() + tap * mult_row_ + (per_channel_ ? c : 0);
    I16 low = v[0], high = v[Halves - 1];
    if constexpr (Requantize) {
      low = mulhrs(low, load<I16>(mult));
      high = mulhrs(high, load<I16>(mult + (per_channel_ ? kHalf * (Halves - 1) : 0)));
    }
    if constexpr (Halves == 1) {
      store(place, clamp_(low));
    } else {
      store(place, clamp_(pack(low, high)));
    }
  }

  I16 zero_;
  ByteClamp clamp_;
  bool per_channel_ = false;
  std::int64_t mult_row_ = 0;
  AlignedVector<std::int16_t>
      mult_;  // [tap][place in the chunks' order], or one vector of equal numbers for each tap
};

// Floats. In double everything is exact; in float it is (docs/contracts/numbers.md) where V has at most 24
// bits and the shift is 15, and learned transforms lie on a grid that keeps them so, or are floats by
// definition.
inline bool float_serves(const FastConv& conv) {
  return !conv.integer || (conv.fraction_bits == 15 && largest_v(conv) <= 16777216);
}

template <typename Real, class Algorithm>
class RealInput final : public InputStage<std::uint8_t, std::uint8_t> {
  using Scalar = std::remove_cvref_t<decltype(Real{}[0])>;

 public:
  explicit RealInput(const FastConv& conv)
      : InputStage(round_up(conv.x->channels, kLanes)),
        algorithm_(algorithm_of<Algorithm>(conv)),
        zero_(conv.x->grid.zero),
        low_(Real{} - static_cast<Scalar>(conv.v_limit)),
        high_(Real{} + static_cast<Scalar>(conv.v_limit)) {
    factor_.resize(static_cast<std::size_t>(conv.products() * width()));
    for (std::int64_t i = 0; i < conv.products() * width(); ++i) {
      factor_[static_cast<std::size_t>(i)] =
          std::ldexp(static_cast<Scalar>(mult_of(conv, i / width(), i % width())), -conv.fraction_bits);
    }
  }

  void run(const std::uint8_t* const* pixels, std::uint8_t* to, std::int64_t tap_distance,
           bool requantize) const override {
    for (std::int64_t c = 0; c < width(); c += kLanes) {
      tile_input<Real>(
          algorithm_,
          [&](int pixel) __attribute__((always_inline)) {
            return __builtin_convertvector(load_bytes(pixels[pixel] + c) - zero_, Real);
          },
          [&](int tap, Real v) __attribute__((always_inline)) {
            if (requantize) {
              v = smaller(larger(v * load<Real>(factor_.data() + tap * width() + c) + Scalar{0.5}, low_),
                          high_);
              store(to + tap * tap_distance + c, narrow(floor_to_int(v) + 128));
            } else {
              store(to + tap * tap_distance + c, narrow(floor_to_int(v)));
            }
          });
    }
  }

 private:
  Algorithm algorithm_;
  std::int32_t zero_;
  Real low_, high_;
  AlignedVector<Scalar> factor_;  // [tap][channel]
};

template <class Algorithm>
class FloatInput final : public InputStage<float, float> {
 public:
  explicit FloatInput(const FastConv& conv)
      : InputStage(round_up(conv.x->channels, kLanes)), algorithm_(algorithm_of<Algorithm>(conv)) {}

  void run(const float* const* pixels, float* to, std::int64_t tap_distance, bool) const override {
    for (std::int64_t c = 0; c < width(); c += kLanes) {
      tile_input<F32>(
          algorithm_, [&](int pixel) __attribute__((always_inline)) { return load<F32>(pixels[pixel] + c); },
          [&](int tap, F32 v) __attribute__((always_inline)) { store(to + tap * tap_distance + c, v); });
    }
  }

 private:
  Algorithm algorithm_;
};

}  // namespace tilewise::TILEWISE_SET
