// What V is computed in. Each reads kWidth channels of a pixel and writes as many requantized values of V, or
// (to see what requantizing takes) as many values as they are. Needs simd.h and the set.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace tilewise::TILEWISE_SET {

// The largest |V| that B^T makes of any bytes, or of any words of the grid.
inline double largest_v(const FastConv& conv) {
  const std::int64_t t = conv.m + conv.r - 1;
  const Grid& grid = conv.x->grid;
  const bool words = conv.x->dtype == Dtype::kInt16;
  const double low = words ? grid.low : -grid.zero, high = words ? grid.high : 255 - grid.zero;
  double largest = 0;
  for (std::int64_t tap = 0; tap < conv.n * conv.n; ++tap) {
    double up = 0, down = 0;
    for (std::int64_t i = 0; i < t * t; ++i) {
      const double factor = static_cast<double>(conv.bt[static_cast<std::size_t>(tap / conv.n * t + i / t)]) *
                            static_cast<double>(conv.bt[static_cast<std::size_t>(tap % conv.n * t + i % t)]);
      up += factor > 0 ? factor * high : factor * low;
      down += factor > 0 ? factor * low : factor * high;
    }
    largest = std::max({largest, up, -down});
  }
  return largest;
}

// 16-bit integers: exact where |V| stays below 2^15, requantized by one multiply-high.
class Int16Element {
 public:
  using In = std::uint8_t;
  using Vector = I16;
  static constexpr std::int64_t kWidth = 2 * kLanes;

  explicit Int16Element(const FastConv& conv)
      : zero_(I16{} + static_cast<std::int16_t>(conv.x->grid.zero)),
        low_(I16{} + static_cast<std::int16_t>(-conv.v_limit)),
        high_(I16{} + static_cast<std::int16_t>(conv.v_limit)),
        width_(round_up(conv.x->channels, kWidth)) {
    const std::int64_t taps = conv.n * conv.n, columns = static_cast<std::int64_t>(conv.mult.size()) / taps;
    per_channel_ = columns > 1;
    mult_.assign(static_cast<std::size_t>(per_channel_ ? taps * width_ : taps), 0);
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t c = 0; c < columns; ++c) {
        mult_[static_cast<std::size_t>(per_channel_ ? tap * width_ + c : tap)] =
            static_cast<std::int16_t>(conv.mult[static_cast<std::size_t>(tap * columns + c)]);
      }
    }
  }

  static bool serves(const FastConv& conv) {
    return conv.integer && conv.fraction_bits == 15 && largest_v(conv) <= 32767;
  }

  [[gnu::always_inline]] Vector read(const In* p) const {
    return __builtin_convertvector(load<U8Pair>(p), I16) - zero_;
  }
  [[gnu::always_inline]] void write(In* to, Vector v, std::int64_t tap, std::int64_t channel) const {
    const I16 mult = per_channel_ ? load<I16>(mult_.data() + tap * width_ + channel)
                                  : I16{} + mult_[static_cast<std::size_t>(tap)];
    store(to, narrow_pair(smaller(larger(mulhrs(v, mult), low_), high_) + std::int16_t{128}));
  }
  [[gnu::always_inline]] static void write_plain(In* to, Vector v) { store(to, narrow_pair(v)); }

 private:
  I16 zero_, low_, high_;
  std::int64_t width_;
  bool per_channel_ = false;
  std::vector<std::int16_t> mult_;
};

// Floats. In double everything is exact; in float it is (docs/numbers.md) where V has at most 24 bits and the
// shift is 15, and so are learned transforms, whose V is a float by definition.
inline bool float_serves(const FastConv& conv) {
  return !conv.integer || (conv.fraction_bits == 15 && largest_v(conv) <= 16777216);
}

template <typename Real>
class RealElement {
 public:
  using In = std::uint8_t;
  using Vector = Real;
  using Scalar = std::remove_cvref_t<decltype(Real{}[0])>;
  static constexpr std::int64_t kWidth = kLanes;

  explicit RealElement(const FastConv& conv)
      : zero_(conv.x->grid.zero),
        low_(Real{} - static_cast<Scalar>(conv.v_limit)),
        high_(Real{} + static_cast<Scalar>(conv.v_limit)),
        width_(round_up(conv.x->channels, kWidth)) {
    const std::int64_t taps = conv.n * conv.n, columns = static_cast<std::int64_t>(conv.mult.size()) / taps;
    factor_.assign(static_cast<std::size_t>(taps * width_), 0);
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t c = 0; c < width_; ++c) {
        const std::int64_t column = std::min(c, columns - 1);
        factor_[static_cast<std::size_t>(tap * width_ + c)] =
            std::ldexp(static_cast<Scalar>(conv.mult[static_cast<std::size_t>(tap * columns + column)]),
                       -conv.fraction_bits);
      }
    }
  }

  [[gnu::always_inline]] Vector read(const In* p) const {
    return __builtin_convertvector(load_bytes(p) - zero_, Real);
  }
  [[gnu::always_inline]] void write(In* to, Vector v, std::int64_t tap, std::int64_t channel) const {
    const Real steps = v * load<Real>(factor_.data() + tap * width_ + channel) + Scalar{0.5};
    store(to, narrow(floor_to_int(smaller(larger(steps, low_), high_)) + 128));
  }
  [[gnu::always_inline]] static void write_plain(In* to, Vector v) { store(to, narrow(floor_to_int(v))); }

 private:
  std::int32_t zero_;
  Real low_, high_;
  std::int64_t width_;
  std::vector<Scalar> factor_;  // [tap][channel]
};

// A float network: V is kept as it is.
class FloatElement {
 public:
  using In = float;
  using Vector = F32;
  static constexpr std::int64_t kWidth = kLanes;

  explicit FloatElement(const FastConv&) {}
  [[gnu::always_inline]] Vector read(const In* p) const { return load<F32>(p); }
  [[gnu::always_inline]] void write(In* to, Vector v, std::int64_t, std::int64_t) const { store(to, v); }
  [[gnu::always_inline]] static void write_plain(In* to, Vector v) { store(to, v); }
};

}  // namespace tilewise::TILEWISE_SET
