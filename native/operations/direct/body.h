// Direct convolution: implicit im2row. A table of pointers stands for the matrix of patches. Pixels go region
// by region (kernels/regions.h), so that what lies outside the image is left out, or, where a zero is not
// stored as 0, read from a row of zeros. 1x1 convolutions and linear layers are the same with one segment.
//
// Of grouped convolutions each slice (kernels/slices.h) is a product of its own.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/aligned.h"
#include "kernels/blocking.h"
#include "kernels/dot.h"
#include "kernels/epilogue.h"
#include "kernels/op.h"
#include "kernels/regions.h"
#include "kernels/sixteen_dots.h"
#include "kernels/slices.h"
#include "operations/direct/depthwise.h"
#include "operations/direct/params.h"

namespace tilewise::TILEWISE_SET {

template <class Dot>
class DirectOp final : public Op {
  using In = typename Dot::In;
  using Sum = typename Dot::Sum;

 public:
  DirectOp(const DirectConv& conv, const typename Dot::Weight* weight)
      : x_(*conv.x),
        y_(*conv.y),
        window_(conv.window),
        slices_(slices_of(conv.groups, conv.y->channels, conv.x->channels)),
        scale_(conv.scale.begin(), conv.scale.end()),
        finish_(conv.epilogue, y_),
        state_(shared_state<Packed<Dot>>(conv.shared, [&] { return packed(conv, weight); })),
        packed_(*state_),
        regions_(regions(window_, x_, y_,
                         {.joined = window_.dilation_w == 1 && slices_.count == 1 && x_.stride == packed_.groups() * Dot::kGroup,
                          .skips = x_.grid.zero == Dot::kRowOffset,
                          .mixes = std::is_integral_v<Sum>,
                          .together = Dot::kRows,
                          .fewest = kByMatrices<Dot> ? Dot::kRows : 2.5,
                          .segment_work = packed_.groups() * packed_.vectors(0) / Dot::kDepth})) {
    scale_.resize(static_cast<std::size_t>(y_.lanes()), 0.0F);
    zeros_.assign(static_cast<std::size_t>(x_.stride) + kSlack, static_cast<In>(x_.grid.zero));
  }

  // A task is a chunk of output pixels with one panel of output channels of a slice; panels run fastest, so that a
  // thread that takes several tasks in a row builds each chunk's table of pointers once.
  std::int64_t tasks(const Call& call) const override {
    const std::int64_t chunk = pixels_per_task(call.images * y_.pixels(), panels(), call.threads);
    return (call.images * y_.pixels() + chunk - 1) / chunk * panels();
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(table_bytes()) + kMostPixels * sizeof(std::int64_t) +
           static_cast<std::size_t>(kTallRows<Dot> * kPanel) * sizeof(Sum);
  }

  void run(const Call& call, std::int64_t begin, std::int64_t end, std::byte* scratch,
           StageSeconds*) const override {
    [[maybe_unused]] const typename Dot::Session session;
    const Chunk chunk{reinterpret_cast<const In**>(scratch),
                      reinterpret_cast<std::int64_t*>(scratch + table_bytes()),
                      reinterpret_cast<Sum*>(scratch + table_bytes() + kMostPixels * sizeof(std::int64_t))};
    const std::int64_t pixels = call.images * y_.pixels();
    const std::int64_t size = pixels_per_task(pixels, panels(), call.threads);
    std::int64_t built = -1, built_slice = 0;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task / panels() * size, count = std::min(size, pixels - first);
      const std::int64_t slice = task % panels() / packed_.panels(), panel = task % packed_.panels();
      const bool build = first != built;
      const std::int64_t shift = build ? 0 : (slice - built_slice) * slices_.channels;
      std::int64_t calls = 0;
      for_runs(first, count, [&](const Region& region, std::int64_t at, const Run& run) {
        if (build) fill_table(region, at, run, slice * slices_.channels, chunk);
        if (shift != 0) shift_table(region, at, run, shift, chunk);
        multiply(region, at, run.pixels, slice, panel, chunk, calls);
      });
      built = first, built_slice = slice;
    }
  }

 private:
  static constexpr std::int64_t kMostPixels = 96;

