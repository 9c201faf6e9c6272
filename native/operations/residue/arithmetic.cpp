#include "operations/residue/arithmetic.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <numeric>
#include <type_traits>
#include <utility>

namespace tilewise::residue {
namespace {

std::int64_t finite_points(const Sizes& sizes) { return sizes.t() - 1; }

std::int64_t point(std::int64_t index) { return (index + 1) / 2 * (index % 2 == 1 ? 1 : -1); }

std::int64_t power(std::int64_t base, std::int64_t exponent, std::int64_t modulus) {
  std::int64_t result = 1;
  for (; exponent > 0; --exponent) result = result * base % modulus;
  return result;
}

// Coefficients of the product of (x - root) over all finite points but one, the constant first.
std::vector<std::int64_t> polynomial(const Sizes& sizes, std::int64_t left_out, std::int64_t modulus) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(sizes.t()), 0);
  result[0] = 1;
  std::size_t degree = 0;
  for (std::int64_t q = 0; q < finite_points(sizes); ++q) {
    if (q == left_out) continue;
    ++degree;
    for (std::size_t i = degree + 1; i-- > 0;) {
      result[i] = ((i > 0 ? result[i - 1] : 0) - point(q) * result[i]) % modulus;
    }
  }
  return result;
}

std::int64_t entry(const std::vector<std::int32_t>& matrix, std::int64_t columns, std::int64_t row,
                   std::int64_t column) {
  return matrix[static_cast<std::size_t>(row * columns + column)];
}

}  // namespace

std::int64_t symmetric(std::int64_t value, std::int64_t modulus) {
  const std::int64_t rest = ((value % modulus) + modulus) % modulus;
  return rest > modulus / 2 ? rest - modulus : rest;
}

std::int64_t inverse(std::int64_t value, std::int64_t modulus) {
  std::int64_t a = ((value % modulus) + modulus) % modulus, b = modulus, x = 1, y = 0;
  while (b != 0) {  // a == x * value modulo the modulus, and so is b with y
    const std::int64_t quotient = a / b;
    a = std::exchange(b, a - quotient * b);
    x = std::exchange(y, x - quotient * y);
  }
  return symmetric(x, modulus);
}

bool tells_points_apart(std::int64_t modulus, const Sizes& sizes) {
  for (std::int64_t difference = 2; difference < finite_points(sizes); ++difference) {
    if (std::gcd(difference, modulus) != 1) return false;
  }
  return true;
}

Triple triple(std::int32_t modulus, const Sizes& sizes) {
  const std::int64_t t = sizes.t(), finite = finite_points(sizes);
  Triple result{.modulus = modulus, .at = {}, .g = {}, .bt = {}};
  const auto put = [modulus](std::vector<std::int32_t>& to, std::int64_t value) {
    to.push_back(static_cast<std::int32_t>(symmetric(value, modulus)));
  };
  for (std::int64_t i = 0; i < sizes.m; ++i) {
    for (std::int64_t n = 0; n < finite; ++n) put(result.at, power(point(n), i, modulus));
    put(result.at, i == sizes.m - 1);
  }
  for (std::int64_t n = 0; n < t; ++n) {
    std::int64_t norm = 1;
    for (std::int64_t q = 0; q < finite; ++q) {
      if (q != n) norm = norm * (point(n) - point(q)) % modulus;
    }
    for (std::int64_t k = 0; k < sizes.r; ++k) {
      put(result.g, n < finite ? inverse(norm, modulus) * power(point(n), k, modulus) : k == sizes.r - 1);
    }
    for (const std::int64_t coefficient : polynomial(sizes, n, modulus)) put(result.bt, coefficient);
  }
  return result;
}

