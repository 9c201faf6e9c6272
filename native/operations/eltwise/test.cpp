#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

void test_kernels() {
  Random random(1);
  for_formats(
      "eltwise",
      [&](int from, int to, std::int64_t channels, const std::string& text) {
        for (int options = 0; options < 8; ++options) {
          const auto [height, width] = kSizes[options % 3];
          const Memory x = filled(shaped(from, height, width, channels, channels < 4 ? 4 : 16), random);
          const Memory added = filled(shaped(options % 4, height, width, channels), random);
          Memory y(shaped(to, height, width, channels), kImages, 0xFF);
          Eltwise eltwise{.x = &x.tensor, .y = &y.tensor, .scale = {}, .epilogue = {}};
          if (options & 1) eltwise.scale = floats(static_cast<std::size_t>(channels), 1, random);
          if (options & 2) eltwise.epilogue.bias = floats(static_cast<std::size_t>(channels), 1, random);
          if (options & 4)
            eltwise.epilogue.residual = &added.tensor, eltwise.epilogue.low = 0, eltwise.epilogue.high = 1;
          const auto formula = [&](const Place& p) {
            const auto c = static_cast<std::size_t>(p.channel);
            float v = real(x.tensor, p);
            if (options & 1) v = v * eltwise.scale[c];
            if (options & 2) v = v + eltwise.epilogue.bias[c];
            if (options & 4) v = v + real(added.tensor, p);
            return std::min(std::max(v, eltwise.epilogue.low), eltwise.epilogue.high);
          };
          for_sets([&](const KernelSet& set, const std::string& by) {
            run(*set.eltwise(eltwise), {.images = kImages});
            check_output(y, formula, text + " by " + by);
          });
        }
      },
      true);
}

// Functions on every set as on the reference, which torch holds to the bit (tests/engine); bytes to bytes by a table.
void test_functions() {
  Random random(2);
  for (std::size_t number = 1; number < std::size(kFunctions); ++number) {
    for (const auto& [from, to] : {std::pair{0, 0}, {2, 2}, {3, 1}, {4, 0}}) {
      if (static_cast<Function>(number) == Function::sqrt && to == 0) continue;  // which NaN is nobody's business
      const std::string text = std::string(kFunctions[number]) + " from format " + std::to_string(from);
      const Memory x = filled(shaped(from, 3, 7, 35), random);
      Memory y(shaped(to, 3, 7, 35), kImages, 0xFF), expected(shaped(to, 3, 7, 35), kImages, 0);
      Eltwise eltwise{.x = &x.tensor, .y = &expected.tensor, .scale = {}, .epilogue = {}};
      eltwise.epilogue.function = static_cast<Function>(number);
      run(*kernel_set("reference").eltwise(eltwise), {.images = kImages});
      eltwise.y = &y.tensor;
      for_sets([&](const KernelSet& set, const std::string& by) {
        run(*set.eltwise(eltwise), {.images = kImages});
        CHECK(y.guards_intact() && y.contents() == expected.contents(), text + " by " + by);
      });
    }
  }
}

Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(3), other = b.draft.words(3), y = b.draft.bytes(3, -127);
  b.input("x", x), b.input("other", other);
  b.eltwise("scaled", x, y, {.residual = other});
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes() {
  check_size(network(), {{5, 7}, {5, 7}}, {5, 7});
  size_refused(network(), {{5, 7}, {5, 8}},
               "scaled: the tensor that is added has 5x8 pixels, must have 5x7 as what it is added to");
}

void test_refusals() {
  const Draft valid = network();
  refused(valid, "scaled: the length of scale is 1, must be 3, the channels of y",
          [](Draft& d) { d.array("scaled", "scale") = values_of(std::vector<float>{1}); });
  refused(valid, "scaled: scale holds inf at position 1, must be finite",
          [](Draft& d) { d.array("scaled", "scale").as<float>()[1] = INFINITY; });
  refused(valid, "scaled: the length of bias is 2, must be 3",
          [](Draft& d) { d.values["2.bias"] = values_of(std::vector<float>(2)); });
  refused(valid, "scaled: the activation is limited to 1..0, must be two numbers in order",
          [](Draft& d) { d("scaled", "act_low") = json(1), d("scaled", "act_high") = json(0); });
  refused(valid, "scaled: the number of channels of y is 4, must be 3, the channels of x",
          [](Draft& d) { Draft::field(d.tensors()[2], "channels") = json(4); });
  refused(valid, "scaled: the number of channels of the residual is 4, must be 3, the channels of y",
          [](Draft& d) { Draft::field(d.tensors()[1], "channels") = json(4); });
  const auto bf16 = [](std::size_t tensor) {
    return [=](Draft& d) {
      d.tensors()[tensor] = object({{"name", json("t")}, {"channels", json(3)}, {"dtype", json("bfloat16")}});
    };
  };
  refused(valid, "scaled: x is bfloat16, must be uint8, int16 or float32", bf16(0));
  refused(valid, "scaled: the residual is bfloat16, must be uint8, int16 or float32", bf16(1));
}

}  // namespace

void test_eltwise() {
  test_kernels();
  test_functions();
  test_sizes();
  test_refusals();
}

}  // namespace tilewise::testing
