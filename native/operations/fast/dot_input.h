// The input transform by integer dot products, for matrices B^T of 8-bit numbers: those of learned
// algorithms, which lie on a grid of 2^-f (docs/contracts/numbers.md), and larger named ones. All of it is
// exact: q - 128 fits a byte, so the first side, sum |B| <= 255 times 128, fits 16 bits, and the second fits
// 24. Needs input.h.
#pragma once

#include <array>
#include <optional>

#include "operations/fast/input_stage.h"

namespace tilewise::TILEWISE_SET {

class DotInput final : public InputStage<std::uint8_t, std::uint8_t> {
 public:
  explicit DotInput(const FastConv& conv)
      : InputStage(round_up(conv.x->channels, kBytes)),
        n_(static_cast<int>(conv.n)),
        t_(static_cast<int>(conv.t())),
        pairs_((t_ + 1) / 2),
        clamp_(conv) {
    const int fraction = *grid_of(conv);
    pack_matrix(conv, fraction);
    per_channel_ = static_cast<std::int64_t>(conv.mult.size()) > conv.products();
    factor_row_ = per_channel_ ? width() : kLanes;
    factor_.resize(static_cast<std::size_t>(conv.products() * factor_row_));
    for (std::int64_t i = 0; i < conv.products() * factor_row_; ++i) {
      const std::int32_t mult = mult_of(conv, i / factor_row_, channel_at(i % factor_row_));
      factor_[static_cast<std::size_t>(i)] =
          std::ldexp(static_cast<float>(mult), -conv.fraction_bits - 2 * fraction);
    }
  }

  // Below half a chunk of channels other transforms are faster.
  static bool serves(const FastConv& conv) {
    return !conv.planar && conv.x->channels > kBytes / 4 && conv.t() <= 4 * kMaxQuads && conv.n <= kMaxRows &&
           conv.fraction_bits == 15 && grid_of(conv).has_value();
  }

  void run(const std::uint8_t* const* pixels, std::uint8_t* to, std::int64_t tap_distance,
           bool requantize) const override {
    requantize ? sized<true>(pixels, to, tap_distance) : sized<false>(pixels, to, tap_distance);
  }

 private:
  static constexpr int kMaxQuads = 3, kMaxRows = 14;

  // f, if B^T times 2^f holds integers that fit: rows of at most 255 in sum, each at most 127.
  static std::optional<int> grid_of(const FastConv& conv) {
    const std::int64_t t = conv.t();
    for (int f = 0; f <= 6; ++f) {
      bool integers = true, fits = true;
      for (std::int64_t a = 0; a < conv.n; ++a) {
        float sum = 0;
        for (std::int64_t i = 0; i < t; ++i) {
          const float x = std::ldexp(conv.bt[static_cast<std::size_t>(a * t + i)], f);
          integers = integers && x == std::floor(x);
          fits = fits && std::abs(x) <= 127;
          sum += std::abs(x);
        }
        fits = fits && sum <= 255;
      }
      if (!fits) return std::nullopt;
      if (integers) return f;
    }
    return std::nullopt;
  }

  // Quarter vectors hold, within each 16 channels, 4 of them: see spread().
  static std::int64_t channel_at(std::int64_t place) {
    const std::int64_t in = place % kBytes;
    return place - in + in % kLanes / 4 * 16 + in / kLanes * 4 + in % 4;
  }

  void pack_matrix(const FastConv& conv, int fraction) {
    const auto at = [&](int a, int i) {
      return i < t_ ? static_cast<int>(std::ldexp(conv.bt[static_cast<std::size_t>(a * t_ + i)], fraction))
                    : 0;
    };
    std::array<int, kMaxRows> sums{};
    for (int a = 0; a < n_; ++a) {
      for (int q = 0; q < (t_ + 3) / 4; ++q) {
        std::uint32_t four = 0;
        for (int k = 0; k < 4; ++k) {
          four |= static_cast<std::uint32_t>(at(a, 4 * q + k) & 0xFF) << (8 * k);
          sums[static_cast<std::size_t>(a)] += at(a, 4 * q + k);
        }
        bytes_[a][q] = static_cast<std::int32_t>(four);
      }
      for (int p = 0; p < pairs_; ++p) {
        shorts_[a][p] = static_cast<std::int32_t>((static_cast<std::uint32_t>(at(a, 2 * p)) & 0xFFFF) |
                                                  (static_cast<std::uint32_t>(at(a, 2 * p + 1)) << 16));
      }
    }
    // The first side is of byte - 128 instead of byte - zero: what that takes away comes back at the second.
    for (int a = 0; a < n_; ++a) {
      first_[a] = kSignedRows ? 0 : -128 * sums[static_cast<std::size_t>(a)];
      for (int b = 0; b < n_; ++b) {
        second_[a][b] =
            (128 - conv.x->grid.zero) * sums[static_cast<std::size_t>(a)] * sums[static_cast<std::size_t>(b)];
      }
    }
  }

