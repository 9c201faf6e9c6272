// Direct convolution: implicit im2row. A table of pointers stands for the matrix of patches; pixels outside
// the image point to a row of zeros. 1x1 convolutions and linear layers are the same with one segment. Needs
// dot.h, epilogue.h.
#pragma once

namespace tilewise::TILEWISE_SET {

template <class Dot>
class DirectOp final : public Op {
  using In = typename Dot::In;

 public:
  DirectOp(const DirectConv& conv, const typename Dot::Weight* weight)
      : x_(*conv.x),
        y_(*conv.y),
        window_(conv.window),
        scale_(conv.scale.begin(), conv.scale.end()),
        finish_(conv.epilogue, y_),
        packed_(1, y_.channels, window_.height * window_.width, x_.channels) {
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
    const std::int64_t table =
        round_up(packed_.segments() * kChunk * static_cast<std::int64_t>(sizeof(In*)), 64);
    return static_cast<std::size_t>(table + kTallRows * kPanel * 4);
  }

  void run(const Call& call, std::int64_t begin, std::int64_t end, std::byte* scratch,
           StageSeconds*) const override {
    const In** const table = reinterpret_cast<const In**>(scratch);
    auto* const sums = reinterpret_cast<typename Dot::Sum*>(
        scratch + round_up(packed_.segments() * kChunk * static_cast<std::int64_t>(sizeof(In*)), 64));
    const std::int64_t pixels = call.images * y_.pixels();
    const std::int64_t chunk = pixels_per_task(pixels, packed_.panels(), call.threads);
    std::int64_t built = -1;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task / packed_.panels() * chunk, panel = task % packed_.panels();
      const std::int64_t count = std::min(chunk, pixels - first);
      if (first != built) fill_table(first, count, table);
      built = first;
      multiply(table, first, count, panel, sums);
    }
  }

 private:
  static constexpr std::int64_t kChunk = 96;

  // table[segment * kChunk + p] points to what pixel first + p reads in that segment. Runs along output rows.
  void fill_table(std::int64_t first, std::int64_t count, const In** table) const {
    const In* const data = reinterpret_cast<const In*>(x_.data);
    for (std::int64_t p = 0; p < count;) {
      const std::int64_t pixel = first + p, column = pixel % y_.width, row = pixel / y_.width % y_.height;
      const std::int64_t run = std::min(count - p, y_.width - column);
      const In* const image = data + pixel / y_.pixels() * x_.pixels() * x_.stride;
      for (std::int64_t i = 0; i < window_.height; ++i) {
        const std::int64_t source_row = row * window_.stride_h - window_.pad_top + i * window_.dilation_h;
        const bool inside = 0 <= source_row && source_row < x_.height;
        for (std::int64_t j = 0; j < window_.width; ++j) {
          const In** const to = table + (i * window_.width + j) * kChunk + p;
          std::int64_t source = column * window_.stride_w - window_.pad_left + j * window_.dilation_w;
          for (std::int64_t step = 0; step < run; ++step, source += window_.stride_w) {
            const bool real = inside && 0 <= source && source < x_.width;
            to[step] = real ? image + (source_row * x_.width + source) * x_.stride : zeros_.data();
          }
        }
      }
      p += run;
    }
  }

  void multiply(const In* const* table, std::int64_t first, std::int64_t count, std::int64_t panel,
                typename Dot::Sum* sums) const {
    const std::int64_t vectors = packed_.vectors(panel), channel = panel * kPanel;
    for (std::int64_t p = 0, rows = 0; p < count; p += rows) {
      rows = rows_together(count - p, vectors);
      micro_for<Dot>(rows, vectors)(table + p, kChunk, packed_.segments(), packed_.groups(),
                                    packed_.weights(panel, 0), packed_.init(panel, 0),
                                    {sums, kPanel, kLanes});
      for_vectors(vectors, [&](auto constant) { finish<constant>(sums, rows, first + p, channel); });
    }
  }

  template <int Vectors>
  void finish(const typename Dot::Sum* sums, std::int64_t rows, std::int64_t pixel,
              std::int64_t channel) const {
    for (std::int64_t r = 0; r < rows; ++r) {
      F32 values[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v)
        values[v] = real(sums + r * kPanel + v * kLanes, channel + v * kLanes);
      finish_.template operator()<Vectors>(values, pixel + r, channel);
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
};

inline std::unique_ptr<Op> make_direct_int8(const DirectConv& conv) {
  return std::make_unique<DirectOp<Int8Dot>>(conv, conv.weight_int8.data());
}

inline std::unique_ptr<Op> make_direct_f32(const DirectConv& conv) {
  if (conv.unfused) return std::make_unique<DirectOp<UnfusedFloatDot>>(conv, conv.weight_f32.data());
  return std::make_unique<DirectOp<FloatDot>>(conv, conv.weight_f32.data());
}

}  // namespace tilewise::TILEWISE_SET
