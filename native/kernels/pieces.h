// What element-wise operations share: a piece of a pixel's channels as real numbers, how it is read and written, and how
// operations end. Whole pieces are read and written: tensors have readable bytes after them, and pixels of a tensor that
// is written have whole pieces; what is beyond the channels is made zero afterwards.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/aligned.h"
#include "kernels/convolution.h"
#include "kernels/format.h"
#include "kernels/functions.h"

#ifdef TILEWISE_SET_HEADER
#include "kernels/words.h"
#endif

namespace tilewise::TILEWISE_SET {

#ifdef TILEWISE_SET_HEADER
[[gnu::always_inline]] inline Real read(const FloatFormat&, const float* from) { return load<F32>(from); }
[[gnu::always_inline]] inline Real read(const GridFormat<std::uint8_t>& grid, const std::uint8_t* from) {
  return to_float(load_bytes(from) - grid.zero) * grid.step;
}
[[gnu::always_inline]] inline Real read(const GridFormat<std::int16_t>& grid, const std::int16_t* from) {
  return __builtin_convertvector(load<Words>(from), F32) * grid.step;
}

template <typename Integer>
[[gnu::always_inline]] inline I32 steps_of(const GridFormat<Integer>& grid, Real y) {
  return floor_to_int(smaller(larger(y * grid.factor + 0.5F, F32{} + grid.low), F32{} + grid.high));
}
[[gnu::always_inline]] inline void write(const FloatFormat&, float* to, Real y) { store(to, y); }
[[gnu::always_inline]] inline void write(const Bf16Format&, std::uint16_t* to, Real y) { store(to, to_bf16(y)); }
[[gnu::always_inline]] inline void write(const GridFormat<std::uint8_t>& grid, std::uint8_t* to, Real y) {
  store(to, narrow(steps_of(grid, y) + grid.zero));
}
[[gnu::always_inline]] inline void write(const GridFormat<std::int16_t>& grid, std::int16_t* to, Real y) {
  store(to, narrow_to_words(steps_of(grid, y)));
}
#else
template <typename Format>
Real read(const Format& format, const typename Format::Type* from) {
  return format.real(*from);
}
template <typename Format>
void write(const Format& format, typename Format::Type* to, Real y) {
  *to = format.store(y);
}
#endif

inline constexpr std::int64_t kParts = kPiece / kReals;

// kPiece real numbers, of channels that follow each other.
struct Piece {
  Real part[kParts];

