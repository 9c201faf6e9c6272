// Element by element: scale, bias, residual, activation, conversion between formats.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/format.h"
#include "kernels/op.h"
#include "operations/eltwise/params.h"

namespace tilewise::TILEWISE_SET {

class EltwiseOp final : public RowOp {
 public:
  explicit EltwiseOp(const Eltwise& params) : RowOp(*params.y), params_(params) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    with_format(*params_.x, [&](auto from) {
      with_any_format(*params_.y, [&](auto to) {
        for (std::int64_t j = 0; j < params_.y->width; ++j) one_pixel(from, to, image, i, j);
      });
    });
  }

  template <typename From, typename To>
  void one_pixel(const From& from, const To& to, std::int64_t image, std::int64_t i, std::int64_t j) const {
    const auto* const x = pixel_at<const typename From::Type>(*params_.x, image, i, j);
    auto* const y = pixel_at<typename To::Type>(*params_.y, image, i, j);
    for_channels(params_.y->channels, [&](std::int64_t first, auto lanes) {
      float values[kPiece];
      for (std::int64_t c = 0; c < lanes; ++c) values[c] = from.real(x[first + c]);
      affine(values, first, lanes);
      add_residual(values, image, i, j, first, lanes);
      activate(values, first, lanes);
      for (std::int64_t c = 0; c < lanes; ++c) y[first + c] = to.store(values[c]);
    });
    std::fill_n(y + params_.y->channels, params_.y->stride - params_.y->channels, to.zero_value());
  }

  template <typename Lanes>
  void affine(float* values, std::int64_t first, Lanes lanes) const {
    if (!params_.scale.empty()) {
      const float* const scale = params_.scale.data() + first;
      for (std::int64_t c = 0; c < lanes; ++c) values[c] *= scale[c];
    }
    if (!params_.epilogue.bias.empty()) {
      const float* const bias = params_.epilogue.bias.data() + first;
      for (std::int64_t c = 0; c < lanes; ++c) values[c] += bias[c];
    }
  }

  template <typename Lanes>
  void add_residual(float* values, std::int64_t image, std::int64_t i, std::int64_t j, std::int64_t first,
                    Lanes lanes) const {
    if (params_.epilogue.residual == nullptr) return;
    const TensorRef& residual = *params_.epilogue.residual;
    with_format(residual, [&](auto format) {
      const auto* const added =
          pixel_at<const typename decltype(format)::Type>(residual, image, i, j) + first;
      for (std::int64_t c = 0; c < lanes; ++c) values[c] += format.real(added[c]);
    });
  }

  template <typename Lanes>
  void activate(float* values, std::int64_t first, Lanes lanes) const {
    if (!params_.epilogue.slope.empty()) {
      const float* const slope = params_.epilogue.slope.data() + first;
      for (std::int64_t c = 0; c < lanes; ++c) values[c] = values[c] > 0 ? values[c] : values[c] * slope[c];
    }
    const float low = params_.epilogue.low, high = params_.epilogue.high;
    for (std::int64_t c = 0; c < lanes; ++c) {
      const float raised = values[c] < low ? low : values[c];
      values[c] = high < raised ? high : raised;
    }
  }

  Eltwise params_;
};

inline std::unique_ptr<Op> make_eltwise(const Eltwise& params) { return std::make_unique<EltwiseOp>(params); }

}  // namespace tilewise::TILEWISE_SET
