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
  [[gnu::always_inline]] static Vector splat(const In* p) {
    std::int32_t two;
    std::memcpy(&two, p, sizeof two);
    return I32{} + two;
  }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return dot2(sum, a, b); }
};

// V in floats or doubles, in which it is exact; V times its multiplier has up to 15 bits more and needs
// doubles.
template <typename Real>
class WordElement {
 public:
  using In = std::int16_t;
  using Vector = Real;
  static constexpr std::int64_t kWidth = kLanes;

  explicit WordElement(const FastConv& conv)
      : low_(F64{} - static_cast<double>(conv.v_limit)),
        high_(F64{} + static_cast<double>(conv.v_limit)),
        width_(round_up(conv.x->channels, kWidth)) {
    const std::int64_t taps = conv.n * conv.n, columns = static_cast<std::int64_t>(conv.mult.size()) / taps;
    for (std::int64_t i = 0; i < taps * width_; ++i) {
      const std::int64_t column = std::min(i % width_, columns - 1);
      factor_.push_back(
          std::ldexp(static_cast<double>(conv.mult[static_cast<std::size_t>(i / width_ * columns + column)]),
                     -conv.fraction_bits));
    }
  }

  [[gnu::always_inline]] Vector read(const In* p) const {
    return __builtin_convertvector(load<Words>(p), Real);
  }
  [[gnu::always_inline]] void write(In* to, Vector v, std::int64_t tap, std::int64_t channel) const {
    const F64 steps =
        __builtin_convertvector(v, F64) * load<F64>(factor_.data() + tap * width_ + channel) + 0.5;
    store(to, narrow_to_words(floor_to_int(smaller(larger(steps, low_), high_))));
  }
  [[gnu::always_inline]] static void write_plain(In* to, Vector v) {
    store(to, narrow_to_words(floor_to_int(v)));
  }

 private:
  F64 low_, high_;
  std::int64_t width_;
  std::vector<double> factor_;  // [tap][channel]
};

// bf16 numbers are the upper halves of floats, so a product of two is exact in float. Pairs lie in a float's
// bits.
struct Bf16Dot {
  using In = std::uint16_t;
  using Weight = std::uint16_t;
  using Sum = float;
  using Vector = F32;
  static constexpr std::int64_t kGroup = 2;
  [[gnu::always_inline]] static Vector splat(const In* p) {
    float two;
    std::memcpy(&two, p, sizeof two);
    return F32{} + two;
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
class Bf16Element {
 public:
  using In = float;
  using Vector = F32;
  static constexpr std::int64_t kWidth = kLanes;

  explicit Bf16Element(const FastConv&) {}
  [[gnu::always_inline]] Vector read(const In* p) const { return load<F32>(p); }
  [[gnu::always_inline]] void write(std::uint16_t* to, Vector v, std::int64_t, std::int64_t) const {
    store(to, to_bf16(v));
  }
  [[gnu::always_inline]] static void write_plain(std::uint16_t* to, Vector v) {
    store(to, narrow_to_words(reinterpret_cast<I32>(v) >> 16));
  }
};

inline std::unique_ptr<Op> make_direct_int16(const DirectConv& conv) {
  return std::make_unique<DirectOp<Int16Dot>>(conv, conv.weight_int16.data());
}

// Algorithms by their size only, not each with its own matrices: half the code for the rarer widths.
template <class Dot, class Element>
std::unique_ptr<Op> make_fast_by_size(const FastConv& conv, const typename Dot::Weight* u) {
  std::unique_ptr<Op> op;
  const auto attempt = [&]<class Algorithm>(std::type_identity<Algorithm>) {
    if (!op && Algorithm::serves(conv)) op = std::make_unique<FastOp<Dot, Algorithm, Element>>(conv, u);
  };
  attempt(std::type_identity<Dense<2, 4, 4>>{});
  attempt(std::type_identity<Dense<4, 6, 6>>{});
  attempt(std::type_identity<Dense<6, 8, 8>>{});
  if (!op) op = std::make_unique<FastOp<Dot, Listed, Element>>(conv, u);
  return op;
}

inline std::unique_ptr<Op> make_fast_int16(const FastConv& conv) {
  if (largest_v(conv) <= 16777216)
    return make_fast_by_size<Int16Dot, WordElement<F32>>(conv, conv.u_int16.data());
  return std::make_unique<FastOp<Int16Dot, Listed, WordElement<F64>>>(conv, conv.u_int16.data());
}

// The products are a parameter, for machines that have an instruction for them.
template <class Dot>
std::unique_ptr<Op> make_direct_bf16_with(const DirectConv& conv) {
  return std::make_unique<DirectOp<Dot>>(conv, conv.weight_bf16.data());
}
template <class Dot>
std::unique_ptr<Op> make_fast_bf16_with(const FastConv& conv) {
  return make_fast_by_size<Dot, Bf16Element>(conv, conv.u_bf16.data());
}

inline std::unique_ptr<Op> make_direct_bf16(const DirectConv& conv) {
  return make_direct_bf16_with<Bf16Dot>(conv);
}
inline std::unique_ptr<Op> make_fast_bf16(const FastConv& conv) { return make_fast_bf16_with<Bf16Dot>(conv); }

}  // namespace tilewise::TILEWISE_SET
