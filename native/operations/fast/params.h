#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/convolution.h"

namespace tilewise {

// Fast convolution by a bilinear algorithm, stage by stage as in kernels/winograd/contract.h; padding as
// there.
struct FastConv {
  const TensorRef* x;
  const TensorRef* y;
  // Outputs, filter taps, products, inputs from one output to the next.
  std::int64_t m, r, n, stride;
  std::int64_t pad_top, pad_left;
  std::int64_t groups = 1;    // divides C and K
  std::int64_t dilation = 1;  // rows and columns between the pixels of a tile; 1 unless the stride is
  bool planar = false;        // the matrices stand for whole tiles, of n products
  std::vector<float> bt, at;  // [n][t], [m][n]; planar: [n][t*t], [m*m][n]
  bool integer = false;       // bt holds integers, and V is computed exactly

  std::int64_t t() const { return stride * (m - 1) + r; }

  std::int64_t moduli = 1;  // each of which has its own products
  std::int64_t products() const { return planar ? n : n * n; }
  std::int64_t taps() const { return moduli * products(); }

  // The factor of an input of the tile in V[tap].
  double input_factor(std::int64_t tap, std::int64_t place) const {
    const auto entry = [this](std::int64_t row, std::int64_t columns, std::int64_t column) {
      return static_cast<double>(bt[static_cast<std::size_t>(row * columns + column)]);
    };
    if (planar) return entry(tap, t() * t(), place);
    return entry(tap / n, t(), place / t()) * entry(tap % n, t(), place % t());
  }

  // Integers only: the requantized V lies in [-v_limit, v_limit], mult is [products][1 or C], scale [products][K].
  std::int64_t v_limit = 127;
  int fraction_bits = 15;
  std::int64_t block = 0;  // tiles that go through the stages together; 0: blocking.h decides
  std::vector<std::int32_t> mult;
  std::vector<float> scale;
  // [products][K][C / groups], one of the four. int16: `integer` is set, sum of abs(u) * v_limit < 2^31 for every tap and
  // k. bf16: x is kFloat32, V is rounded to bf16, sums are float.
  std::span<const std::int8_t> u_int8;
  std::span<const std::int16_t> u_int16;
  std::span<const std::uint16_t> u_bf16;
  std::span<const float> u_f32;
  Epilogue epilogue;
  SharedSlot shared = nullptr;
};

}  // namespace tilewise
