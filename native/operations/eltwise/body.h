// Element by element: scale, bias, residual, activation, conversion between formats.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/pieces.h"
#include "operations/eltwise/params.h"

namespace tilewise::TILEWISE_SET {

class EltwiseOp final : public RowOp {
 public:
  explicit EltwiseOp(const Eltwise& params)
      : RowOp(*params.y), x_(*params.x), y_(*params.y), scale_(in_pieces(params.scale)), ending_(params.epilogue) {
    const bool same_in_all = params.scale.empty() && params.epilogue.bias.empty() && params.epilogue.slope.empty();
    const bool bytes = params.x->dtype == Dtype::kUint8 && params.y->dtype == Dtype::kUint8;
    if (params.epilogue.function != Function::none && params.epilogue.residual == nullptr && same_in_all && bytes)
      tabulate();
  }

 private:
  // What every byte becomes.
  void tabulate() {
    const GridFormat<std::uint8_t> from(x_.grid), to(y_.grid);
    std::uint8_t bytes[256];
    for (int i = 0; i < 256; ++i) bytes[i] = static_cast<std::uint8_t>(i);
    table_.resize(256);
    for (std::size_t first = 0; first < 256; first += kPiece) {
      Piece piece = read_piece(from, bytes + first);
      ending_.activate(piece, 0);
      write_piece(to, table_.data() + first, piece);
    }
  }

  void look_up(std::int64_t image, std::int64_t i) const {
    const std::uint8_t* const table = table_.data();
    for (std::int64_t j = 0; j < y_.width; ++j) {
      const auto* const x = pixel_at<const std::uint8_t>(x_, image, i, j);
      auto* const y = pixel_at<std::uint8_t>(y_, image, i, j);
      for (std::int64_t c = 0; c < y_.channels; ++c) y[c] = table[x[c]];
      std::fill_n(y + y_.channels, y_.lanes() - y_.channels, static_cast<std::uint8_t>(y_.grid.zero));
    }
  }

  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    if (!table_.empty()) return look_up(image, i);
    with_format(x_, [&](const auto& from) {
      using Type = typename std::decay_t<decltype(from)>::Type;
      with_any_format(y_, [&](const auto& to) {
        for (std::int64_t j = 0; j < y_.width; ++j) {
          const auto* const x = pixel_at<const Type>(x_, image, i, j);
          write_pixel(to, y_, image, i, j, [&](std::int64_t first) {
            Piece piece = read_piece(from, x + first);
            if (!scale_.empty()) {
              const Piece scale = numbers_at(scale_.data() + first);
              piece.each([&](Real v, std::int64_t l) { return v * scale.part[l / kReals]; });
            }
            ending_(piece, image, i, j, first);
            return piece;
          });
        }
      });
    });
  }

  TensorRef x_, y_;
  AlignedVector<float> scale_;
  PieceEnding ending_;
  std::vector<std::uint8_t> table_;  // may be empty
};

inline std::unique_ptr<Op> make_eltwise(const Eltwise& params) { return std::make_unique<EltwiseOp>(params); }

}  // namespace tilewise::TILEWISE_SET
