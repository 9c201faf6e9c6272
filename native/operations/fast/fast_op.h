// Fast convolution: blocks of tiles go through all stages while V and M stay in the cache.
//
//   input_transform    t x t pixels of each tile -> n*n rows of V, requantized         [tap][tile][channel]
//   multiply           per panel of output channels and tap: tiles x channels x panel  [tile][vector][tap][lane]
//   output_transform   n*n values of M -> m x m outputs, finished
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/aligned.h"
#include "kernels/blocking.h"
#include "kernels/dot.h"
#include "kernels/op.h"
#include "kernels/slices.h"
#include "operations/fast/dot_input.h"
#include "operations/fast/input_stage.h"
#include "operations/fast/output_stage.h"

namespace tilewise::TILEWISE_SET {

// Adds the time since its last call to a stage, if anybody wants to know.
class StageClock {
 public:
  explicit StageClock(bool on) : on_(on) {}
  void start() {
    if (on_) last_ = Clock::now();
  }
  void charge(double StageSeconds::* stage, StageSeconds* seconds) {
    if (!on_) return;
    const auto now = Clock::now();
    seconds->*stage += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool on_;
  Clock::time_point last_;
};

// What all sizes of a layer share: its transforms with their tables, and its weights, packed.
template <class Dot, typename Pixel>
struct FastState {
  std::unique_ptr<InputStage<Pixel, typename Dot::In>> input;
  std::unique_ptr<OutputStage<typename Dot::Sum>> output;
  Slices slices;
  Packed<Dot> packed;  // by slice, then by tap

  // u is [taps][K][C / groups].
  FastState(const FastConv& conv, const typename Dot::Weight* u,
            std::unique_ptr<InputStage<Pixel, typename Dot::In>> in,
            std::unique_ptr<OutputStage<typename Dot::Sum>> out)
      : input(std::move(in)),
        output(std::move(out)),
        slices(slices_of(conv.groups, conv.y->channels, conv.x->channels)),
        packed(slices.count * conv.taps(), slices.filters, 1, slices.channels) {
    const std::int64_t size = slices.filters * (conv.x->channels / conv.groups);
    for (std::int64_t i = 0; i < slices.count * conv.taps(); ++i) {
      const std::int64_t slice = i / conv.taps(), tap = i % conv.taps();
      const auto* const from = u + (tap * slices.count + slice) * size;
      // In bytes V is stored with 128 added, which the products' starting value takes away again.
      packed.pack(i, slices.together == 1 ? from : dense(slices, from, 1).data(),
                  std::is_same_v<typename Dot::In, std::uint8_t> ? 128 : 0);
    }
  }
};

template <class Dot, typename Pixel>
class FastOp final : public Op {
  using In = typename Dot::In;  // of V
  using Sum = typename Dot::Sum;

 public:
  FastOp(const FastConv& conv, std::shared_ptr<const FastState<Dot, Pixel>> state)
      : x_(*conv.x),
        y_(*conv.y),
        pad_top_(conv.pad_top),
        pad_left_(conv.pad_left),
        m_(conv.m),
        t_(conv.t()),
        stride_(conv.stride),
        dilation_(conv.dilation),
        taps_(conv.taps()),
        tile_rows_((y_.height + conv.m * dilation_ - 1) / (conv.m * dilation_)),
        tile_cols_((y_.width + conv.m * dilation_ - 1) / (conv.m * dilation_)),
        image_tiles_(dilation_ * dilation_ * tile_rows_ * tile_cols_),
        state_(std::move(state)),
        slices_(state_->slices),
        packed_(state_->packed),
        finish_(conv.epilogue, y_),
        width_(state_->input->width()) {
    zeros_.assign(static_cast<std::size_t>(x_.stride) + kSlack, static_cast<Pixel>(x_.grid.zero));
    most_ = conv.block != 0 ? conv.block
                            : most_tiles({.v_bytes = taps_ * width_ * static_cast<std::int64_t>(sizeof(In)),
                                          .m_bytes = taps_ * kPanel * static_cast<std::int64_t>(sizeof(Sum)),
                                          .rows = kTallRows<Dot>},
                                         image_tiles_);
  }

