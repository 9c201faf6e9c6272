#include <string>
#include <vector>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

// Two parts with room between, before and after them.
void test_kernels() {
  Random random(3);
  for_formats("gather", [&](int from, int to, std::int64_t channels, const std::string& text) {
    const Memory x = filled(shaped(from, 3, 5, channels, channels < 4 ? 4 : 16), random);
    const Memory other = filled(shaped(to, 2, 2, 3), random);
    Memory y(shaped(to, 4, 6, channels + 11), kImages, 0xFF);
    const Gather gather{.y = &y.tensor,
                        .parts = {{&x.tensor, 5, {2, -1, 0, 2}, {4, 4, -1, 0, 1, 3}},
                                  {&other.tensor, channels + 7, {0, 1, 1, -1}, {1, 0, 1, 0, 1, -1}}}};
    const auto formula = [&](const Place& p) {
      for (const Gather::Part& part : gather.parts) {
        const std::int64_t c = p.channel - part.first;
        if (c < 0 || c >= part.x->channels) continue;
        const std::int64_t row = part.rows[static_cast<std::size_t>(p.row)], col = part.cols[static_cast<std::size_t>(p.col)];
        return row >= 0 && col >= 0 ? real(*part.x, {p.image, row, col, c}) : 0.0F;
      }
      return 0.0F;
    };
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.gather(gather), {.images = kImages});
      check_output(y, formula, text + " by " + by);
    });
  });
}

// One below the other, beside it, and with channels in another order.
void test_blocks() {
  Random random(4);
  for_formats("gather", [&](int from, int to, std::int64_t channels, const std::string& text) {
    const Memory x = filled(shaped(from, 3, 5, channels + 3), random), other = filled(shaped(to, 2, 2, channels), random);
    for (const bool below : {true, false}) {
      Memory y(below ? shaped(to, 5, 5, channels) : shaped(to, 3, 7, channels), kImages, 0xFF);
      std::vector<std::int64_t> last_first(static_cast<std::size_t>(channels));
      for (std::int64_t c = 0; c < channels; ++c) last_first[static_cast<std::size_t>(c)] = channels - 1 - c;
      const std::vector<std::int64_t> rows = {2, 1, 0}, cols = {4, -1, 2, 1, 0};
      const Gather gather{
          .y = &y.tensor,
          .parts = {{.x = &x.tensor, .first = 0, .rows = rows, .cols = cols, .from = 3, .count = channels},
                    {.x = &other.tensor, .first = 0, .rows = below ? std::vector<std::int64_t>{1, 0} : std::vector<std::int64_t>{0, 0, 1},
                     .cols = below ? std::vector<std::int64_t>{0, 1, 0, 1, 1} : std::vector<std::int64_t>{1, 0},
                     .channels = last_first, .row = below ? 3 : 0, .col = below ? 0 : 5}}};
      const auto formula = [&](const Place& p) {
        const bool second = below ? p.row >= 3 : p.col >= 5;
        const Gather::Part& part = gather.parts[second ? 1 : 0];
        const std::int64_t row = part.rows[static_cast<std::size_t>(p.row - part.row)], col = part.cols[static_cast<std::size_t>(p.col - part.col)];
        if (row < 0 || col < 0) return 0.0F;
        return real(*part.x, {p.image, row, col, second ? channels - 1 - p.channel : p.channel + 3});
      };
      for_sets([&](const KernelSet& set, const std::string& by) {
        run(*set.gather(gather), {.images = kImages});
        check_output(y, formula, text + " by " + by);
      });
    }
  });
}