bool is_convolution(const Triple& triple, const Sizes& sizes) {
  const std::int64_t t = sizes.t();
  for (std::int64_t i = 0; i < sizes.m; ++i) {
    for (std::int64_t k = 0; k < sizes.r; ++k) {
      for (std::int64_t j = 0; j < t; ++j) {
        std::int64_t sum = 0;
        for (std::int64_t n = 0; n < t; ++n) {
          sum += entry(triple.at, t, i, n) * entry(triple.g, sizes.r, n, k) * entry(triple.bt, t, n, j);
        }
        if (symmetric(sum - (j == i + k), triple.modulus) != 0) return false;
      }
    }
  }
  return true;
}

std::int64_t largest_v(const Triple& triple, const Sizes& sizes, std::int64_t largest_q) {
  std::int64_t widest = 0;
  for (std::int64_t n = 0; n < sizes.t(); ++n) {
    std::int64_t sum = 0;
    for (std::int64_t j = 0; j < sizes.t(); ++j) sum += std::abs(entry(triple.bt, sizes.t(), n, j));
    widest = std::max(widest, sum);
  }
  return reduced(triple.modulus, widest * reduced(triple.modulus, widest * largest_q));
}

std::vector<std::int16_t> transform_weights(const Triple& triple, const Sizes& sizes,
                                            std::span<const std::int8_t> weight, std::int64_t channels) {
  const std::int64_t r = sizes.r, t = sizes.t(), row = r * r * channels;
  const auto filters = static_cast<std::int64_t>(weight.size()) / row;
  std::vector<std::int16_t> u(static_cast<std::size_t>(t * t * filters * channels));
  std::vector<std::int32_t> rows(static_cast<std::size_t>(t * r * channels));  // G w
  // to[c] = sum over k of factors[k] * from[k * distance + c]; both sides stay far below 2^31.
  const auto combine = [&](const std::int32_t* factors, const auto* from, std::int64_t distance, auto* to) {
    for (std::int64_t c = 0; c < channels; ++c) {
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < r; ++k) sum += factors[k] * from[k * distance + c];
      const std::int32_t rest = sum % triple.modulus, half = triple.modulus / 2;
      to[c] = static_cast<std::remove_reference_t<decltype(*to)>>(rest > half    ? rest - triple.modulus
                                                                  : rest < -half ? rest + triple.modulus
                                                                                 : rest);
    }
  };
  for (std::int64_t k = 0; k < filters; ++k) {
    for (std::int64_t i = 0; i < t * r; ++i) {
      combine(triple.g.data() + i / r * r, weight.data() + k * row + i % r * channels, r * channels,
              rows.data() + i * channels);
    }
    for (std::int64_t tap = 0; tap < t * t; ++tap) {
      combine(triple.g.data() + tap % t * r, rows.data() + tap / t * r * channels, channels,
              u.data() + (tap * filters + k) * channels);
    }
  }
  return u;
}

Halves input_halves(const Triple& triple, const Sizes& sizes) {
  Halves halves;
  const std::int64_t t = sizes.t();
  for (std::int64_t x = 0; x < t / 2; ++x) {
    for (std::int64_t i = 0; i < t / 2; ++i) {
      const auto value = [&](std::int64_t row, std::int64_t column) {
        return static_cast<std::int32_t>(entry(triple.bt, t, row, column));
      };
      halves.even.push_back(value(x == 0 ? 0 : 2 * x - 1, 2 * i));
      halves.odd.push_back(value(x == 0 ? t - 1 : 2 * x - 1, 2 * i + 1));
    }
  }
  return halves;
}

Halves output_halves(const Triple& triple, const Sizes& sizes) {
  Halves halves;
  const std::int64_t t = sizes.t();
  for (std::int64_t i = 0; i < sizes.m / 2; ++i) {
    for (std::int64_t x = 0; x < t / 2; ++x) {
      const auto value = [&](std::int64_t row, std::int64_t column) {
        return static_cast<std::int32_t>(entry(triple.at, t, row, column));
      };
      halves.even.push_back(value(2 * i, x == 0 ? 0 : 2 * x - 1));
      halves.odd.push_back(value(2 * i + 1, x == 0 ? t - 1 : 2 * x - 1));
    }
  }
  return halves;
}

}  // namespace tilewise::residue
