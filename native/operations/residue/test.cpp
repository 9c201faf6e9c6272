#include <algorithm>
#include <string>
#include <vector>

#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

// F(4,3) with padding 1, from 3 to 5 channels.
Draft network(std::int64_t channels = 3, const std::vector<std::int64_t>& moduli = {8191, 8189}, std::int64_t low = -127) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(channels, low), y = b.draft.bytes(5);
  b.input("x", x);
  b.residue("conv", x, y, 4, moduli);
  b.output("y", y);
  return std::move(b.draft);
}

void test_refusals() {
  const auto bad = [](const std::string& part, auto change) { refused(network(), "conv: " + part, change); };
  const auto moduli = [](std::vector<std::int64_t> numbers) {
    return [=](Draft& d) { d.array("conv", "moduli") = values_of(numbers); };
  };
  bad("the number of moduli is 1, must be 2..4", moduli({8191}));
  bad("the number of moduli is 5, must be 2..4", moduli({251, 241, 239, 233, 229}));
  bad("a modulus is 61, must be 63..8191", moduli({61, 8191}));
  bad("a modulus is 8193, must be 63..8191", moduli({8193, 8191}));
  bad("a modulus is -9223372036854775808, must be 63..8191", moduli({INT64_MIN, 8191}));
  bad("a modulus is 8190, must be odd", moduli({8191, 8190}));
  bad("the modulus 8191 has a factor of another one, must be coprime", moduli({8191, 8191}));
  bad("modulo a factor of 8187 two points of a tile of 6 are the same, must differ", moduli({8191, 8187}));  // 3 * 2729
  bad("the product of all moduli but the last is", moduli({8191, 8189, 8179, 8171}));
  bad("m is 3, must be even, for points come in pairs", [](Draft& d) { d("conv", "m") = json(3); });
  bad("m is 1, must be 2..16", [](Draft& d) { d("conv", "m") = json(1); });
  bad("the inputs of a tile, m + r - 1, is 4, must be 6..18", [](Draft& d) { d("conv", "m") = json(2); });
  const auto kernel = [](std::int64_t r) {
    return [=](Draft& d) {
      d.array("conv", "weight") = values_of({5, r, r, 3}, std::vector<std::int8_t>(static_cast<std::size_t>(15 * r * r), 1));
    };
  };
  bad("the height of weight is 4, must be odd", kernel(4));
  bad("the height of weight is 1, must be 3..16", kernel(1));
  bad("the inputs of a tile, m + r - 1, is 20, must be 6..18", [&](Draft& d) { kernel(5)(d), d("conv", "m") = json(16); });
  bad("x is int16, must be uint8", [](Draft& d) { Draft::field(d.tensors()[0], "dtype") = json("int16"); });
}

// Sums keep to 15/32 of the product of the moduli, whatever the bytes are.
void test_reach() {
  for (const std::int64_t low : {-127, 0}) {
    const std::int64_t product = 1009 * 1013, most = product / 32 * 15, fits = most / (9 * 127 * (low == 0 ? 255 : 128));
    for (const std::int64_t channels : {fits, fits + 1}) {
      Draft d = network(channels, {1009, 1013}, low);
      Values& weight = d.array("conv", "weight");
      std::fill_n(weight.as<std::int8_t>(), weight.bytes.size(), std::int8_t{127});
      const std::string words = refusal([&] { const Loaded loaded(d); });
      CHECK(words.empty() == (channels == fits), words);
      CHECK(words.empty() || words.find("must be at most " + std::to_string(most) + ", 15/32 of the product") != std::string::npos, words);
    }
  }
}

}  // namespace

void test_residue() {
  check_size(network(), {{7, 9}}, {7, 9});
  test_refusals();
  test_reach();
}

}  // namespace tilewise::testing
