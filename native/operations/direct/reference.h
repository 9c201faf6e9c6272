// The direct convolution, value by value.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/reference.h"
#include "operations/direct/params.h"

namespace tilewise::reference {

template <typename Weight>
class Direct final : public ImageOp<DirectConv> {
 public:
  Direct(const DirectConv& conv, std::span<const Weight> weight)
      : ImageOp(conv), state_(kept(conv.shared, weight)), weight_(*state_) {}

 private:
  using Sum = std::conditional_t<std::is_same_v<Weight, float>, float, std::int32_t>;

  void convolve(std::int64_t image) const override {
    for (std::int64_t row = 0; row < y_.height; ++row) {
      for (std::int64_t col = 0; col < y_.width; ++col) {
        for (std::int64_t k = 0; k < y_.lanes(); ++k) {
          float sum = 0;
          if (k < y_.channels) {
            sum = static_cast<float>(window_sum(image, row, col, k));
            if (!std::is_same_v<Weight, float>) sum = sum * conv_.scale[static_cast<std::size_t>(k)];
          }
          finish(conv_.epilogue, y_, sum, image, row, col, k);
        }
      }
    }
  }

  Sum window_sum(std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t k) const {
    const Window& w = conv_.window;
    const std::int64_t channels = x_.channels / conv_.groups, first = k / (y_.channels / conv_.groups) * channels;
    Sum sum = 0;
    for (std::int64_t i = 0; i < w.height; ++i) {
      for (std::int64_t j = 0; j < w.width; ++j) {
        for (std::int64_t c = 0; c < channels; ++c) {
          const double q = value(x_, image, row * w.stride_h - w.pad_top + i * w.dilation_h,
                                 col * w.stride_w - w.pad_left + j * w.dilation_w, first + c);
          sum += static_cast<Sum>(q) *
                 static_cast<Sum>(
                     weight_[static_cast<std::size_t>(((k * w.height + i) * w.width + j) * channels + c)]);
        }
      }
    }
    return sum;
  }

  std::shared_ptr<const std::vector<Weight>> state_;
  const std::vector<Weight>& weight_;
};

inline std::unique_ptr<Op> make_direct_int8(const DirectConv& conv) {
  return std::make_unique<Direct<std::int8_t>>(conv, conv.weight_int8);
}
inline std::unique_ptr<Op> make_direct_int16(const DirectConv& conv) {
  return std::make_unique<Direct<std::int16_t>>(conv, conv.weight_int16);
}
inline std::unique_ptr<Op> make_direct_bf16(const DirectConv& conv) {
  return std::make_unique<Direct<float>>(conv, widened(conv.weight_bf16));
}
inline std::unique_ptr<Op> make_direct_f32(const DirectConv& conv) {
  return std::make_unique<Direct<float>>(conv, conv.weight_f32);
}

}  // namespace tilewise::reference