  static std::shared_ptr<const Packed<Dot>> packed(const DirectConv& conv, const typename Dot::Weight* weight) {
    const Slices slices = slices_of(conv.groups, conv.y->channels, conv.x->channels);
    const std::int64_t segments = conv.window.height * conv.window.width;
    const auto made = std::make_shared<Packed<Dot>>(slices.count, slices.filters, segments, slices.channels);
    for (std::int64_t slice = 0; slice < slices.count; ++slice) {
      const auto* const from = weight + slice * slices.filters * segments * conv.group_channels();
      made->pack(slice, slices.together == 1 ? from : dense(slices, from, segments).data(), conv.x->grid.zero);
    }
    return made;
  }

  std::int64_t panels() const { return slices_.count * packed_.panels(); }

  // Of the pixels of a task, in the order of the regions: pointers to what each reads from the first segment
  // of each stretch on, table[segment * kMostPixels + p], and its number.
  struct Chunk {
    const In** table;
    std::int64_t* pixels;
    Sum* sums;  // of a few rows
  };
  // Pixels of one region: from its pixel number `first` of image `image` on.
  struct Run {
    std::int64_t image, first, pixels;
  };

  std::int64_t table_bytes() const {
    return round_up(packed_.segments() * kMostPixels * static_cast<std::int64_t>(sizeof(In*)), 64);
  }

  // Cuts the pixels first .. first + count - 1 by regions: function(region, place in the chunk, run).
  template <typename Function>
  void for_runs(std::int64_t first, std::int64_t count, const Function& function) const {
    for (std::int64_t at = 0; at < count;) {
      const std::int64_t image = (first + at) / y_.pixels(), place = (first + at) % y_.pixels();
      const auto after = std::ranges::upper_bound(regions_, place, {}, &Region::first);
      const Region& region = *(after - 1);
      const Run run{image, place - region.first,
                    std::min(count - at, region.pixels() - (place - region.first))};
      function(region, at, run);
      at += run.pixels;
    }
  }

  // Lets the table point to other channels. (There are as many zeros as channels.)
  void shift_table(const Region& region, std::int64_t at, const Run& run, std::int64_t by, const Chunk& chunk) const {
    for (const Stretch& stretch : region.stretches) {
      const In** const to = chunk.table + stretch.first * kMostPixels + at;
      for (std::int64_t p = 0; p < run.pixels; ++p) to[p] += by;
    }
  }

  void fill_table(const Region& region, std::int64_t at, const Run& run, std::int64_t channel, const Chunk& chunk) const {
    const In* const image = reinterpret_cast<const In*>(x_.data) + run.image * x_.pixels() * x_.stride + channel;
    Corner corners[kMostPixels];
    for (std::int64_t p = 0; p < run.pixels;) {  // row by row
      const std::int64_t row = region.first_row + (run.first + p) / region.cols,
                         col = (run.first + p) % region.cols;
      const std::int64_t count = std::min(run.pixels - p, region.cols - col);
      const std::int64_t number = (run.image * y_.height + row) * y_.width + region.first_col + col;
      const std::int64_t x_row = row * window_.stride_h - window_.pad_top;
      const std::int64_t x_col = (region.first_col + col) * window_.stride_w - window_.pad_left;
      const std::int64_t offset = (x_row * x_.width + x_col) * x_.stride;
      for (std::int64_t k = 0; k < count; ++k) {
        chunk.pixels[at + p + k] = number + k;
        corners[p + k] = {x_row, x_col + k * window_.stride_w, offset + k * window_.stride_w * x_.stride};
      }
      p += count;
    }
    for (const Stretch& stretch : region.inside) {
      const Corner step = step_to(stretch);
      const In** const to = chunk.table + stretch.first * kMostPixels + at;
      for (std::int64_t p = 0; p < run.pixels; ++p) to[p] = image + (corners[p].offset + step.offset);
    }
    for (const Stretch& stretch : region.mixed) {
      const Corner step = step_to(stretch);
      const In** const to = chunk.table + stretch.first * kMostPixels + at;
      for (std::int64_t p = 0; p < run.pixels; ++p) {
        const std::int64_t x_row = corners[p].row + step.row, x_col = corners[p].col + step.col;
        const bool inside = 0 <= x_row && x_row < x_.height && 0 <= x_col && x_col < x_.width;
        to[p] = inside ? image + (corners[p].offset + step.offset) : zeros_.data();
      }
    }
    for (const Stretch& stretch : region.outside)
      std::fill_n(chunk.table + stretch.first * kMostPixels + at, run.pixels, zeros_.data());
  }

