// Two tensors, element by element.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/pieces.h"
#include "operations/binary/params.h"

namespace tilewise::TILEWISE_SET {

class BinaryOp final : public RowOp {
 public:
  explicit BinaryOp(const BinaryOf& params) : RowOp(*params.y), params_(params), ending_(params.epilogue) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    const TensorRef& y = *params_.y;
    with_format(*params_.a, [&](const auto& from) {
      with_any_format(y, [&](const auto& to) {
        for (std::int64_t j = 0; j < y.width; ++j) {
          write_pixel(to, y, image, i, j, [&](std::int64_t first) {
            Piece piece = operand(from, *params_.a, image, i, j, first);
            with_format(*params_.b, [&](const auto& format) {
              combine(piece, operand(format, *params_.b, image, i, j, first));
            });
            ending_(piece, image, i, j, first);
            return piece;
          });
        }
      });
    });
  }

  // What has an extent of 1 serves all.
  template <typename Format>
  [[gnu::always_inline]] Piece operand(const Format& format, const TensorRef& x, std::int64_t image, std::int64_t i,
                                       std::int64_t j, std::int64_t first) const {
    const std::int64_t row = x.height == 1 ? 0 : i, col = x.width == 1 ? 0 : j;
    const auto* const pixel = pixel_at<const typename Format::Type>(x, image, row, col);
    return x.channels == params_.y->channels ? read_piece(format, pixel + first) : all_of(format.real(pixel[0]));
  }

  [[gnu::always_inline]] void combine(Piece& a, const Piece& b) const {
    const auto each = [&](const auto& function) {
      a.each([&](Real x, std::int64_t l) { return function(x, b.part[l / kReals]); });
    };
    switch (params_.kind) {
      case Binary::add: return each([](Real x, Real y) { return x + y; });
      case Binary::subtract: return each([](Real x, Real y) { return x - y; });
      case Binary::multiply: return each([](Real x, Real y) { return x * y; });
      case Binary::divide: return each([](Real x, Real y) { return x / y; });
      case Binary::minimum: return each([](Real x, Real y) { return y < x ? y : x; });
      case Binary::maximum: return each([](Real x, Real y) { return y > x ? y : x; });
    }
  }

  BinaryOf params_;
  PieceEnding ending_;
};

inline std::unique_ptr<Op> make_binary(const BinaryOf& params) { return std::make_unique<BinaryOp>(params); }

}  // namespace tilewise::TILEWISE_SET