  // A task is a block of tiles with some of the panels; where blocks are few, panels are shared out too, and
  // a thread that meets a new block transforms its input.
  std::int64_t tasks(const Call& call) const override {
    const Blocks b = blocks(call);
    return b.count * b.parts;
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(v_bytes() + m_bytes() + pointers_bytes());
  }

  StageLayout stages() const override {
    return {most_, 0, tap_distance(), width_, v_bytes() / 4, kLanes, taps_ * kPanel, taps_ * kLanes, kPanel};
  }

  void run(const Call& call, std::int64_t begin, std::int64_t end, std::byte* scratch,
           StageSeconds* seconds) const override {
    [[maybe_unused]] const typename Dot::Session session;
    const Block work{reinterpret_cast<In*>(scratch), reinterpret_cast<Sum*>(scratch + v_bytes()),
                     reinterpret_cast<const Pixel**>(scratch + v_bytes() + m_bytes())};
    const std::int64_t tiles = call.images * image_tiles_, panels = slices_.count * packed_.panels();
    const Blocks b = blocks(call);
    StageClock clock(seconds != nullptr);
    clock.start();
    std::int64_t transformed = -1;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task / b.parts * tiles / b.count, part = task % b.parts;
      const std::int64_t count = (task / b.parts + 1) * tiles / b.count - first;
      if (first != transformed) {
        if (seconds != nullptr) time_requantize(first, count, work, seconds);
        clock.start();
        for (std::int64_t tile = 0; tile < count; ++tile) input_transform(first + tile, tile, work, true);
        transformed = first;
        clock.charge(&StageSeconds::input_transform, seconds);
      }
      for (std::int64_t i = part * panels / b.parts; i < (part + 1) * panels / b.parts; ++i) {
        const std::int64_t slice = i / packed_.panels(), panel = i % packed_.panels();
        for (std::int64_t tap = 0; tap < taps_; ++tap) multiply(tap, slice, panel, count, work);
        clock.charge(&StageSeconds::multiply, seconds);
        for (std::int64_t tile = 0; tile < count; ++tile) {
          state_->output->run(work.m + tile * taps_ * kPanel, slice * slices_.filters + panel * kPanel,
                              packed_.vectors(panel), target(first + tile), finish_);
        }
        clock.charge(&StageSeconds::output_transform, seconds);
      }
    }
  }

 private:
  struct Block {
    In* v;
    Sum* m;
    const Pixel** pixels;
  };

  Blocks blocks(const Call& call) const {
    return share_out({.tiles = call.images * image_tiles_,
                      .panels = slices_.count * packed_.panels(),
                      .most = most_,
                      .threads = call.threads});
  }

  // Rows of one tap lie together; kAlignment more than a block needs keeps taps off the same cache sets.
  std::int64_t tap_distance() const {
    return most_ * width_ + static_cast<std::int64_t>(kAlignment / sizeof(In));
  }
  std::int64_t v_bytes() const {
    return round_up(
        taps_ * tap_distance() * static_cast<std::int64_t>(sizeof(In)) + static_cast<std::int64_t>(kSlack),
        64);
  }
  // Matrix registers write whole numbers of rows.
  std::int64_t m_bytes() const {
    const std::int64_t tiles = kByMatrices<Dot> ? round_up(most_, Dot::kRows) : most_;
    return tiles * taps_ * kPanel * static_cast<std::int64_t>(sizeof(Sum));
  }
  std::int64_t pointers_bytes() const { return t_ * t_ * static_cast<std::int64_t>(sizeof(Pixel*)); }

  struct Place {
    std::int64_t image, row, col;  // of a tile's first output
  };
  // Pixels that lie `dilation_` apart make images of their own, tile after tile. The later ones may have a row or a
  // column less, and so a last tile without outputs.
  Place place(std::int64_t tile) const {
    const std::int64_t in = tile % image_tiles_, phase = in / (tile_rows_ * tile_cols_);
    const std::int64_t row = in / tile_cols_ % tile_rows_, col = in % tile_cols_;
    return {tile / image_tiles_, phase / dilation_ + row * m_ * dilation_, phase % dilation_ + col * m_ * dilation_};
  }
  Target target(std::int64_t tile) const {
    const Place at = place(tile);
    const auto outputs = [&](std::int64_t pixels) { return std::min(m_, (pixels + dilation_ - 1) / dilation_); };
    return {(at.image * y_.height + at.row) * y_.width + at.col, outputs(y_.height - at.row), outputs(y_.width - at.col),
            y_.width * dilation_, dilation_};
  }

