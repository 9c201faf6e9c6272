// What makes a convolution by residues lossless is decided anew for every program: never a wrong sum.
#include <numeric>
#include <vector>

#include "operations/lossless.h"
#include "operations/residue/arithmetic.h"

namespace tilewise {
namespace {

constexpr std::int64_t kSmallestModulus = 63;  // a 32nd of it covers what float quotients get wrong

class Residue final : public Lossless<ResidueConv> {
 public:
  void fields(Fields& fields) override {
    shared_fields(fields);
    fields.integer("m", m_, {2, residue::kLargestTile - 2}, "Outputs of a tile along each axis, even.");
    fields.array("moduli", moduli_, {"int64"}, 1, "Odd and coprime.");
  }

  void drop_arrays() override {
    moduli_ = {};
    Lossless::drop_arrays();
  }

 private:
  void check_lossless(const TensorType& x) override {
    const residue::Sizes sizes = sizes_of_tile();
    const std::int64_t product = check_moduli(sizes);
    check_reach(-x.grid.zero, 255 - x.grid.zero, product);
    for (const std::int64_t modulus : moduli_.values<std::int64_t>()) {
      const residue::Triple triple = residue::triple(static_cast<std::int32_t>(modulus), sizes);
      if (!residue::is_convolution(triple, sizes))
        refuse(name, ": F(", sizes.m, ", ", sizes.r, ") is no convolution modulo ", triple.modulus);
      check_products(sizes, triple, residue::largest_v(triple, sizes, std::max(x.grid.zero, 255 - x.grid.zero)));
      conv_.moduli.push_back(triple.modulus);
    }
    conv_.sizes = sizes;
  }

  Made kernel(const KernelSet& set) const override { return {"residue_int8", set.residue_int8(conv_)}; }

  residue::Sizes sizes_of_tile() {
    const residue::Sizes sizes{.m = m_, .r = weight_shape()[1]};
    check_range(name, "the height of weight", sizes.r, 3, residue::kLargestTile - 2);
    if (sizes.m % 2 != 0) refuse(name, ": m is ", sizes.m, ", must be even, for points come in pairs");
    if (sizes.r % 2 == 0) refuse(name, ": the height of weight is ", sizes.r, ", must be odd");
    check_range(name, "the inputs of a tile, m + r - 1,", sizes.t(), 6, residue::kLargestTile);
    return sizes;
  }

  // Returns the product of the moduli.
  std::int64_t check_moduli(const residue::Sizes& sizes) {
    check_range(name, "the number of moduli", moduli_.shape[0], 2, residue::kMostModuli);
    std::int64_t product = 1;
    for (const std::int64_t modulus : moduli_.values<std::int64_t>()) {
      check_range(name, "a modulus", modulus, kSmallestModulus, residue::kLargestModulus);
      if (modulus % 2 == 0) refuse(name, ": a modulus is ", modulus, ", must be odd");
      if (std::gcd(product, modulus) != 1)
        refuse(name, ": the modulus ", modulus, " has a factor of another one, must be coprime");
      if (!residue::tells_points_apart(modulus, sizes)) {
        refuse(name, ": modulo a factor of ", modulus, " two points of a tile of ", sizes.t(),
               " are the same, must differ");
      }
      // What is put together before the last digit stays within int32.
      check_range(name, "the product of all moduli but the last", product, 1, std::int64_t{1} << 30);
      product *= modulus;
    }
    return product;
  }

  // Whatever the bytes are, sums keep to 15/32 of the product of the moduli on both sides of 0, and to int32.
  void check_reach(std::int64_t low, std::int64_t high, std::int64_t product) {
    const auto rows = static_cast<std::size_t>(weight_shape()[0]);
    const std::size_t length = weights().size() / std::max<std::size_t>(1, rows);
    const std::int64_t most = std::min(product / 32 * 15, kMaxInt32);
    for (std::size_t k = 0; k < rows; ++k) {
      std::int64_t up = 0, down = 0;
      for (const std::int64_t weight : weights().subspan(k * length, length)) {
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
  void check_products(const residue::Sizes& sizes, const residue::Triple& triple, std::int64_t largest_v) {
    const std::int64_t channels = weight_shape()[3], most = kMaxInt32 / largest_v;
    const std::vector<std::int16_t> u = residue::transform_weights(triple, sizes, weights(), channels);
    for (auto row = u.begin(); row != u.end(); row += channels) {
      const std::int64_t sum = std::accumulate(row, row + channels, std::int64_t{0},
                                               [](std::int64_t so_far, int v) { return so_far + std::abs(v); });
      if (sum > most) {
        refuse(name, ": absolute weights modulo ", triple.modulus, " sum to ", sum,
               " over the channels, must be at most ", most);
      }
    }
  }

  std::int64_t m_ = 2;
  Array moduli_;
};

}  // namespace

std::unique_ptr<Operation> make_residue_operation() { return std::make_unique<Residue>(); }

}  // namespace tilewise
