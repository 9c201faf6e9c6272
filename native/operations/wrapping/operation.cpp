// What makes a convolution modulo 2^32 lossless is decided anew for every program: never a wrong sum.
#include <cmath>

#include "operations/lossless.h"
#include "operations/wrapping/arithmetic.h"

namespace tilewise {
namespace {

// Of planar algorithms: what is proved in tenths of a second, whatever a file holds. SFC6-planar(6, 7) has 12 and 388.
constexpr std::int64_t kMaxPlanarSide = 12, kMaxPlanarTaps = 400;

class Wrapping final : public Lossless<WrappingConv> {
 public:
  void fields(Fields& fields) override {
    shared_fields(fields);
    fields.flag("planar", planar_, "The matrices stand for whole tiles: rows of at and columns of g and bt are squares.");
    fields.array("at", at_, {"int32"}, 2, "A^T [m, n]; with G and B^T a convolution times a positive integer.");
    fields.array("g", g_, {"int32"}, 2, "G [n, r].");
    fields.array("bt", bt_, {"int32"}, 2, "B^T [n, m + r - 1].");
  }

  void drop_arrays() override {
    at_ = {}, g_ = {}, bt_ = {};
    Lossless::drop_arrays();
  }

 private:
  void check_lossless(const TensorType& x) override {
    const wrapping::Sizes sizes = matrices();
    check_equal(name, "the height of weight", weight_shape()[1], sizes.r, "the columns of g");
    const auto at = at_.values<std::int32_t>(), g = g_.values<std::int32_t>(), bt = bt_.values<std::int32_t>();
    const auto denominator = wrapping::denominator(sizes, at, g, bt);
    if (!denominator) refuse(name, ": at, g and bt must be a convolution times a positive integer");
    check_range(name, "the largest value of B^T q B", wrapping::largest_v(sizes, bt, -x.grid.zero, 255 - x.grid.zero), 0,
                wrapping::kMostShort);
    for (const std::int64_t u : wrapping::transform_weights(sizes, g, weights(), x.channels))
      check_range(name, "a value of G w G^T", u, -wrapping::kMostShort, wrapping::kMostShort);
    check_sums_below(std::max(x.grid.zero, 255 - x.grid.zero), wrapping::division(sizes, *denominator).shift);
    conv_.sizes = sizes;
    conv_.at.assign(at.begin(), at.end());
    conv_.g.assign(g.begin(), g.end());
    conv_.bt.assign(bt.begin(), bt.end());
  }

  Made kernel(const KernelSet& set) const override { return {"wrapping_int8", set.wrapping_int8(conv_)}; }

  wrapping::Sizes matrices() {
    const auto side = [this](std::int64_t size) {
      return planar_ ? static_cast<std::int64_t>(std::sqrt(static_cast<double>(size)) + 0.5) : size;
    };
    const auto whole = [this](std::int64_t side) { return planar_ ? side * side : side; };
    const wrapping::Sizes sizes{.m = side(at_.shape[0]), .r = side(g_.shape[1]), .n = g_.shape[0], .planar = planar_};
    const std::int64_t most = whole(planar_ ? kMaxPlanarSide : kMaxTransform);
    check_range(name, "the number of rows of g", sizes.n, 1, planar_ ? kMaxPlanarTaps : kMaxTransform);
    check_range(name, "the number of rows of at", at_.shape[0], 1, most);
    check_range(name, "the number of columns of g", g_.shape[1], 1, most);
    check_range(name, "the inputs of a tile, m + r - 1,", sizes.t(), 1, planar_ ? kMaxPlanarSide : kMaxTransform);
    check_equal(name, "the number of rows of at", at_.shape[0], whole(sizes.m), "a square");
    check_equal(name, "the number of columns of g", g_.shape[1], whole(sizes.r), "a square");
    check_equal(name, "the number of columns of at", at_.shape[1], sizes.n, "the rows of g");
    check_equal(name, "the number of rows of bt", bt_.shape[0], sizes.n, "the rows of g");
    check_equal(name, "the number of columns of bt", bt_.shape[1], whole(sizes.t()),
                planar_ ? "the square of m + r - 1" : "m + r - 1");
    for (const Array* const matrix : {&at_, &g_, &bt_}) {
      for (const std::int32_t factor : matrix->values<std::int32_t>())
        check_range(name, "an entry of at, g or bt", factor, -wrapping::kMostFactor, wrapping::kMostFactor);
    }
    return sizes;
  }

  // Sums of an output channel stay below 2^(31 - shift), whatever the bytes are.
  void check_sums_below(std::int64_t largest_q, int shift) {
    const std::int64_t most = shift > 30 ? 0 : ((std::int64_t{1} << (31 - shift)) - 1) / largest_q;
    check_sums(name, "the weights of output channel", weights(), static_cast<std::size_t>(weight_shape()[0]), most,
               "for sums that this algorithm is exact for");
  }

  bool planar_ = false;
  Array at_, g_, bt_;
};

}  // namespace

std::unique_ptr<Operation> make_wrapping_operation() { return std::make_unique<Wrapping>(); }

}  // namespace tilewise
