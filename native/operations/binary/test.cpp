#include <algorithm>
#include <string>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

float combined(Binary kind, float a, float b) {
  switch (kind) {
    case Binary::add: return a + b;
    case Binary::subtract: return a - b;
    case Binary::multiply: return a * b;
    case Binary::divide: return a / b;
    case Binary::minimum: return std::min(a, b);
    case Binary::maximum: return std::max(a, b);
  }
  return 0;
}

// What has an extent of 1 serves all.
Place within(const TensorRef& t, Place p) {
  if (t.height == 1) p.row = 0;
  if (t.width == 1) p.col = 0;
  if (t.channels == 1) p.channel = 0;
  return p;
}

void test_kernels() {
  Random random(3);
  int turn = 0;
  for_formats(
      "binary",
      [&](int from, int to, std::int64_t channels, const std::string& text) {
        for (const auto& [height, width] : kSizes) {
          const auto kind = static_cast<Binary>(++turn % 6);
          // Each axis of b in turn, or of a, is 1.
          const int ones = turn / 6 % 8;
          const auto small = shaped(turn % 5, ones & 1 ? 1 : height, ones & 2 ? 1 : width, ones & 4 ? 1 : channels);
          const Memory first = filled(shaped(from, height, width, channels), random), second = filled(small, random);
          const bool swapped = turn % 2 == 1;
          const Memory &a = swapped ? second : first, &b = swapped ? first : second;
          Memory y(shaped(to, height, width, channels), kImages, 0xFF);
          BinaryOf binary{.a = &a.tensor, .b = &b.tensor, .y = &y.tensor, .kind = kind, .epilogue = {}};
          if (turn % 3 == 0) binary.epilogue.low = 0;
          if (kind == Binary::divide) {  // no 0 / 0
            binary.epilogue.bias = {};
            if (b.tensor.dtype != Dtype::kFloat32) continue;
          }
          const auto formula = [&](const Place& p) {
            const float value = combined(kind, real(a.tensor, within(a.tensor, p)), real(b.tensor, within(b.tensor, p)));
            return std::max(value, binary.epilogue.low);
          };
          for_sets([&](const KernelSet& set, const std::string& by) {
            run(*set.binary(binary), {.images = kImages});
            check_output(y, formula, text + " by " + by);
          });
        }
      },
      true);
}

Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(3), gate = b.draft.floats(3), y = b.draft.bytes(3, -127);
  b.input("x", x), b.input("gate", gate);
  b.binary("gated", "multiply", x, gate, y);
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes() {
  check_size(network(), {{5, 7}, {1, 1}}, {5, 7});
  check_size(network(), {{1, 7}, {5, 1}}, {5, 7});
  size_refused(network(), {{5, 7}, {5, 2}}, "gated: its operands have 7 and 2 columns, must have equally many, or one of them 1");
}

void test_refusals() {
  const Draft valid = network();
  refused(valid, "gated: kind is modulo, must be add, subtract, multiply, divide, minimum or maximum",
          [](Draft& d) { d("gated", "kind") = json("modulo"); });
  refused(valid, "gated: its operands have 3 and 2 channels, must have equally many, or one of them 1",
          [](Draft& d) { Draft::field(d.tensors()[1], "channels") = json(2); });
  refused(valid, "gated: the number of channels of y is 2, must be 3",
          [](Draft& d) { Draft::field(d.tensors()[2], "channels") = json(2); });
  refused(valid, "gated: the number of tensors x is 3, must be 2, the operands",
          [](Draft& d) { d("gated", "x") = numbers({0, 1, 1}); });
  refused(valid, "gated: function is what, must be empty or one of abs, elu",
          [](Draft& d) { d("gated", "function") = json("what"); });
}

}  // namespace

void test_binary() {
  test_kernels();
  test_sizes();
  test_refusals();
}

}  // namespace tilewise::testing
