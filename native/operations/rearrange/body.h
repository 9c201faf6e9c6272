// Numbers moved among channels, rows and columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "kernels/format.h"
#include "operations/rearrange/params.h"

namespace tilewise::TILEWISE_SET {

class RearrangeOp final : public RowOp {
 public:
  explicit RearrangeOp(const Rearrange& params) : RowOp(*params.y), params_(params) {
    for (std::size_t c = 0; c < params_.channels.size(); ++c)
      side_by_side_ = side_by_side_ && params_.channels[c] == static_cast<std::int64_t>(c);
  }

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    const TensorRef& target = *params_.y;
    with_format(target, [&](auto format) {
      using T = typename decltype(format)::Type;
      const T* const x = pixel_at<const T>(*params_.x, image, 0, 0) + params_.rows[static_cast<std::size_t>(i)];
      for (std::int64_t j = 0; j < target.width; ++j) {
        T* const y = pixel_at<T>(target, image, i, j);
        put(x + params_.cols[static_cast<std::size_t>(j)], y);
        std::fill_n(y + target.channels, target.lanes() - target.channels, format.zero_value());
      }
    });
  }

  template <typename T>
  void put(const T* x, T* y) const {
    const std::size_t channels = params_.channels.size();
    if (side_by_side_) {
      std::memcpy(y, x, channels * sizeof(T));
      return;
    }
    for (std::size_t c = 0; c < channels; ++c) y[c] = x[params_.channels[c]];
  }

  Rearrange params_;
  bool side_by_side_ = true;
};

inline std::unique_ptr<Op> make_rearrange(const Rearrange& params) { return std::make_unique<RearrangeOp>(params); }

}  // namespace tilewise::TILEWISE_SET