  template <bool Requantize>
  void sized(const std::uint8_t* const* pixels, std::uint8_t* to, std::int64_t tap_distance) const {
    constexpr std::array calls = {&DotInput::chunk<1, Requantize>, &DotInput::chunk<2, Requantize>,
                                  &DotInput::chunk<3, Requantize>, &DotInput::chunk<4, Requantize>,
                                  &DotInput::chunk<5, Requantize>, &DotInput::chunk<6, Requantize>};
    const auto call = calls[static_cast<std::size_t>(pairs_ - 1)];
    for (std::int64_t c = 0; c < width(); c += kBytes) (this->*call)(pixels, to, tap_distance, c);
  }

  // Four vectors of kBytes channels become four of kLanes channels with one byte of each vector in a lane.
  [[gnu::always_inline]] static void spread(const I8 (&x)[4], I32 (&out)[4]) {
    const auto a = reinterpret_cast<I16>(low_bytes(x[0], x[1])),
               b = reinterpret_cast<I16>(high_bytes(x[0], x[1]));
    const auto c = reinterpret_cast<I16>(low_bytes(x[2], x[3])),
               d = reinterpret_cast<I16>(high_bytes(x[2], x[3]));
    out[0] = reinterpret_cast<I32>(low_shorts(a, c));
    out[1] = reinterpret_cast<I32>(high_shorts(a, c));
    out[2] = reinterpret_cast<I32>(low_shorts(b, d));
    out[3] = reinterpret_cast<I32>(high_shorts(b, d));
  }

  // Pairs: of columns of B^T.
  template <int Pairs, bool Requantize>
  void chunk(const std::uint8_t* const* pixels, std::uint8_t* to, std::int64_t tap_distance,
             std::int64_t c) const {
    constexpr int Quads = (Pairs + 1) / 2;
    I32 half[kMaxRows][Pairs][4];  // [row of B^T][pair of columns]: two 16-bit numbers in a lane
    for (int j = 0; j < t_; ++j) {
      I32 x[Quads][4];
#pragma GCC unroll 3
      for (int q = 0; q < Quads; ++q) {
        I8 rows[4]{};
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          if (4 * q + k < t_) rows[k] = load<I8>(pixels[(4 * q + k) * t_ + j] + c);
          if constexpr (kSignedRows) rows[k] ^= std::int8_t{-128};
        }
        spread(rows, x[q]);
      }
      for (int a = 0; a < n_; ++a) {
#pragma GCC unroll 4
        for (int s = 0; s < 4; ++s) {
          I32 sum = I32{} + first_[a];
#pragma GCC unroll 3
          for (int q = 0; q < Quads; ++q) sum = dot4(sum, x[q][s], I32{} + bytes_[a][q]);
          I32& pair = half[a][j / 2][s];
          pair = j % 2 == 0 ? sum : join(pair, sum);
        }
      }
    }
    for (int a = 0; a < n_; ++a) {
      if (t_ % 2 != 0) {
        for (int s = 0; s < 4; ++s) half[a][Pairs - 1][s] = join(half[a][Pairs - 1][s], I32{});
      }
      for (int b = 0; b < n_; ++b) {
        I32 v[4];
#pragma GCC unroll 4
        for (int s = 0; s < 4; ++s) v[s] = I32{} + second_[a][b];
#pragma GCC unroll 6
        for (int p = 0; p < Pairs; ++p) {
          const I32 factor = I32{} + shorts_[b][p];
#pragma GCC unroll 4
          for (int s = 0; s < 4; ++s) v[s] = dot2(v[s], half[a][p][s], factor);
        }
        const std::int64_t tap = a * n_ + b;
        if constexpr (Requantize) {
          const float* const factor = factor_.data() + tap * factor_row_ + (per_channel_ ? c : 0);
#pragma GCC unroll 4
          for (int s = 0; s < 4; ++s) {
            v[s] = floor_to_int(to_float(v[s]) * load<F32>(factor + (per_channel_ ? s * kLanes : 0)) + 0.5F);
          }
        }
        store(to + tap * tap_distance + c, clamp_(pack(pack(v[0], v[1]), pack(v[2], v[3]))));
      }
    }
  }

  int n_, t_, pairs_;
  ByteClamp clamp_;
  std::int32_t bytes_[kMaxRows][kMaxQuads]{}, shorts_[kMaxRows][2 * kMaxQuads]{};
  std::int32_t first_[kMaxRows]{}, second_[kMaxRows][kMaxRows]{};
  bool per_channel_ = false;
  std::int64_t factor_row_ = 0;
  AlignedVector<float>
      factor_;  // [tap][place in the chunks' order], or one vector of equal numbers for each tap
};

}  // namespace tilewise::TILEWISE_SET
