// What makes a convolution by residues exact, decided anew for every plan: never a wrong sum.
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "engine/checks.h"
#include "kernels/residue.h"

namespace tilewise::checks {
namespace {

constexpr std::int64_t kSmallestModulus = 63;  // a 32nd of it covers what float quotients get wrong

residue::Sizes sizes_of(const std::string& name, const ResidueSpec& spec) {
  const residue::Sizes sizes{.m = spec.m, .r = spec.weight.shape[1]};
  range(name, "m", sizes.m, 2, residue::kLargestTile - 2);
  range(name, "the height of weight", sizes.r, 3, residue::kLargestTile - 2);
  if (sizes.m % 2 != 0) refuse(name, ": m is ", sizes.m, ", must be even, for points come in pairs");
  if (sizes.r % 2 == 0) refuse(name, ": the height of weight is ", sizes.r, ", must be odd");
  range(name, "the inputs of a tile, m + r - 1,", sizes.t(), 6, residue::kLargestTile);
  return sizes;
}

// The product of the moduli.
std::int64_t moduli(const std::string& name, const ResidueSpec& spec, const residue::Sizes& sizes) {
  const std::int64_t count = spec.moduli.shape[0];
  range(name, "the number of moduli", count, 2, residue::kMostModuli);
  std::int64_t product = 1;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t modulus = spec.moduli.data[i];
    range(name, "a modulus", modulus, kSmallestModulus, residue::kLargestModulus);
    if (modulus % 2 == 0) refuse(name, ": a modulus is ", modulus, ", must be odd");
    if (std::gcd(product, modulus) != 1) {
      refuse(name, ": the modulus ", modulus, " has a factor of another one, must be coprime");
    }
    if (!residue::tells_points_apart(modulus, sizes)) {
      refuse(name, ": modulo a factor of ", modulus, " two points of a tile of ", sizes.t(),
             " are the same, must differ");
    }
    // What is put together before the last digit stays within int32.
    range(name, "the product of all moduli but the last", product, 1, std::int64_t{1} << 30);
    product *= modulus;
  }
  return product;
}

// Whatever the bytes are, sums keep to 15/32 of the product of the moduli on both sides of 0, and to int32.
void sums(const std::string& name, const ResidueSpec& spec, std::int64_t low, std::int64_t high,
          std::int64_t product) {
  const Shape<4>& shape = spec.weight.shape;
  const std::int64_t row = shape[1] * shape[2] * shape[3], most = std::min(product / 32 * 15, kMaxInt32);
  for (std::int64_t k = 0; k < shape[0]; ++k) {
    std::int64_t up = 0, down = 0;
    for (std::int64_t i = 0; i < row; ++i) {
      const std::int64_t weight = spec.weight.data[k * row + i];
      up += weight * (weight > 0 ? high : low);
      down += weight * (weight > 0 ? low : high);
    }
    if (std::max(up, -down) > most) {
      refuse(name, ": sums of output channel ", k, " reach ", std::max(up, -down), ", must be at most ", most,
             ", 15/32 of the product of the moduli, and below 2^31");
    }
  }
}

// Products of residues summed over the channels stay within int32.
void products(const std::string& name, const ResidueSpec& spec, const residue::Sizes& sizes,
              const residue::Triple& triple, std::int64_t largest_v) {
  const std::int64_t channels = spec.weight.shape[3], most = kMaxInt32 / largest_v;
  const auto weights =
      std::span(spec.weight.data, static_cast<std::size_t>(element_count(spec.weight.shape)));
  const std::vector<std::int16_t> u = residue::transform_weights(triple, sizes, weights, channels);
  for (auto row = u.begin(); row != u.end(); row += channels) {
    const std::int64_t sum = std::accumulate(row, row + channels, std::int64_t{0},
                                             [](std::int64_t so_far, int v) { return so_far + std::abs(v); });
    if (sum > most) {
      refuse(name, ": absolute weights modulo ", triple.modulus, " sum to ", sum,
             " over the channels, must be", " at most ", most);
    }
  }
}

}  // namespace

void residue(const std::string& name, const ResidueSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  integers(name, spec, x, y);
  const residue::Sizes sizes = sizes_of(name, spec);
  const std::int64_t product = moduli(name, spec, sizes);
  sums(name, spec, -x.grid.zero, 255 - x.grid.zero, product);
  for (std::int64_t i = 0; i < spec.moduli.shape[0]; ++i) {
    const residue::Triple triple = residue::triple(static_cast<std::int32_t>(spec.moduli.data[i]), sizes);
    if (!residue::is_convolution(triple, sizes)) {
      refuse(name, ": F(", sizes.m, ", ", sizes.r, ") is no convolution modulo ", triple.modulus);
    }
    products(name, spec, sizes, triple, residue::largest_v(triple, sizes, std::max(x.grid.zero, 255 - x.grid.zero)));
  }
}

}  // namespace tilewise::checks
