// Sums, means and maxima over all channels or all pixels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include "kernels/pieces.h"
#include "operations/reduce/params.h"

namespace tilewise::TILEWISE_SET {

class ReduceChannels final : public RowOp {
 public:
  explicit ReduceChannels(const Reduce& params) : RowOp(*params.y), params_(params), ending_(params.epilogue) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    with_any_format(*params_.y, [&](const auto& to) {
      for (std::int64_t j = 0; j < params_.y->width; ++j) {
        write_pixel(to, *params_.y, image, i, j, [&](std::int64_t first) {
          Piece piece = all_of(reduced(image, i, j));
          ending_(piece, image, i, j, first);
          return piece;
        });
      }
    });
  }

  float reduced(std::int64_t image, std::int64_t i, std::int64_t j) const {
    const TensorRef& x = *params_.x;
    if (params_.kind == ReduceKind::maximum) return largest(image, i, j);
    ChannelSum sum;
    for (std::int64_t first = 0; first < x.channels; first += kPiece)
      sum.add(piece_of(x, image, i, j, first), x.channels - first);
    return params_.kind == ReduceKind::mean ? sum.total() / static_cast<float>(x.channels) : sum.total();
  }

  float largest(std::int64_t image, std::int64_t i, std::int64_t j) const {
    Piece best = all_of(-std::numeric_limits<float>::infinity());
    for (std::int64_t first = 0; first < params_.x->channels; first += kPiece) {
      Piece piece = piece_of(*params_.x, image, i, j, first);
      piece.fill_beyond(params_.x->channels - first, -std::numeric_limits<float>::infinity());
      best.each([&](Real y, std::int64_t l) { return piece.part[l / kReals] > y ? piece.part[l / kReals] : y; });
    }
    float numbers[kPiece];
    std::memcpy(numbers, best.part, sizeof numbers);
    return *std::max_element(numbers, numbers + kPiece);
  }

  Reduce params_;
  PieceEnding ending_;
};

// Its tasks are pieces of channels.
class ReducePixels final : public Op {
 public:
  explicit ReducePixels(const Reduce& params)
      : params_(params), ending_(params.epilogue), pieces_((params.y->channels + kPiece - 1) / kPiece) {}

  std::int64_t tasks(const Call& call) const override { return call.images * pieces_; }

  void run(const Call&, std::int64_t begin, std::int64_t end, std::byte*, StageSeconds*) const override {
    for (std::int64_t task = begin; task < end; ++task) piece(task / pieces_, task % pieces_ * kPiece);
  }

 private:
  void piece(std::int64_t image, std::int64_t first) const {
    const TensorRef& y = *params_.y;
    Piece total = params_.kind == ReduceKind::maximum ? largest(image, first) : sum(image, first);
    const auto count = static_cast<float>(params_.x->pixels());
    if (params_.kind == ReduceKind::mean) total.each([&](Real v, std::int64_t) { return v / count; });
    ending_(total, image, 0, 0, first);
    with_any_format(y, [&](const auto& to) {
      auto* const out = pixel_at<typename std::decay_t<decltype(to)>::Type>(y, image, 0, 0) + first;
      write_piece(to, out, total);
      const std::int64_t left = std::min(kPiece, y.channels - first);
      std::fill_n(out + left, kPiece - left, to.zero_value());
    });
  }

  Piece sum(std::int64_t image, std::int64_t first) const {
    Piece total = all_of(0.0F);
    for (std::int64_t i = 0; i < params_.x->height; ++i) {
      Piece row = all_of(0.0F);
      for (std::int64_t j = 0; j < params_.x->width; ++j) {
        const Piece piece = piece_of(*params_.x, image, i, j, first);
        row.each([&](Real v, std::int64_t l) { return v + piece.part[l / kReals]; });
      }
      total.each([&](Real v, std::int64_t l) { return v + row.part[l / kReals]; });
    }
    return total;
  }

  Piece largest(std::int64_t image, std::int64_t first) const {
    Piece best = all_of(-std::numeric_limits<float>::infinity());
    for (std::int64_t i = 0; i < params_.x->height; ++i) {
      for (std::int64_t j = 0; j < params_.x->width; ++j) {
        const Piece piece = piece_of(*params_.x, image, i, j, first);
        best.each([&](Real v, std::int64_t l) { return piece.part[l / kReals] > v ? piece.part[l / kReals] : v; });
      }
    }
    return best;
  }

  Reduce params_;
  PieceEnding ending_;
  std::int64_t pieces_;
};

inline std::unique_ptr<Op> make_reduce(const Reduce& params) {
  if (params.channels) return std::make_unique<ReduceChannels>(params);
  return std::make_unique<ReducePixels>(params);
}

}  // namespace tilewise::TILEWISE_SET
