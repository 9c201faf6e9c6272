#include <algorithm>
#include <cmath>

#include "operations/convolution.h"

namespace tilewise {
namespace {

// A kernel adds up u * byte from -128 * (sum of u) on, and every sum on the way must fit int32.
constexpr std::int64_t kMaxWeightSum = kMaxInt32 / (255 + 128);

class Fast final : public Convolution<FastConv> {
 public:
  void fields(Fields& fields) override {
    wires(fields);
    fields.text("algorithm", algorithm_, "Its name, for profiles.");
    fields.flag("planar", conv_.planar, "The matrices stand for whole tiles.");
    fields.array("bt", bt_, {"float32"}, 2, "B^T [n, t]; planar: [taps, t*t].");
    fields.array("at", at_, {"float32"}, 2, "A^T [m, n]; planar: [m*m, taps].");
    fields.flag("integer", conv_.integer, "B^T holds integers, and V is computed exactly.");
    fields.array("u", u_, {"int8", "int16", "uint16", "float32"}, 3,
                 "U [taps, K, C / groups], n*n taps unless planar; its type decides what is computed in, uint16 being the bits of bfloat16.");
    fields.may_have("mult", mult_, {"int32"}, 2, "[taps, 1 or C], requantizes V, in units of 2^-fraction_bits; integers only.");
    fields.may_have("scale", scale_, {"float32"}, 2, "[taps, K], the real value of one step of M; integers only.");
    fields.integer("v_limit", conv_.v_limit, {1, 32767}, "The requantized V lies in -v_limit..v_limit.");
    fields.integer("fraction_bits", fraction_bits_, {15, 31}, "Of mult.");
    fields.integer("stride", conv_.stride, {1, kMaxStep}, "Rows and columns from one output's window to the next.");
    fields.integer("dilation", conv_.dilation, {1, kMaxStep}, "Rows and columns between the pixels of a tile; 1 unless the stride is.");
    fields.integer("block", conv_.block, {0, kMaxBlock}, "Tiles that go through the stages together; 0: as the machine's caches allow.");
    padding_and_ending(fields);
  }

  std::string algorithm() const override { return algorithm_; }

  void drop_arrays() override {
    bt_ = {}, at_ = {}, u_ = {}, mult_ = {}, scale_ = {};
    conv_.u_int8 = {}, conv_.u_int16 = {}, conv_.u_bf16 = {}, conv_.u_f32 = {};
    Convolution::drop_arrays();
  }

 private:
  void check_numbers(const TensorType& x, const TensorType& y) override {
    check_matrices();
    check_equal(name, "the number of taps of u", u_.shape[0], conv_.products(),
                conv_.planar ? "the rows of bt" : "the square of the rows of bt");
    check_equal(name, "the number of output channels of u", u_.shape[1], y.channels, "the channels of y");
    conv_.groups = groups_of(u_.shape[2], "u", x, y);
    check_weights(x);
    conv_.pad_top = padding_.top(), conv_.pad_left = padding_.left();
    conv_.fraction_bits = static_cast<int>(fraction_bits_);
    take(conv_.bt, bt_), take(conv_.at, at_), take(conv_.mult, mult_), take(conv_.scale, scale_);
    window_values_ = conv_.r * conv_.r * u_.shape[2];
  }

  Size size_of(const Size& x) const override {
    const std::int64_t reach = (conv_.r - 1) * conv_.dilation + 1;
    return windows(x, {reach, reach}, {conv_.stride, conv_.stride});
  }

  Made kernel(const KernelSet& set) const override {
    switch (type_) {
      case Dtype::kUint8: return {"fast_int8", set.fast_int8(conv_)};
      case Dtype::kInt16: return {"fast_int16", set.fast_int16(conv_)};
      case Dtype::kBf16: return {"fast_bf16", set.fast_bf16(conv_)};
      default: return {"fast_f32", set.fast_f32(conv_)};
    }
  }

  void check_matrices() {
    const std::int64_t n = bt_.shape[0], t = side("columns of bt", bt_.shape[1]), m = side("rows of at", at_.shape[0]);
    if (conv_.planar) check_range(name, "stride", conv_.stride, 1, 1);
    check_range(name, "the number of rows of bt", n, 1, conv_.planar ? kMaxTaps : kMaxTransform);
    check_range(name, conv_.planar ? "the inputs of a side of a tile" : "the number of columns of bt", t, 1, kMaxTransform);
    check_range(name, conv_.planar ? "the outputs of a side of a tile" : "the number of rows of at", m, 1,
                (t - 1) / conv_.stride + 1);
    check_equal(name, "the number of columns of at", at_.shape[1], n, "the rows of bt");
    if (conv_.stride > 1) check_range(name, "dilation", conv_.dilation, 1, 1);
    check_finite(name, "bt", bt_);
    check_finite(name, "at", at_);
    conv_.m = m, conv_.n = n;
    conv_.r = t - conv_.stride * (m - 1);
  }