  template <typename Function>
  [[gnu::always_inline]] void each(const Function& function) {
    for (std::int64_t i = 0; i < kParts; ++i) part[i] = function(part[i], i * kReals);
  }
  // What is beyond the first `count` numbers becomes `value`.
  void fill_beyond(std::int64_t count, float value) {
    float numbers[kPiece];
    std::memcpy(numbers, part, sizeof numbers);
    std::fill(numbers + std::min(count, kPiece), numbers + kPiece, value);
    std::memcpy(part, numbers, sizeof numbers);
  }
};

[[gnu::always_inline]] inline Piece all_of(float value) {
  Piece piece;
  piece.each([&](Real, std::int64_t) { return Real{} + value; });
  return piece;
}

template <typename Format>
[[gnu::always_inline]] inline Piece read_piece(const Format& format, const typename Format::Type* from) {
  Piece piece;
  for (std::int64_t i = 0; i < kParts; ++i) piece.part[i] = read(format, from + i * kReals);
  return piece;
}
[[gnu::always_inline]] inline Piece numbers_at(const float* from) { return read_piece(FloatFormat(), from); }

// The channels from `first` on of one pixel.
inline Piece piece_of(const TensorRef& x, std::int64_t image, std::int64_t i, std::int64_t j, std::int64_t first) {
  Piece piece;
  with_format(x, [&](const auto& format) {
    using Type = typename std::decay_t<decltype(format)>::Type;
    piece = read_piece(format, pixel_at<const Type>(x, image, i, j) + first);
  });
  return piece;
}

template <typename Format>
[[gnu::always_inline]] inline void write_piece(const Format& format, typename Format::Type* to, const Piece& piece) {
  for (std::int64_t i = 0; i < kParts; ++i) write(format, to + i * kReals, piece.part[i]);
}

// Its first `count` numbers.
template <typename Format>
[[gnu::always_inline]] inline void write_part(const Format& format, typename Format::Type* to, const Piece& piece,
                                              std::int64_t count) {
  typename Format::Type numbers[kPiece];
  write_piece(format, numbers, piece);
  std::copy_n(numbers, count, to);
}

// Writes one pixel: make(first) gives the channels from `first` on. Of a tensor of few channels a pixel may be less than a
// piece.
template <typename Format, typename Make>
[[gnu::always_inline]] inline void write_pixel(const Format& to, const TensorRef& y, std::int64_t image, std::int64_t i,
                                        std::int64_t j, const Make& make) {
  auto* const out = pixel_at<typename Format::Type>(y, image, i, j);
  for (std::int64_t first = 0; first < y.channels; first += kPiece) {
    if (first + kPiece <= y.lanes()) {
      write_piece(to, out + first, make(first));
    } else {
      write_part(to, out + first, make(first), y.lanes() - first);
    }
  }
  std::fill_n(out + y.channels, y.lanes() - y.channels, to.zero_value());
}

// Numbers for each channel, with whole pieces; empty if there are none.
inline AlignedVector<float> in_pieces(const std::vector<float>& numbers) {
  AlignedVector<float> result(numbers.begin(), numbers.end());
  result.resize((numbers.size() + kPiece - 1) / kPiece * kPiece, 0.0F);
  return result;
}

// The end of an element-wise operation (Epilogue), on a piece of channels from `first` on.
class PieceEnding {
 public:
  explicit PieceEnding(const Epilogue& epilogue)
      : bias_(in_pieces(epilogue.bias)),
        slope_(in_pieces(epilogue.slope)),
        residual_(epilogue.residual),
        function_(epilogue.function),
        low_(epilogue.low),
        high_(epilogue.high) {}

  [[gnu::always_inline]] void operator()(Piece& piece, std::int64_t image, std::int64_t i, std::int64_t j,
                                         std::int64_t first) const {
    if (!bias_.empty()) {
      const Piece bias = numbers_at(bias_.data() + first);
      piece.each([&](Real y, std::int64_t l) { return y + bias.part[l / kReals]; });
    }
    if (residual_ != nullptr) {
      const Piece added = piece_of(*residual_, image, i, j, first);
      piece.each([&](Real y, std::int64_t l) { return y + added.part[l / kReals]; });
    }
    activate(piece, first);
  }

  // All after the residual.
  [[gnu::always_inline]] void activate(Piece& piece, std::int64_t first) const {
    if (function_ != Function::none) apply(function_, piece.part, kParts);
    if (!slope_.empty()) {
      const Piece slope = numbers_at(slope_.data() + first);
      piece.each([&](Real y, std::int64_t l) {
        const Real below = y * slope.part[l / kReals];
        return y > 0.0F ? y : below;
      });
    }
    piece.each([&](Real y, std::int64_t) { return within(y, low_, high_); });
  }

 private:
  AlignedVector<float> bias_, slope_;
  const TensorRef* residual_;
  Function function_;
  float low_, high_;
};

// A sum over channels in one order: number c goes to sum c % 16, ascending; then sums l and l + 8 are added, then l and
// l + 4, l + 2, l + 1.
class ChannelSum {
 public:
  // The next numbers, of which `count` are left.
  [[gnu::always_inline]] void add(Piece piece, std::int64_t count) {
    if (count < kPiece) piece.fill_beyond(count, 0.0F);
    sums_.each([&](Real sum, std::int64_t l) { return sum + piece.part[l / kReals]; });
  }
  float total() const {
    float sums[kPiece];
    std::memcpy(sums, sums_.part, sizeof sums);
    for (std::int64_t half = kPiece / 2; half > 0; half /= 2) {
      for (std::int64_t l = 0; l < half; ++l) sums[l] += sums[l + half];
    }
    return sums[0];
  }

 private:
  Piece sums_{};
};

}  // namespace tilewise::TILEWISE_SET
