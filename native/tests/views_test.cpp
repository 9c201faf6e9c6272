// Which tensors lie within others. (That all operations read and write such tensors is tested with whole networks.)
#include "program/views.h"

#include <string>
#include <vector>

#include "tests/check.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

void check_view(const std::vector<View>& found, std::int64_t tensor, const View& expected, const std::string& text) {
  const View& view = found[static_cast<std::size_t>(tensor)];
  CHECK(view == expected, text + " lies in " + std::to_string(view.whole) + " from " + std::to_string(view.first) + " on");
}

std::vector<View> views_of(NetworkBuilder& b, std::int64_t last) {
  b.output("y", last);
  return views(Loaded(b.draft).program);
}

void test_concatenation() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.floats(16), few = b.draft.floats(3), other = b.draft.bytes(16), after = b.draft.floats(32),
                     joined = b.draft.floats(16 + 3 + 16 + 32 + 16);
  b.input("x", x), b.input("few", few), b.input("after", after);
  b.eltwise("other", x, other);
  b.gather("joined", {x, few, other, after, x}, joined, {});
  const std::vector<View> found = views_of(b, joined);
  check_view(found, x, {joined, 0}, "the first part");
  check_view(found, few, {few, 0}, "a part that is no whole vectors");
  check_view(found, other, {other, 0}, "a part on another grid");
  check_view(found, after, {after, 0}, "a part that begins within a vector");
  check_view(found, joined, {joined, 0}, "the whole");
}

void test_moved_parts() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.floats(16), y = b.draft.floats(16), joined = b.draft.floats(32);
  b.input("x", x), b.eltwise("y", x, y);
  b.gather("joined", {x, y}, joined, {1, 1, 2, 0, 0});  // y's rows and columns, each twice
  const std::vector<View> found = views_of(b, joined);
  check_view(found, x, {joined, 0}, "a part as it is");
  check_view(found, y, {y, 0}, "a part that is repeated");
}

void test_slices_of_parts() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.floats(48), inner = b.draft.floats(32), beside = b.draft.floats(16),
                     joined = b.draft.floats(64), outer = b.draft.floats(112);
  b.input("x", x);
  b.gather("inner", {x}, inner, {}, {0, 2, 16, 48, 1});
  b.gather("beside", {inner}, beside, {}, {0, 2, 16, 32, 1});
  b.gather("joined", {x, beside}, joined, {});
  b.gather("outer", {x, joined}, outer, {});
  const std::vector<View> found = views_of(b, outer);
  check_view(found, joined, {outer, 48}, "a concatenation in another one");
  check_view(found, x, {outer, 48}, "a part of both lies in the first of them");
  check_view(found, inner, {outer, 64}, "a slice of a part");
  check_view(found, beside, {outer, 80}, "a slice of a slice");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  test_concatenation();
  test_moved_parts();
  test_slices_of_parts();
}
