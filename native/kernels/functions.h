// What functions of one number compute (docs/contracts/numbers.md): float32 arithmetic, each step rounded on its own, so
// that every kernel set and torch give the same bits. No mathematical library has a part in it. Compiled once per kernel
// set: with vectors, and by the reference value by value.
#pragma once

#include <cstdint>

#include "kernels/function.h"

#ifdef TILEWISE_SET_HEADER
#include "kernels/this_set.h"
#endif

namespace tilewise::TILEWISE_SET {

#ifdef TILEWISE_SET_HEADER
using Real = F32;
using RealBits = U32;
#else
using Real = float;
using RealBits = std::uint32_t;
#endif
inline constexpr std::int64_t kReals = sizeof(Real) / sizeof(float);

// NaN stays NaN.
[[gnu::always_inline]] inline Real at_least(Real x, float limit) {
  const Real low = Real{} + limit;
  return low > x ? low : x;
}
[[gnu::always_inline]] inline Real at_most(Real x, float limit) {
  const Real high = Real{} + limit;
  return high < x ? high : x;
}
[[gnu::always_inline]] inline Real within(Real x, float low, float high) { return at_most(at_least(x, low), high); }

[[gnu::always_inline]] inline Real magnitude(Real x) {
  const Real opposite = -x;
  return x < 0.0F ? opposite : x;
}

// c[0] + c[1] x + .., from the last one on.
template <int count>
[[gnu::always_inline]] inline Real polynomial(const float (&c)[count], Real x) {
  Real sum = Real{} + c[count - 1];
#pragma GCC unroll 16
  for (int i = count - 2; i >= 0; --i) sum = sum * x + c[i];
  return sum;
}

// e^x, for x beyond -87 and 87 that of the limit: 2^n * (1 + rest), where n is the nearest whole number to x / ln 2.
struct Exponential {
  Real power, rest;  // 2^n and e^r - 1

  [[gnu::always_inline]] Real value() const { return power * rest + power; }
  [[gnu::always_inline]] Real less_one() const { return power * rest + (power - 1.0F); }
};

[[gnu::always_inline]] inline Exponential exponential(Real x) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: a sum with it is rounded to a whole number, its lowest bits
  constexpr float kTerms[] = {0.500000012F, 0.166666655F, 0.0416657959F, 0.00833345205F, 0.00139819994F, 0.000198756912F};
  const Real limited = within(x, -87.0F, 87.0F);
  const Real shifted = limited * 1.44269502F + kShift;
  const Real n = shifted - kShift;
  const Real r = (limited - n * 0.693359375F) - n * -0.000212194442F;
  const RealBits exponent = (__builtin_bit_cast(RealBits, shifted) + 127U) << 23U;
  return {__builtin_bit_cast(Real, exponent), polynomial(kTerms, r) * r * r + r};
}

[[gnu::always_inline]] inline Real sigmoid(Real x) { return 1.0F / (exponential(-x).value() + 1.0F); }

[[gnu::always_inline]] inline Real elu(Real x) {
  const Real below = exponential(at_most(x, 0.0F)).less_one();
  return x > 0.0F ? x : below;
}

// With u = e^(2|x|) - 1: u / (u + 2), and the sign of x.
[[gnu::always_inline]] inline Real hyperbolic_tangent(Real x) {
  const Real u = exponential(at_most(magnitude(x) * 2.0F, 20.0F)).less_one();
  const Real positive = u / (u + 2.0F), negative = -positive;
  return x < 0.0F ? negative : positive;
}

// x times a share that vanishes far below 0, where x is limited to stay a small number.
[[gnu::always_inline]] inline Real gated(Real x, Real share) { return at_least(x, -87.0F) * share; }

// x times the tanh of softplus(x), which is n / (n + 2) with n = e^x (e^x + 2).
[[gnu::always_inline]] inline Real mish(Real x) {
  const Real power = exponential(at_most(x, 20.0F)).value();
  const Real n = power * (power + 2.0F);
  return gated(x, n / (n + 2.0F));
}

