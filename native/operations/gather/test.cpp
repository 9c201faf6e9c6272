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

// x [5] and other [5] in y [12]; `moves` as in NetworkBuilder::gather.
Draft network(const std::vector<std::int64_t>& moves, bool like = false) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(5), other = b.draft.bytes(5), size = b.draft.bytes(1), y = b.draft.bytes(12);
  b.input("x", x), b.input("other", other), b.input("size", size);
  b.gather("moved", {x, other}, y, moves, like ? size : kNoTensor);
  b.output("y", y);
  return std::move(b.draft);
}

constexpr std::int64_t kNoEnd = std::int64_t{1} << 48;

void test_sizes() {
  const std::vector<Size> small = {{4, 6}, {4, 6}, {8, 18}};
  check_size(network({}), small, {4, 6});
  check_size(network({0, 0, 1, 2, 0, 1, 0, 1, 2, 0}), small, {7, 9});                    // padding
  check_size(network({0, 1, 3, 0, 0, 1, 1, 3, 0, 0}), small, {12, 18});                  // each so often
  check_size(network({0, 2, 1, kNoEnd, 1, 1, 2, 1, kNoEnd, 1}), small, {3, 5});          // slices
  check_size(network({0, 2, -3, -1, 1, 1, 2, -3, -1, 1}), small, {2, 2});                // from the end on
  check_size(network({0, 2, 0, kNoEnd, 2, 1, 2, 1, kNoEnd, 2}), {{5, 7}, {6, 8}, {1, 1}}, {3, 4});
  check_size(network({0, 2, -100, 100, 1, 1, 2, 0, 4, 1, 1, 2, 0, 100, 1}), {{4, 4}, {4, 4}, {1, 1}}, {4, 4});
  check_size(network({0, 3, 0, 0, 0, 1, 3, 0, 0, 0}, true), small, {8, 18});             // fills another's size
  check_size(network({0, 1, 2, 0, 0, 0, 2, 1, -1, 1, 1, 0, 1, 1, 0}), {{4, 4}, {4, 4}, {1, 1}}, {6, 6});  // one after the other
  size_refused(network({}), {{4, 6}, {5, 6}, {1, 1}}, "moved: its inputs have 4x6 and 5x6 pixels, must have the same");
  size_refused(network({0, 2, 3, 3, 1}), small, "moved: nothing is left of input 0, which has 4x6 pixels");
  size_refused(network({0, 3, 0, 0, 0, 1, 3, 0, 0, 0}, true), {{4, 6}, {4, 6}, {9, 18}},
               "moved: goes from 4 to 9 pixels, must be a whole factor");
  size_refused(network({0, 1, 256, 0, 0, 0, 1, 256, 0, 0}), {{2, 2}, {2, 2}, {1, 1}}, "moved: y would have 131072 pixels along an axis, must be 1..65536");
  size_refused(network({0, 0, 65536, 0, 0, 1, 0, 65536, 0, 0}), small, "moved: the height of its result is 65540, must be 1..65536");
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
  CHECK((moved({0, 0, 1, 0, 0, 0, 1, 2, 0, 0, 0, 2, 1, 5, 1}, 3) == std::vector{0, 1, 1, 2}), "one after the other");
}

void test_refusals() {
  const Draft valid = network({0, 0, 1, 2, 0});
  const auto move = [&](std::size_t at, std::int64_t value) {
    return [=](Draft& d) { d.array("moved", "rows").as<std::int64_t>()[at] = value; };
  };
  refused(valid, "moved: the input of a move is 2, must be 0..1", move(0, 2));
  refused(valid, "moved: the input of a move is -1, must be 0..1", move(0, -1));
  refused(valid, "moved: a move is 4, must be 0..3", move(1, 4));
  refused(valid, "moved: a move fills the size of a tensor, must have `like`", move(1, 3));
  refused(valid, "moved: the first number of a move is -1, must be 0..65536", move(2, -1));
  refused(valid, "moved: the second number of a move is 65537, must be 0..65536", move(3, 65537));
  refused(valid, "moved: the third number of a move is 0, must be 1..65536", move(1, 2));  // the step of a slice
  refused(network({0, 1, 2, 0, 0}), "moved: the first number of a move is 0, must be 1..256", move(2, 0));
  refused(network({0, 1, 2, 0, 0}), "moved: the first number of a move is 257, must be 1..256", move(2, 257));
  refused(valid, "moved: the number of columns of rows and cols is 4, must be 5",
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
  test_sizes();
  test_moves();
  test_refusals();
}

}  // namespace tilewise::testing
