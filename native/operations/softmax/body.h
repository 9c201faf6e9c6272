// Softmax over the channels of each pixel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include "kernels/pieces.h"
#include "operations/softmax/params.h"

namespace tilewise::TILEWISE_SET {

class SoftmaxOp final : public RowOp {
 public:
  explicit SoftmaxOp(const Softmax& params) : RowOp(*params.y), params_(params) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    for (std::int64_t j = 0; j < params_.y->width; ++j) pixel(image, i, j);
  }

  void pixel(std::int64_t image, std::int64_t i, std::int64_t j) const {
    const TensorRef &x = *params_.x, &y = *params_.y;
    float largest = -std::numeric_limits<float>::infinity();
    for (std::int64_t first = 0; first < x.channels; first += kPiece) {
      const Piece piece = piece_of(x, image, i, j, first);
      float numbers[kPiece];
      std::memcpy(numbers, piece.part, sizeof numbers);
      largest = std::max(largest, *std::max_element(numbers, numbers + std::min(kPiece, x.channels - first)));
    }
    const auto powers = [&](std::int64_t first) {
      Piece piece = piece_of(x, image, i, j, first);
      piece.each([&](Real v, std::int64_t) { return exponential(v - largest).value(); });
      return piece;
    };
    ChannelSum sum;
    for (std::int64_t first = 0; first < x.channels; first += kPiece) sum.add(powers(first), x.channels - first);
    const float total = sum.total();
    with_any_format(y, [&](const auto& to) {
      write_pixel(to, y, image, i, j, [&](std::int64_t first) {
        Piece piece = powers(first);
        piece.each([&](Real v, std::int64_t) { return v / total; });
        return piece;
      });
    });
  }

  Softmax params_;
};

inline std::unique_ptr<Op> make_softmax(const Softmax& params) { return std::make_unique<SoftmaxOp>(params); }

}  // namespace tilewise::TILEWISE_SET