// log(1 + z), for z up to 1: twice the artanh of z / (z + 2).
[[gnu::always_inline]] inline Real logarithm_beyond_one(Real z) {
  constexpr float kTerms[] = {0.333333343F, 0.200000271F, 0.14284198F, 0.111507505F, 0.0857392177F, 0.108962052F};
  const Real w = z / (z + 2.0F), v = w * w;
  return (polynomial(kTerms, v) * v * w + w) * 2.0F;
}

[[gnu::always_inline]] inline Real softplus(Real x) {
  return at_least(x, 0.0F) + logarithm_beyond_one(exponential(-magnitude(x)).value());
}

// log(x), for x beyond the normal numbers that of the limit: with x = 2^n m and m from 2^-0.5 to 2^0.5, the logarithms of
// the two. NaN stays NaN.
[[gnu::always_inline]] inline Real logarithm(Real x) {
  constexpr std::uint32_t kRoot = 0x3F3504F3U, kOne = 0x3F800000U, kWhole = 0x4B000000U;  // 2^-0.5, 1, 2^23
  const Real limited = within(x, 1.17549435e-38F, 3.40282347e+38F);
  const RealBits shifted = __builtin_bit_cast(RealBits, limited) + (kOne - kRoot);
  const Real m = __builtin_bit_cast(Real, (shifted & 0x7FFFFFU) + kRoot);
  const Real n = __builtin_bit_cast(Real, (shifted >> 23U) | kWhole) - 8388735.0F;  // 2^23, and the bias of 127
  return n * 0.693359375F + (n * -0.000212194442F + logarithm_beyond_one(m - 1.0F)) + (limited - limited);
}

// The share of the normal distribution beyond a, which is at least 0: e^(-a^2/2) times a polynomial in 1 / (1 + 0.3 a).
[[gnu::always_inline]] inline Real normal_beyond(Real a) {
  constexpr float kTerms[] = {5.7097041e-06F, 0.11951226F,  0.121746749F, 0.0953563377F, 0.14096719F,
                              -0.0742495805F, 0.226697028F, -0.168220103F, 0.0381844267F};
  const Real t = 1.0F / (a * 0.3F + 1.0F);
  return exponential(a * a * -0.5F).value() * polynomial(kTerms, t);
}

// x times the share of the normal distribution below x.
[[gnu::always_inline]] inline Real gelu(Real x) {
  const Real beyond = normal_beyond(at_most(magnitude(x), 12.5F)), below = 1.0F - beyond;
  return gated(x, x > 0.0F ? below : beyond);
}

// Up to |x| = 1, x times a polynomial in its square; beyond, what is left of 1.
[[gnu::always_inline]] inline Real error_function(Real x) {
  constexpr float kTerms[] = {1.12837911F, -0.37612626F, 0.112835981F, -0.0268543363F, 0.00518932054F,
                              -0.000801889459F, 7.88252946e-05F};
  const Real a = magnitude(x), small = at_most(a, 1.0F);
  const Real inner = polynomial(kTerms, small * small) * small;
  const Real outer = 1.0F - normal_beyond(at_most(a, 8.0F) * 1.41421354F) * 2.0F;
  const Real positive = a < 1.0F ? inner : outer, negative = -positive;
  return x < 0.0F ? negative : positive;
}

// The nearest float32 to the square root, as IEEE 754 has it.
[[gnu::always_inline]] inline Real root(Real x) {
#ifdef TILEWISE_SET_HEADER
  Real result;
  for (int i = 0; i < kReals; ++i) result[i] = __builtin_sqrtf(x[i]);
  return result;
#else
  return __builtin_sqrtf(x);
#endif
}

// In place, `count` times kReals numbers. Out of line: the call stands in every output of every unrolled transform.
[[gnu::noinline]] inline void apply(Function function, Real* values, std::int64_t count) {
  switch (function) {
    case Function::none:
      return;
#define TILEWISE_FUNCTION(name, value)             \
  case Function::name:                             \
    for (std::int64_t i = 0; i < count; ++i) {     \
      const Real x = values[i];                    \
      values[i] = value;                           \
    }                                              \
    return;
#include "kernels/functions.inc"
#undef TILEWISE_FUNCTION
  }
}

}  // namespace tilewise::TILEWISE_SET
