// Element by element: scale, bias, residual, activation, conversion between formats.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/pieces.h"
#include "operations/eltwise/params.h"

namespace tilewise::TILEWISE_SET {

class EltwiseOp final : public RowOp {
 public:
  explicit EltwiseOp(const Eltwise& params) : EltwiseOp(params, pixels_together(params)) {}

 private:
  EltwiseOp(const Eltwise& params, std::int64_t together)
      : RowOp(*params.y),
        x_(*params.x),
        y_(*params.y),
        together_(together),
        scale_(in_pieces(repeated(params.scale, params))),
        ending_(repeated(params.epilogue, params)) {
    const bool same_in_all = params.scale.empty() && params.epilogue.bias.empty() && params.epilogue.slope.empty();
    const bool bytes = params.x->dtype == Dtype::kUint8 && params.y->dtype == Dtype::kUint8;
    if (params.epilogue.function != Function::none && params.epilogue.residual == nullptr && same_in_all && bytes)
      tabulate();
    for (std::int64_t i = 0; i < kPiece; ++i) kept_[i] = i % y_.stride < y_.channels ? 1.0F : 0.0F;
  }

  // How many pixels of few channels make a piece, if they lie alike in all tensors; else 1.
  static std::int64_t pixels_together(const Eltwise& params) {
    const std::int64_t stride = params.y->stride;
    const TensorRef* const residual = params.epilogue.residual;
    const bool alike = params.x->stride == stride && (residual == nullptr || residual->stride == stride);
    return alike && stride < kPiece && kPiece % stride == 0 ? kPiece / stride : 1;
  }

  // A number for each channel of as many pixels as a piece has.
  static std::vector<float> repeated(const std::vector<float>& numbers, const Eltwise& params) {
    const std::int64_t together = pixels_together(params), channels = params.y->channels;
    if (together == 1 || numbers.empty()) return numbers;
    std::vector<float> result(static_cast<std::size_t>(kPiece), 0.0F);
    for (std::int64_t i = 0; i < together; ++i) std::copy_n(numbers.begin(), channels, result.begin() + i * params.y->stride);
    return result;
  }
  static Epilogue repeated(Epilogue epilogue, const Eltwise& params) {
    epilogue.bias = repeated(epilogue.bias, params);
    epilogue.slope = repeated(epilogue.slope, params);
    return epilogue;
  }

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
      with_any_format(y_, [&](const auto& to) {
        if (together_ > 1) return several(from, to, image, i);
        for (std::int64_t j = 0; j < y_.width; ++j) {
          write_pixel(to, y_, image, i, j, [&](std::int64_t first) { return piece(from, image, i, j, first); });
        }
      });
    });
  }

  // A row, several pixels at a time.
  template <typename From, typename To>
  void several(const From& from, const To& to, std::int64_t image, std::int64_t i) const {
    for (std::int64_t j = 0; j < y_.width; j += together_) {
      Piece made = piece(from, image, i, j, 0);
      made.each([&](Real v, std::int64_t l) {  // what is no channel is zero, whatever the ending makes of it
        Real kept;
        std::memcpy(&kept, kept_ + l, sizeof kept);
        return kept > 0.0F ? v : Real{};
      });
      auto* const y = pixel_at<typename To::Type>(y_, image, i, j);
      if (j + together_ <= y_.width) {
        write_piece(to, y, made);
      } else {
        write_part(to, y, made, (y_.width - j) * y_.stride);
      }
    }
  }

  template <typename From>
  [[gnu::always_inline]] Piece piece(const From& from, std::int64_t image, std::int64_t i, std::int64_t j,
                                     std::int64_t first) const {
    Piece piece = read_piece(from, pixel_at<const typename From::Type>(x_, image, i, j) + first);
    if (!scale_.empty()) {
      const Piece scale = numbers_at(scale_.data() + first);
      piece.each([&](Real v, std::int64_t l) { return v * scale.part[l / kReals]; });
    }
    ending_(piece, image, i, j, first);
    return piece;
  }

  TensorRef x_, y_;
  std::int64_t together_;  // pixels that make a piece
  float kept_[kPiece];     // of a piece's numbers: 1 for those of channels
  AlignedVector<float> scale_;
  PieceEnding ending_;
  std::vector<std::uint8_t> table_;  // may be empty
};

inline std::unique_ptr<Op> make_eltwise(const Eltwise& params) { return std::make_unique<EltwiseOp>(params); }

}  // namespace tilewise::TILEWISE_SET
