#include "kernels/winograd/reference.h"

#include <algorithm>
#include <cfloat>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "kernels/winograd/tile.h"

namespace tilewise::winograd {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "float32 sums must be rounded to float32 at every step");

std::int32_t fit_int32(std::int64_t value, const char* name, std::int64_t tap, std::int64_t channel,
                       std::int64_t tile) {
  using Limits = std::numeric_limits<std::int32_t>;
  if (value < Limits::min() || value > Limits::max()) {
    refuse<std::overflow_error>(name, "[", tap, ", ", channel, ", ", tile, "] is ", value,
                                ", must fit int32: -2147483648..2147483647");
  }
  return static_cast<std::int32_t>(value);
}

// Where tile p lies: its image, and the row and column of its first output.
struct TilePosition {
  std::int64_t image, row, col;
};

TilePosition tile_position(const Geometry& g, std::int64_t p) {
  return {p / (g.rows * g.cols), p / g.cols % g.rows * g.m, p % g.cols * g.m};
}

}  // namespace

Tensor<std::int32_t, 3> input_transform(const Geometry& g, TensorView<const std::int16_t, 4> x,
                                        TensorView<const std::int32_t, 2> bt) {
  Tensor<std::int32_t, 3> v({g.taps(), g.channels, g.tiles()});
  for (std::int64_t c = 0; c < g.channels; ++c) {
    for (std::int64_t p = 0; p < g.tiles(); ++p) {
      const TilePosition tile = tile_position(g, p);
      const auto pixel = [&](std::int64_t i, std::int64_t j) {
        const std::int64_t row = g.stride * tile.row + i - g.pad_top, col = g.stride * tile.col + j - g.pad_left;
        const bool inside = 0 <= row && row < g.height && 0 <= col && col < g.width;
        return inside ? x(tile.image, c, row, col) : std::int16_t{0};
      };
      // Rows of |bt| sum to 2^23 at most, so V stays below 2^61.
      transform_input<std::int64_t>(g.n, g.t, bt, pixel, [&](std::int64_t tap, std::int64_t value) {
        v.view()(tap, c, p) = fit_int32(value, "V", tap, c, p);
      });
    }
  }
  return v;
}

Tensor<std::int16_t, 3> requantize(TensorView<const std::int32_t, 3> v,
                                   TensorView<const std::int32_t, 2> mult, std::int64_t v_limit,
                                   int fraction_bits) {
  Tensor<std::int16_t, 3> vq(v.shape);
  const bool per_channel = mult.shape[1] != 1;
  for (std::int64_t tap = 0; tap < v.shape[0]; ++tap) {
    for (std::int64_t c = 0; c < v.shape[1]; ++c) {
      const std::int64_t factor = mult(tap, per_channel ? c : 0);
      for (std::int64_t p = 0; p < v.shape[2]; ++p) {
        vq.view()(tap, c, p) =
            static_cast<std::int16_t>(requantized<std::int64_t>(v(tap, c, p), factor, fraction_bits, v_limit));
      }
    }
  }
  return vq;
}

Tensor<std::int32_t, 3> multiply(TensorView<const std::int16_t, 3> u, TensorView<const std::int16_t, 3> vq) {
  const auto [taps, filters, channels] = u.shape;
  const std::int64_t tiles = vq.shape[2];
  Tensor<std::int32_t, 3> m({taps, filters, tiles});
  std::vector<std::int64_t> sums;  // one per tile: V is read in the order in which it lies in memory
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    for (std::int64_t k = 0; k < filters; ++k) {
      sums.assign(static_cast<std::size_t>(tiles), 0);
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t p = 0; p < tiles; ++p) {
          sums[static_cast<std::size_t>(p)] += u(tap, k, c) * vq(tap, c, p);
        }
      }
      for (std::int64_t p = 0; p < tiles; ++p) {
        m.view()(tap, k, p) = fit_int32(sums[static_cast<std::size_t>(p)], "M", tap, k, p);
      }
    }
  }
  return m;
}

Tensor<float, 4> output_transform(const Geometry& g, TensorView<const std::int32_t, 3> m,
                                  TensorView<const float, 2> at, TensorView<const float, 2> scale,
                                  std::optional<TensorView<const float, 1>> bias) {
  Tensor<float, 4> y({g.images, g.filters, g.out_height, g.out_width});
  const std::span<const float> matrix(at.data, static_cast<std::size_t>(g.m * g.n));
  const bool per_filter = scale.shape[1] != 1;
  for (std::int64_t k = 0; k < g.filters; ++k) {
    for (std::int64_t p = 0; p < g.tiles(); ++p) {
      const TilePosition tile = tile_position(g, p);
      const auto product = [&](std::int64_t tap) {
        return static_cast<float>(m(tap, k, p)) * scale(tap, per_filter ? k : 0);
      };
      transform_output(g.n, matrix, product, std::min(g.m, g.out_height - tile.row),
                       std::min(g.m, g.out_width - tile.col), [&](std::int64_t i, std::int64_t j, float value) {
                         y.view()(tile.image, k, tile.row + i, tile.col + j) = bias ? value + (*bias)(k) : value;
                       });
    }
  }
  return y;
}

Stages convolve(const Problem& problem) {
  const Geometry g = check(problem);
  Stages stages;
  stages.v = input_transform(g, problem.x, problem.bt);
  stages.vq =
      requantize(std::as_const(stages.v).view(), problem.mult, problem.v_limit, problem.fraction_bits);
  stages.m = multiply(problem.u, std::as_const(stages.vq).view());
  stages.y = output_transform(g, std::as_const(stages.m).view(), problem.at, problem.scale, problem.bias);
  return stages;
}

}  // namespace tilewise::winograd