  // Of a matrix, or of a tile where it is planar.
  std::int64_t side(const char* what, std::int64_t size) const {
    if (!conv_.planar) return size;
    const auto root = static_cast<std::int64_t>(std::sqrt(static_cast<double>(size)) + 0.5);
    if (root * root != size) refuse(name, ": the number of ", what, " is ", size, ", must be a square");
    return root;
  }

  void check_weights(const TensorType& x) {
    if (u_.dtype == "int8") {
      check_integers(x, Dtype::kUint8);
      check_range(name, "v_limit", conv_.v_limit, 1, 127);
      check_sums(name, "row (tap, output channel) of u", u_.values<std::int8_t>(), rows(), kMaxWeightSum);
      conv_.u_int8 = u_.values<std::int8_t>();
    } else if (u_.dtype == "int16") {
      if (!conv_.integer) refuse(name, ": integer is false, must be true as the weights are int16");
      check_integers(x, Dtype::kInt16);
      check_sums(name, "row (tap, output channel) of u", u_.values<std::int16_t>(), rows(), kMaxInt32 / conv_.v_limit);
      conv_.u_int16 = u_.values<std::int16_t>();
    } else {
      check_floats(x);
    }
  }

  std::size_t rows() const { return static_cast<std::size_t>(u_.shape[0] * u_.shape[1]); }

  void check_integers(const TensorType& x, Dtype expected) {
    check_input(x, type_ = expected, u_.dtype);
    check_growth(x);
    if (!mult_ || !scale_) refuse(name, ": integer weights need mult and scale");
    check_equal(name, "the number of rows of mult", mult_.shape[0], u_.shape[0], "the taps of u");
    if (mult_.shape[1] != 1 && mult_.shape[1] != x.channels)
      refuse(name, ": mult has ", mult_.shape[1], " columns, must be 1 or ", x.channels, ", the channels of x");
    for (const std::int32_t mult : mult_.values<std::int32_t>()) check_range(name, "mult", mult, 1, 32767);
    check_equal(name, "the number of rows of scale", scale_.shape[0], u_.shape[0], "the taps of u");
    check_equal(name, "the number of columns of scale", scale_.shape[1], u_.shape[1], "the output channels of u");
    check_finite(name, "scale", scale_);
  }

  void check_floats(const TensorType& x) {
    if (x.dtype != Dtype::kFloat32)
      refuse(name, ": x is ", name_of(x.dtype), ", must be float32 as the weights are float");
    check_finite_weights(name, "u", u_);
    if (mult_ || scale_) refuse(name, ": float weights take neither mult nor scale");
    type_ = u_.dtype == "uint16" ? Dtype::kBf16 : Dtype::kFloat32;
    if (type_ == Dtype::kBf16) conv_.u_bf16 = u_.values<std::uint16_t>();
    if (type_ == Dtype::kFloat32) conv_.u_f32 = u_.values<float>();
  }

  // V fits 32 bits, in integers and in float; that of 16-bit images fits 38, so that doubles hold it times mult.
  void check_growth(const TensorType& x) {
    const double input = static_cast<double>(largest_q(x));
    const double limit = (x.dtype == Dtype::kUint8 ? static_cast<double>(kMaxInt32) : 274877906944.0) / input;
    const auto bt = bt_.view<float, 2>();
    double largest = 0;
    for (std::int64_t a = 0; a < bt.shape[0]; ++a) {
      double sum = 0;
      for (std::int64_t i = 0; i < bt.shape[1]; ++i) {
        const double value = static_cast<double>(bt(a, i));
        if (conv_.integer && value != std::trunc(value))
          refuse(name, ": bt[", a, ", ", i, "] is ", value, ", must be an integer");
        sum += std::abs(value);
      }
      largest = std::max(largest, sum);
    }
    const double most = conv_.planar ? limit : std::sqrt(limit);
    if (largest > most) {
      refuse(name, ": the absolute values of a row of bt sum to ", largest, ", must be at most ", std::floor(most));
    }
  }

  std::string algorithm_;
  Array bt_, at_, u_, mult_, scale_;
  std::int64_t fraction_bits_ = 15;
  Dtype type_ = Dtype::kFloat32;  // what is multiplied
};

}  // namespace

std::unique_ptr<Operation> make_fast_operation() { return std::make_unique<Fast>(); }

}  // namespace tilewise
