// Normalization by statistics of the image itself: over the channels of each pixel, or over groups of channels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "kernels/pieces.h"
#include "operations/norm/params.h"

namespace tilewise::TILEWISE_SET {

inline float inverse_root(float x) { return 1.0F / __builtin_sqrtf(x); }

// Normalizes and writes one pixel by what `mean` and `factor` give for the channels from a first one on.
class NormEnding {
 public:
  explicit NormEnding(const Norm& params)
      : x_(*params.x), y_(*params.y), scale_(in_pieces(params.scale)), ending_(params.epilogue) {}

  template <typename Mean, typename Factor>
  void pixel(std::int64_t image, std::int64_t i, std::int64_t j, const Mean& mean, const Factor& factor) const {
    with_any_format(y_, [&](const auto& to) {
      write_pixel(to, y_, image, i, j, [&](std::int64_t first) {
        Piece piece = piece_of(x_, image, i, j, first);
        const Piece middle = mean(first), times = factor(first);
        piece.each([&](Real v, std::int64_t l) { return (v - middle.part[l / kReals]) * times.part[l / kReals]; });
        if (!scale_.empty()) {
          const Piece scale = numbers_at(scale_.data() + first);
          piece.each([&](Real v, std::int64_t l) { return v * scale.part[l / kReals]; });
        }
        ending_(piece, image, i, j, first);
        return piece;
      });
    });
  }

 private:
  TensorRef x_, y_;
  AlignedVector<float> scale_;
  PieceEnding ending_;
};

class PixelNormOp final : public RowOp {
 public:
  explicit PixelNormOp(const Norm& params) : RowOp(*params.y), x_(*params.x), eps_(params.eps), ending_(params) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    const auto count = static_cast<float>(x_.channels);
    for (std::int64_t j = 0; j < x_.width; ++j) {
      ChannelSum sum, squares;
      for (std::int64_t first = 0; first < x_.channels; first += kPiece)
        sum.add(piece_of(x_, image, i, j, first), x_.channels - first);
      const float mean = sum.total() / count;
      for (std::int64_t first = 0; first < x_.channels; first += kPiece) {
        Piece piece = piece_of(x_, image, i, j, first);
        piece.each([&](Real v, std::int64_t) { return (v - mean) * (v - mean); });
        squares.add(piece, x_.channels - first);
      }
      const Piece means = all_of(mean), factors = all_of(inverse_root(squares.total() / count + eps_));
      ending_.pixel(image, i, j, [&](std::int64_t) { return means; }, [&](std::int64_t) { return factors; });
    }
  }

  TensorRef x_;
  float eps_;
  NormEnding ending_;
};

// Its tasks are images.
class GroupNormOp final : public Op {
 public:
  explicit GroupNormOp(const Norm& params)
      : x_(*params.x),
        groups_(params.groups),
        padded_((x_.channels + kPiece - 1) / kPiece * kPiece),
        eps_(params.eps),
        ending_(params) {}

  std::int64_t tasks(const Call& call) const override { return call.images; }
  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(4 * padded_) * sizeof(float); }

  void run(const Call&, std::int64_t begin, std::int64_t end, std::byte* scratch, StageSeconds*) const override {
    auto* const means = reinterpret_cast<float*>(scratch);
    float *const factors = means + padded_, *const total = factors + padded_, *const row = total + padded_;
    for (std::int64_t image = begin; image < end; ++image) {
      sums(image, total, row, [](Real v, Real) { return v; });
      spread(total, means);
      sums(image, total, row, [](Real v, Real mean) { return (v - mean) * (v - mean); }, means);
      spread(total, factors);
      for (std::int64_t c = 0; c < padded_; ++c) factors[c] = inverse_root(factors[c] + eps_);
      for (std::int64_t i = 0; i < x_.height; ++i) {
        for (std::int64_t j = 0; j < x_.width; ++j) {
          ending_.pixel(image, i, j, [&](std::int64_t first) { return numbers_at(means + first); },
                        [&](std::int64_t first) { return numbers_at(factors + first); });
        }
      }
    }
  }

 private:
  // For each channel the sum of function(x, its mean) over all pixels.
  template <typename Function>
  void sums(std::int64_t image, float* total, float* row, const Function& function, const float* means = nullptr) const {
    std::fill_n(total, padded_, 0.0F);
    for (std::int64_t i = 0; i < x_.height; ++i) {
      std::fill_n(row, padded_, 0.0F);
      for (std::int64_t j = 0; j < x_.width; ++j) {
        for (std::int64_t first = 0; first < x_.channels; first += kPiece) {
          const Piece piece = piece_of(x_, image, i, j, first);
          const Piece mean = means == nullptr ? all_of(0.0F) : numbers_at(means + first);
          Piece sum = numbers_at(row + first);
          sum.each([&](Real v, std::int64_t l) {
            return v + function(piece.part[l / kReals], mean.part[l / kReals]);
          });
          write_piece(FloatFormat(), row + first, sum);
        }
      }
      for (std::int64_t c = 0; c < padded_; ++c) total[c] += row[c];
    }
  }

  // The mean over each group's channels and pixels, for each of its channels.
  void spread(const float* total, float* means) const {
    const std::int64_t size = x_.channels / groups_;
    const auto count = static_cast<float>(x_.pixels() * size);
    std::fill_n(means, padded_, 0.0F);
    for (std::int64_t first = 0; first < x_.channels; first += size) {
      float sum = 0;
      for (std::int64_t c = first; c < first + size; ++c) sum += total[c];
      std::fill_n(means + first, size, sum / count);
    }
  }

  TensorRef x_;
  std::int64_t groups_, padded_;
  float eps_;
  NormEnding ending_;
};

inline std::unique_ptr<Op> make_norm(const Norm& params) {
  if (params.groups == 0) return std::make_unique<PixelNormOp>(params);
  return std::make_unique<GroupNormOp>(params);
}

}  // namespace tilewise::TILEWISE_SET