// x [5] and other [5] in y [12]; `moves` as in NetworkBuilder::gather.
Draft network(const std::vector<std::int64_t>& moves, const std::vector<std::int64_t>& of_channels = {}, bool like = false) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(5), other = b.draft.bytes(5), size = b.draft.bytes(1), y = b.draft.bytes(12);
  b.input("x", x), b.input("other", other), b.input("size", size);
  b.gather("moved", {x, other}, y, moves, of_channels, like ? size : kNoTensor);
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes() {
  const std::vector<Size> small = {{4, 6}, {4, 6}, {8, 18}};
  check_size(network({}), small, {4, 6});
  check_size(network({0, 0, 1, 2, 0, 1, 0, 1, 2, 0}), small, {7, 9});                    // padding
  check_size(network({0, 1, 3, 0, 0, 1, 1, 3, 0, 0}), small, {12, 18});                  // each so often
  check_size(network({0, 2, 1, kNoEnd, 1, 1, 2, 1, kNoEnd, 1}), small, {3, 5});          // slices
  check_size(network({0, 2, -3, -1, 1, 1, 2, -3, -1, 1}), small, {2, 2});                // from the end on
  check_size(network({0, 2, 0, kNoEnd, 2, 1, 2, 1, kNoEnd, 2}), {{5, 7}, {6, 8}, {1, 1}}, {3, 4});
  check_size(network({0, 2, -100, 100, 1, 1, 2, 0, 4, 1, 1, 2, 0, 100, 1}), {{4, 4}, {4, 4}, {1, 1}}, {4, 4});
  check_size(network({0, 1, 2, 0, 0, 0, 2, 1, -1, 1, 1, 0, 1, 1, 0}), {{4, 4}, {4, 4}, {1, 1}}, {6, 6});  // one after the other
  check_size(network({0, 4, 0, 0, 0, 1, 4, 0, 0, 0}, {}, true), {{9, 20}, {8, 18}, {8, 18}}, {8, 18});  // cropped to another
  check_size(network({0, 4, 0, 0, 0}, {}, true), small, {4, 6});                                       // nothing to crop
  size_refused(network({}), {{4, 6}, {5, 6}, {1, 1}}, "moved: its inputs have 4x6 and 5x6 pixels, must have the same");
  size_refused(network({0, 2, 3, 3, 1}), small, "moved: nothing is left of input 0, which has 4x6 pixels");
  size_refused(network({0, 5, 4, 0, 0}), small, "moved: pads 4 pixels by 4 of their own, must be at most 3");
  size_refused(network({0, 7, 0, 5, 0}), small, "moved: pads 4 pixels by 5 of their own, must be at most 4");
  size_refused(network({0, 2, 3, 3, 1, 0, 6, 1, 0, 0}), small, "moved: pads 0 pixels by 1 of their own, must be at most 0");
  size_refused(network({0, 1, 256, 0, 0, 0, 1, 256, 0, 0}), {{2, 2}, {2, 2}, {1, 1}}, "moved: y would have 131072 pixels along an axis, must be 1..65536");
  size_refused(network({0, 0, 65536, 0, 0, 1, 0, 65536, 0, 0}), small, "moved: the height of its result is 65540, must be 1..65536");
}

Draft stacked(std::int64_t axis) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(5), other = b.draft.bytes(5), y = b.draft.bytes(5);
  b.input("x", x), b.input("other", other);
  b.stack("moved", {x, other}, y, axis);
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes_of_stacks() {
  check_size(stacked(1), {{4, 6}, {5, 6}}, {9, 6});
  check_size(stacked(2), {{4, 6}, {4, 7}}, {4, 13});
  size_refused(stacked(1), {{4, 6}, {5, 7}}, "moved: its inputs have 4x6 and 5x7 pixels, must have the same width");
  size_refused(stacked(2), {{4, 6}, {5, 7}}, "moved: its inputs have 4x6 and 5x7 pixels, must have the same height");
  size_refused(stacked(1), {{40000, 6}, {40000, 6}}, "moved: the height of its result is 65537, must be 1..65536");
}

// Of numbered pixels along one axis: which ones arrive, 0 for none.
std::vector<int> moved(const std::vector<std::int64_t>& moves, std::int64_t pixels) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.floats(1), y = b.draft.floats(1);
  b.input("x", x);
  b.gather("moved", {x}, y, {});
  b.draft.array("moved", "cols") = values_of({static_cast<std::int64_t>(moves.size() / 5), 5}, moves);
  b.output("y", y);
  const Loaded loaded(b.draft);
  const Size size = infer_sizes(loaded.program, shapes_of({{1, pixels}}))[1];
  Memory from(tensor(Dtype::kFloat32, 1, pixels, 1, false), 1, 0), to(tensor(Dtype::kFloat32, 1, size.width, 1, false), 1, 0);
  for (std::int64_t i = 0; i < pixels; ++i)
    reinterpret_cast<float*>(from.tensor.data)[i * from.tensor.stride] = static_cast<float>(i + 1);
  const TensorRef refs[2] = {from.tensor, to.tensor};
  run(*loaded.program.operations()[1]->make(kernel_set("portable"), refs).op, {.images = 1});
  std::vector<int> result;
  for (std::int64_t i = 0; i < size.width; ++i)
    result.push_back(static_cast<int>(reinterpret_cast<const float*>(to.tensor.data)[i * to.tensor.stride]));
  return result;
}

