// The exact convolutions of every set against the direct one, which is what the reference set makes of them.
// With an argument N only every N-th problem is compared, for emulators.
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "tests/kernel_algorithms.h"
#include "tests/kernel_compare.h"

namespace tilewise::testing {
namespace {

// Calls test(what WrappingConv and ResidueConv have of a direct one, images, its name) for r x r kernels on all
// shapes.
template <typename Test>
void for_problems(std::int64_t r, int& turn, Random& random, const Test& test) {
  for (const Shape& shape : kShapes) {
    for (const Store& store : kStores) {
      const Fill kind = kFills[++turn % 4];
      const std::int64_t pad = r / 2 + turn % 2, images = 1 + turn % 3;
      const std::int64_t height = shape.height + 2 * pad - r + 1, width = shape.width + 2 * pad - r + 1;
      if (height < 1 || width < 1) continue;
      const TensorRef y = tensor(store.dtype, height, width, shape.filters, store.is_signed);
      Memory residual(tensor(kResiduals[turn % 3], height, width, shape.filters, false), images, 0);
      fill(residual, images, Fill::kRandom, random);
      Memory x(tensor(Dtype::kUint8, shape.height, shape.width, shape.channels, turn % 2 == 0), images, 0);
      fill(x, images, kind, random);
      const auto weight =
          int8s(static_cast<std::size_t>(shape.filters * r * r * shape.channels), kind, random);
      DirectConv conv{};
      conv.x = &x.tensor, conv.y = &y;
      conv.window = {.height = r, .width = r, .pad_top = pad, .pad_left = pad};
      conv.weight_int8 = weight;
      conv.scale = floats(static_cast<std::size_t>(shape.filters), 1e-4F, random);
      conv.epilogue = epilogue(turn, &residual.tensor, shape.filters, random);
      std::ostringstream text;
      text << " of " << shape.height << "x" << shape.width << "x" << shape.channels << " to " << shape.filters
           << ", turn " << turn;
      test(conv, images, text.str());
    }
  }
}

void test_wrapping(Random& random) {
  int turn = 0;
  for (const ExactCase& algorithm : kExactCases) {
    for_problems(algorithm.sizes.r, turn, random,
                 [&](const DirectConv& direct, std::int64_t images, const std::string& text) {
                   WrappingConv conv{direct, algorithm.sizes, algorithm.at, algorithm.g, algorithm.bt, turn % 7};
                   compare(conv, images, 0, algorithm.name + text);
                 });
  }
}

// Moduli whose product is twice what 7x7 kernels and 65 channels can reach, and as small ones as their tile
// allows.
struct ResidueCase {
  std::int64_t m, r;
  std::vector<std::int32_t> moduli;
};
const ResidueCase kResidueCases[] = {
    {2, 5, {251, 241, 239, 233}}, {4, 3, {8191, 8189}},      {6, 3, {1009, 1013, 1019}},
    {8, 3, {253, 247, 251, 241}}, {12, 3, {4093, 4091, 67}}, {14, 3, {8191, 8179}},
    {10, 5, {8191, 8189}},        {14, 5, {8191, 8189}},     {14, 5, {251, 241, 239, 233}},
    {12, 7, {8191, 8189, 8171}},
};

void test_residues(Random& random) {
  int turn = 0;
  for (const ResidueCase& c : kResidueCases) {
    const residue::Sizes sizes{c.m, c.r};
    std::int64_t product = 1;
    for (const std::int32_t modulus : c.moduli) {
      CHECK(residue::tells_points_apart(modulus, sizes), std::to_string(modulus));
      CHECK(residue::is_convolution(residue::triple(modulus, sizes), sizes), std::to_string(modulus));
      product *= modulus;
    }
    for_problems(c.r, turn, random,
                 [&](const DirectConv& direct, std::int64_t images, const std::string& text) {
                   if (product / 32 * 15 < c.r * c.r * direct.x->channels * 127 * 255) return;
                   ResidueConv conv{direct, sizes, c.moduli, turn % 7};
                   std::ostringstream name;
                   name << "F(" << c.m << ", " << c.r << ") mod " << c.moduli[0] << text;
                   compare(conv, images, 0, name.str());
                 });
  }
}

// Every residue modulo small and large numbers, and the largest numbers that are ever reduced.
void test_symmetric() {
  for (const std::int64_t modulus : {63, 255, 8191}) {
    for (std::int64_t value = -3 * modulus; value <= 3 * modulus; ++value) {
      const std::int64_t rest = residue::symmetric(value, modulus);
      CHECK((value - rest) % modulus == 0 && std::abs(rest) <= modulus / 2, std::to_string(value));
      if (std::gcd(value, modulus) == 1) {
        CHECK(residue::symmetric(residue::inverse(value, modulus) * value, modulus) == 1,
              std::to_string(value));
      }
    }
  }
}

}  // namespace
}  // namespace tilewise::testing

int main(int argc, char** argv) {
  if (argc > 1) tilewise::testing::share = std::atoi(argv[1]);
  tilewise::testing::Random random(3);
  tilewise::testing::test_symmetric();
  tilewise::testing::test_wrapping(random);
  tilewise::testing::test_residues(random);
}