  // Where a window begins, which may be outside the image, or how far it is to a segment from there.
  struct Corner {
    std::int64_t row, col, offset;
  };

  Corner step_to(const Stretch& stretch) const {
    const std::int64_t row = stretch.first / window_.width * window_.dilation_h,
                       col = stretch.first % window_.width * window_.dilation_w;
    return {row, col, (row * x_.width + col) * x_.stride};
  }

  void multiply(const Region& region, std::int64_t at, std::int64_t count, std::int64_t slice, std::int64_t panel,
                const Chunk& chunk, std::int64_t& calls) const {
    const std::int64_t vectors = packed_.vectors(panel), channel = slice * slices_.filters + panel * kPanel;
    for (std::int64_t p = at, rows = 0; p < at + count; p += rows) {
      rows = rows_together<Dot>(at + count - p, vectors);
      const Sums<Sum> sums{chunk.sums, kPanel, kLanes};
      if constexpr (kByMatrices<Dot>) {
        Dot::multiply(chunk.table + p, kMostPixels, rows, window_.stride_w * x_.stride,
                      {vectors, packed_.groups(), packed_.weights(panel, slice), packed_.init(panel, slice)},
                      region.stretches, sums);
      } else {
        micro_for<Dot>(rows, vectors)(chunk.table + p, kMostPixels, region.stretches, packed_.groups(),
                                      packed_.weights(panel, slice), packed_.ahead(panel, calls++),
                                      packed_.init(panel, slice), sums);
      }
      for_vectors(vectors,
                  [&](auto constant) { finish<constant>(chunk.sums, rows, chunk.pixels + p, channel); });
    }
  }

  template <int Vectors>
  void finish(const typename Dot::Sum* sums, std::int64_t rows, const std::int64_t* pixels,
              std::int64_t channel) const {
    F32 scale[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) scale[v] = load<F32>(scale_.data() + channel + v * kLanes);
    finish_.template in<Vectors>(channel, [&](const auto& finish) __attribute__((always_inline)) {
      for (std::int64_t r = 0; r < rows; ++r) {
        F32 values[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) values[v] = real(sums + r * kPanel + v * kLanes, scale[v]);
        finish(values, pixels[r]);
      }
    });
  }

  [[gnu::always_inline]] static F32 real(const std::int32_t* sums, F32 scale) {
    return to_float(load<I32>(sums)) * scale;
  }
  [[gnu::always_inline]] static F32 real(const float* sums, F32) { return load<F32>(sums); }

  TensorRef x_, y_;
  Window window_;
  Slices slices_;
  AlignedVector<float> scale_;
  Finish finish_;
  std::shared_ptr<const Packed<Dot>> state_;
  const Packed<Dot>& packed_;
  AlignedVector<In> zeros_;
  std::vector<Region> regions_;
};

template <class Dot, class Taps>
std::unique_ptr<Op> make_direct(const DirectConv& conv, const typename Dot::Weight* weight) {
  if (conv.is_depthwise()) return std::make_unique<DepthwiseOp<Taps>>(conv, weight);
  return std::make_unique<DirectOp<Dot>>(conv, weight);
}

inline std::unique_ptr<Op> make_direct_int8(const DirectConv& conv) {
  return make_direct<Int8Dot, ByteTaps>(conv, conv.weight_int8.data());
}

inline std::unique_ptr<Op> make_direct_int16(const DirectConv& conv) {
  return make_direct<Int16Dot, WordTaps>(conv, conv.weight_int16.data());
}

inline std::unique_ptr<Op> make_direct_f32(const DirectConv& conv) {
  if (conv.ordered) return make_direct<OrderedFloatDot, OrderedFloatTaps>(conv, conv.weight_f32.data());
  return make_direct<FloatDot, FloatTaps>(conv, conv.weight_f32.data());
}

// The products are a parameter, for machines that have an instruction for them.
template <class Dot>
std::unique_ptr<Op> make_direct_bf16_with(const DirectConv& conv) {
  return make_direct<Dot, HalfTaps>(conv, conv.weight_bf16.data());
}
inline std::unique_ptr<Op> make_direct_bf16(const DirectConv& conv) {
  return make_direct_bf16_with<Bf16Dot>(conv);
}

}  // namespace tilewise::TILEWISE_SET