  // Where each of the t x t pixels of a tile lies; pixels outside the image are the row of zeros.
  void find_pixels(std::int64_t tile, const Pixel** pixels) const {
    const Place at = place(tile);
    const Pixel* const image = reinterpret_cast<const Pixel*>(x_.data) + at.image * x_.pixels() * x_.stride;
    for (std::int64_t i = 0; i < t_; ++i) {
      const std::int64_t row = stride_ * at.row + i * dilation_ - pad_top_;
      for (std::int64_t j = 0; j < t_; ++j) {
        const std::int64_t col = stride_ * at.col + j * dilation_ - pad_left_;
        const bool inside = 0 <= row && row < x_.height && 0 <= col && col < x_.width;
        *pixels++ = inside ? image + (row * x_.width + col) * x_.stride : zeros_.data();
      }
    }
  }

  // Requantization is part of the input transform, in registers. What it takes is the difference between the
  // transform with and without it, in a pass of its own that only profiles make.
  void time_requantize(std::int64_t first, std::int64_t count, const Block& work,
                       StageSeconds* seconds) const {
    StageSeconds with, without;
    StageClock clock(true);
    for (int repeat = 0; repeat < 2; ++repeat) {  // the first one warms the caches
      with = without = {};
      clock.start();
      for (std::int64_t tile = 0; tile < count; ++tile) input_transform(first + tile, tile, work, false);
      clock.charge(&StageSeconds::input_transform, &without);
      for (std::int64_t tile = 0; tile < count; ++tile) input_transform(first + tile, tile, work, true);
      clock.charge(&StageSeconds::input_transform, &with);
    }
    const double requantize = std::max(0.0, with.input_transform - without.input_transform);
    seconds->requantize += requantize;
    seconds->input_transform -= requantize;
  }

  void input_transform(std::int64_t tile, std::int64_t slot, const Block& work, bool requantize) const {
    find_pixels(tile, work.pixels);
    state_->input->run(work.pixels, work.v + slot * width_, tap_distance(), requantize);
  }

  void multiply(std::int64_t tap, std::int64_t slice, std::int64_t panel, std::int64_t count, const Block& work) const {
    const std::int64_t vectors = packed_.vectors(panel), product = slice * taps_ + tap;
    const In* const v = work.v + tap * tap_distance() + slice * slices_.channels;
    for (std::int64_t slot = 0, height = 0, call = 0; slot < count; slot += height, ++call) {
      height = rows_together<Dot>(count - slot, vectors);
      const Sums<Sum> sums{work.m + slot * taps_ * kPanel + tap * kLanes, taps_ * kPanel, taps_ * kLanes};
      if constexpr (kByMatrices<Dot>) {
        Dot::multiply(v + slot * width_, width_, height,
                      {vectors, packed_.groups(), packed_.weights(panel, product), packed_.init(panel, product)}, sums);
      } else {
        const In* rows[kTallRows<Dot>];
        for (std::int64_t r = 0; r < height; ++r) rows[r] = v + (slot + r) * width_;
        micro_for<Dot>(height, vectors)(rows, kTallRows<Dot>, kOneSegment, packed_.groups(),
                                        packed_.weights(panel, product), packed_.ahead(panel, call),
                                        packed_.init(panel, product), sums);
      }
    }
  }

  TensorRef x_, y_;
  std::int64_t pad_top_, pad_left_, m_, t_, stride_, dilation_, taps_, tile_rows_, tile_cols_, image_tiles_;
  std::shared_ptr<const FastState<Dot, Pixel>> state_;
  Slices slices_;
  const Packed<Dot>& packed_;
  Finish finish_;
  std::int64_t width_, most_ = 0;  // of a row of V; tiles of a block
  AlignedVector<Pixel> zeros_;
};

}  // namespace tilewise::TILEWISE_SET
