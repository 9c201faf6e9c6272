// Direct convolution: implicit im2row. A table of pointers stands for the matrix of patches. Pixels go region
// by region (kernels/regions.h), so that what lies outside the image is left out, or, where a zero is not
// stored as 0, read from a row of zeros. 1x1 convolutions and linear layers are the same with one segment.
// Needs dot.h, epilogue.h.
#pragma once

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
        scale_(conv.scale.begin(), conv.scale.end()),
        finish_(conv.epilogue, y_),
        packed_(1, y_.channels, window_.height * window_.width, x_.channels),
        regions_(regions(window_, x_, y_)),
        skips_(x_.grid.zero == Dot::kRowOffset),
        all_(static_cast<std::size_t>(packed_.segments())) {
    std::iota(all_.begin(), all_.end(), 0);
    packed_.pack(0, weight, x_.grid.zero);
    scale_.resize(static_cast<std::size_t>(y_.stride), 0.0F);
    zeros_.assign(static_cast<std::size_t>(x_.stride) + kSlack, static_cast<In>(x_.grid.zero));
  }

  // A task is a chunk of output pixels with one panel of output channels; panels run fastest, so that a
  // thread that takes several tasks in a row builds each chunk's table of pointers once.
  std::int64_t tasks(const Call& call) const override {
    const std::int64_t chunk = pixels_per_task(call.images * y_.pixels(), packed_.panels(), call.threads);
    return (call.images * y_.pixels() + chunk - 1) / chunk * packed_.panels();
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(table_bytes()) + kMostPixels * sizeof(std::int64_t) +
           static_cast<std::size_t>(kTallRows<Dot> * kPanel) * sizeof(Sum);
  }

  void run(const Call& call, std::int64_t begin, std::int64_t end, std::byte* scratch,
           StageSeconds*) const override {
    const Chunk chunk{reinterpret_cast<const In**>(scratch),
                      reinterpret_cast<std::int64_t*>(scratch + table_bytes()),
                      reinterpret_cast<Sum*>(scratch + table_bytes() + kMostPixels * sizeof(std::int64_t))};
    const std::int64_t pixels = call.images * y_.pixels();
    const std::int64_t size = pixels_per_task(pixels, packed_.panels(), call.threads);
    std::int64_t built = -1;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task / packed_.panels() * size, panel = task % packed_.panels();
      const bool build = first != built;
      for_runs(first, std::min(size, pixels - first),
               [&](const Region& region, std::int64_t at, const Run& run) {
                 if (build) fill_table(region, at, run, chunk);
                 multiply(region, at, run.pixels, panel, chunk);
               });
      built = first;
    }
  }

 private:
  static constexpr std::int64_t kMostPixels = 96;

  // Of the pixels of a task, in the order of the regions: pointers to what each reads in each segment,
  // table[segment * kMostPixels + p], and its number.
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

  void fill_table(const Region& region, std::int64_t at, const Run& run, const Chunk& chunk) const {
    const In* const image = reinterpret_cast<const In*>(x_.data) + run.image * x_.pixels() * x_.stride;
    std::int64_t corners[kMostPixels];  // where each window begins, which may be outside
    std::int64_t row = region.first_row + run.first / region.cols,
                 col = region.first_col + run.first % region.cols;
    for (std::int64_t p = 0; p < run.pixels; ++p) {
      chunk.pixels[at + p] = (run.image * y_.height + row) * y_.width + col;
      const std::int64_t x_row = row * window_.stride_h - window_.pad_top;
      const std::int64_t x_col = col * window_.stride_w - window_.pad_left;
      corners[p] = (x_row * x_.width + x_col) * x_.stride;
      if (++col == region.first_col + region.cols) col = region.first_col, ++row;
    }
    for (const std::int32_t segment : region.inside) {
      const std::int64_t offset = (segment / window_.width * window_.dilation_h * x_.width +
                                   segment % window_.width * window_.dilation_w) *
                                  x_.stride;
      const In** const to = chunk.table + segment * kMostPixels + at;
      for (std::int64_t p = 0; p < run.pixels; ++p) to[p] = image + (corners[p] + offset);
    }
    if (skips_) return;
    for (const std::int32_t segment : region.outside)
      std::fill_n(chunk.table + segment * kMostPixels + at, run.pixels, zeros_.data());
  }

  void multiply(const Region& region, std::int64_t at, std::int64_t count, std::int64_t panel,
                const Chunk& chunk) const {
    const std::span<const std::int32_t> segments = skips_ ? std::span(region.inside) : std::span(all_);
    const std::int64_t vectors = packed_.vectors(panel), channel = panel * kPanel;
    for (std::int64_t p = at, rows = 0; p < at + count; p += rows) {
      rows = rows_together<Dot>(at + count - p, vectors);
      micro_for<Dot>(rows, vectors)(chunk.table + p, kMostPixels, segments, packed_.groups(),
                                    packed_.weights(panel, 0), packed_.init(panel, 0),
                                    {chunk.sums, kPanel, kLanes});
      for_vectors(vectors,
                  [&](auto constant) { finish<constant>(chunk.sums, rows, chunk.pixels + p, channel); });
    }
  }

  template <int Vectors>
  void finish(const typename Dot::Sum* sums, std::int64_t rows, const std::int64_t* pixels,
              std::int64_t channel) const {
    for (std::int64_t r = 0; r < rows; ++r) {
      F32 values[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v)
        values[v] = real(sums + r * kPanel + v * kLanes, channel + v * kLanes);
      finish_.template operator()<Vectors>(values, pixels[r], channel);
    }
  }

  F32 real(const std::int32_t* sums, std::int64_t channel) const {
    return to_float(load<I32>(sums)) * load<F32>(scale_.data() + channel);
  }
  F32 real(const float* sums, std::int64_t) const { return load<F32>(sums); }

  TensorRef x_, y_;
  Window window_;
  AlignedVector<float> scale_;
  Finish finish_;
  Packed<Dot> packed_;
  AlignedVector<In> zeros_;
  std::vector<Region> regions_;
  bool skips_;                     // segments outside the image add nothing: zero times a weight
  std::vector<std::int32_t> all_;  // segments
};

inline std::unique_ptr<Op> make_direct_int8(const DirectConv& conv) {
  return std::make_unique<DirectOp<Int8Dot>>(conv, conv.weight_int8.data());
}

inline std::unique_ptr<Op> make_direct_f32(const DirectConv& conv) {
  if (conv.unfused) return std::make_unique<DirectOp<UnfusedFloatDot>>(conv, conv.weight_f32.data());
  return std::make_unique<DirectOp<FloatDot>>(conv, conv.weight_f32.data());
}

}  // namespace tilewise::TILEWISE_SET