void test_moves() {
  CHECK((moved({}, 3) == std::vector{1, 2, 3}), "none");
  CHECK((moved({0, 0, 1, 2, 0}, 2) == std::vector{0, 1, 2, 0, 0}), "padding");
  CHECK((moved({0, 1, 2, 0, 0}, 3) == std::vector{1, 1, 2, 2, 3, 3}), "each twice");
  CHECK((moved({0, 2, 1, -1, 2}, 7) == std::vector{2, 4, 6}), "every other one");
  CHECK((moved({0, 2, -2, kNoEnd, 1}, 5) == std::vector{4, 5}), "the last two");
  CHECK((moved({0, 3, 0, 0, 0}, 3) == std::vector{3, 2, 1}), "from the last one on");
  CHECK((moved({0, 5, 2, 3, 0}, 4) == std::vector{3, 2, 1, 2, 3, 4, 3, 2, 1}), "reflected");
  CHECK((moved({0, 6, 2, 1, 0}, 2) == std::vector{1, 1, 1, 2, 2}), "the ends again");
  CHECK((moved({0, 7, 2, 3, 0}, 3) == std::vector{2, 3, 1, 2, 3, 1, 2, 3}), "around");
  CHECK((moved({0, 0, 1, 0, 0, 0, 1, 2, 0, 0, 0, 2, 1, 5, 1}, 3) == std::vector{0, 1, 1, 2}), "one after the other");
}

void test_refusals() {
  const Draft valid = network({0, 0, 1, 2, 0});
  const auto move = [&](std::size_t at, std::int64_t value) {
    return [=](Draft& d) { d.array("moved", "rows").as<std::int64_t>()[at] = value; };
  };
  refused(valid, "moved: the input of a move is 2, must be 0..1", move(0, 2));
  refused(valid, "moved: the input of a move is -1, must be 0..1", move(0, -1));
  refused(valid, "moved: a move is 8, must be 0..7", move(1, 8));
  refused(network({}, {0, 0, 0, 0, 0}), "moved: a move of channels is 0, must be 1..3 or 5..7", [](Draft&) {});
  refused(network({}, {0, 2, 3, 3, 1}), "moved: nothing is left of the 5 channels of input 0", [](Draft&) {});
  refused(network({}, {0, 1, 2, 0, 0}), "moved: first is 5, must be 10..7", [](Draft&) {});
  refused(valid, "moved: a move crops to the size of a tensor, must have `like`", move(1, 4));
  refused(valid, "moved: axis is 3, must be 0..2", [](Draft& d) { d("moved", "axis") = json(3); });
  refused(valid, "moved: the number of channels of y is 12, must be 5, those of each input",
          [](Draft& d) { d("moved", "axis") = json(1); });
  refused(valid, "moved: the first number of a move is -1, must be 0..65536", move(2, -1));
  refused(valid, "moved: the second number of a move is 65537, must be 0..65536", move(3, 65537));
  refused(valid, "moved: the third number of a move is 0, must be 1..65536", move(1, 2));  // the step of a slice
  refused(network({0, 1, 2, 0, 0}), "moved: the first number of a move is 0, must be 1..256", move(2, 0));
  refused(network({0, 1, 2, 0, 0}), "moved: the first number of a move is 257, must be 1..256", move(2, 257));
  refused(valid, "moved: the number of columns of rows, cols and channels is 4, must be 5",
          [](Draft& d) { d.array("moved", "cols") = values_of({1, 4}, std::vector<std::int64_t>(4)); });
  refused(valid, "moved: the length of first is 1, must be 2, the number of inputs",
          [](Draft& d) { d.array("moved", "first") = values_of(std::vector<std::int64_t>{0}); });
  const auto first = [](std::int64_t a, std::int64_t b) {
    return [=](Draft& d) { d.array("moved", "first") = values_of(std::vector<std::int64_t>{a, b}); };
  };
  refused(valid, "moved: first is -1, must be 0..7", first(-1, 5));
  refused(valid, "moved: first is 4, must be 5..7", first(0, 4));
  refused(valid, "moved: first is 8, must be 5..7", first(0, 8));
  for (const std::size_t tensor : {0, 3}) {
    refused(valid, std::string("moved: ") + (tensor == 0 ? "x" : "y") + " is bfloat16, must be uint8, int16 or float32",
            [&](Draft& d) { d.tensors()[tensor] = object({{"name", json("t")}, {"channels", json(tensor == 0 ? 5 : 12)}, {"dtype", json("bfloat16")}}); });
  }
}

}  // namespace

void test_gather() {
  test_kernels();
  test_blocks();
  test_sizes();
  test_sizes_of_stacks();
  test_moves();
  test_refusals();
}

}  // namespace tilewise::testing
