// The sizes of whole networks' tensors, from those of the images that go in. What one operation makes of sizes is tested
// in its folder.
#include "program/sizes.h"

#include <string>
#include <vector>

#include "tests/check.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

// Of the tensor that the operation called `name` writes.
Size written_by(const Loaded& loaded, const std::vector<Size>& sizes, const std::string& name) {
  for (const auto& operation : loaded.program.operations()) {
    if (operation->name == name) return sizes[static_cast<std::size_t>(operation->written)];
  }
  refuse("there is no operation ", name);
}

void test_every_operation() {
  const Loaded loaded(small_network(false));
  const auto sizes = [&](std::int64_t height, std::int64_t width) {
    return infer_sizes(loaded.program, std::vector<PortShape>(2, {3, {height, width}}));
  };
  const std::pair<const char*, Size> expected[] = {
      {"image", {13, 11}},  {"guide", {13, 11}},    {"stem", {13, 11}},    {"skip", {13, 11}}, {"inner", {13, 11}},
      {"sum", {13, 11}},    {"pooled", {7, 6}},     {"strided", {7, 6}},   {"wrapped", {7, 6}}, {"residues", {7, 6}},
      {"grouped", {7, 6}},  {"apart", {7, 6}},      {"each", {7, 6}},
      {"both", {8, 7}},     {"words", {8, 7}},      {"more_words", {8, 7}}, {"real", {8, 7}},  {"wide", {8, 7}},
      {"shuffled", {16, 14}}, {"map", {13, 11}},    {"resized", {5, 5}},   {"repeated", {5, 5}}, {"mean", {1, 1}},
      {"average", {1, 1}},  {"joined", {1, 1}},     {"half", {1, 1}}};
  const std::vector<Size> found = sizes(13, 11);
  for (const auto& [name, size] : expected)
    CHECK(written_by(loaded, found, name) == size, std::string(name) + " has " + shown(written_by(loaded, found, name)));
  for (const Size size : {Size{1, 1}, Size{2, 3}, Size{64, 64}}) {
    const std::vector<Size> other = sizes(size.height, size.width);
    CHECK(written_by(loaded, other, "map") == size, shown(size));
    CHECK((written_by(loaded, other, "pooled") == Size{(size.height + 1) / 2, (size.width + 1) / 2}), shown(size));
    CHECK((written_by(loaded, other, "average") == Size{1, 1}), shown(size));
  }
}

void test_refusals() {
  const Loaded loaded(small_network(false));
  const auto bad = [&](const std::vector<PortShape>& shapes, const std::string& part) {
    const std::string words = refusal([&] { infer_sizes(loaded.program, shapes); });
    CHECK(words.find(part) != std::string::npos, part + ": " + words);
  };
  bad({}, "there are 0 inputs, must be 2");
  bad({{1, {4, 4}}}, "there are 1 inputs, must be 2");
  bad({{2, {4, 4}}, {3, {4, 4}}}, "guide: has 3 images, must have 2 as image");
  bad({{0, {4, 4}}, {0, {4, 4}}}, "the number of images is 0, must be at least 1");
  bad({{1, {0, 4}}, {1, {4, 4}}}, "image: the height of the images is 0, must be 1..65536");
  bad({{1, {4, 65537}}, {1, {4, 4}}}, "image: the width of the images is 65537, must be 1..65536");
  bad({{1, {4, 4}}, {1, {4, 5}}}, "skip: the tensor that is added has 4x5 pixels, must have 4x4 as what it is added to");
  bad({{1, {65536, 65536}}, {1, {4, 4}}}, "skip: the tensor that is added has 4x4 pixels");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  tilewise::testing::test_every_operation();
  tilewise::testing::test_refusals();
}
