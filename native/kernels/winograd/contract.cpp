#include "kernels/winograd/contract.h"

#include <cstdlib>

namespace tilewise::winograd {
namespace {

constexpr std::int64_t kMaxMult = 32767;
constexpr std::int64_t kMaxVLimit = 32767;  // requantized V is stored in int16
constexpr int kMinFractionBits = 15;
constexpr int kMaxFractionBits = 31;
constexpr std::int64_t kMaxPadding = 2147483647;  // keeps H + 2*ph far from the end of int64
constexpr std::int64_t kMaxStride = 1024;
constexpr std::int64_t kMaxRowSum = 1 << 23;  // |V| <= 2^23 * 2^23 * 2^15 = 2^61

void check_transforms(const Geometry& g, const Problem& problem) {
  if (g.m < 1 || g.n < 1 || g.t < 1) {
    refuse("bt is ", g.n, " x ", g.t, " and at is ", g.m, " x ", problem.at.shape[1],
           ": each must have at least one row and one column");
  }
  if (problem.at.shape[1] != g.n) {
    refuse("at has ", problem.at.shape[1], " columns, must be ", g.n, ", the rows of bt");
  }
  if (g.r < 1) {
    refuse("at has ", g.m, " rows, must be at most ", (g.t - 1) / g.stride + 1, " as bt has ", g.t,
           " columns and the stride is ", g.stride);
  }
  for (std::int64_t a = 0; a < g.n; ++a) {
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < g.t; ++i) sum += std::abs(std::int64_t{problem.bt(a, i)});
    if (sum > kMaxRowSum) {
      refuse("the absolute values of row ", a, " of bt sum to ", sum, ", must be at most ", kMaxRowSum);
    }
  }
}

void check_taps(const char* name, std::int64_t actual, const Geometry& g) {
  if (actual != g.taps()) {
    refuse(name, " has ", actual, " taps, must be ", g.taps(), ", the square of the ", g.n, " rows of bt");
  }
}

void check_columns(const char* name, std::int64_t actual, const char* meaning, std::int64_t expected) {
  if (actual != 1 && actual != expected) {
    refuse(name, " has ", actual, " columns, must be 1 or ", expected, ", the ", meaning);
  }
}

void check_operands(const Geometry& g, const Problem& problem) {
  check_taps("u", problem.u.shape[0], g);
  check_taps("mult", problem.mult.shape[0], g);
  check_taps("scale", problem.scale.shape[0], g);
  if (problem.u.shape[2] != g.channels) {
    refuse("u has ", problem.u.shape[2], " input channels, must be ", g.channels, ", the channels of x");
  }
  check_columns("mult", problem.mult.shape[1], "channels of x", g.channels);
  check_columns("scale", problem.scale.shape[1], "output channels of u", g.filters);
  if (problem.bias && problem.bias->shape[0] != g.filters) {
    refuse("bias has ", problem.bias->shape[0], " values, must be ", g.filters, ", the output channels of u");
  }
  if (problem.v_limit < 1 || problem.v_limit > kMaxVLimit) {
    refuse("v_limit is ", problem.v_limit, ", must be 1..", kMaxVLimit);
  }
  if (problem.fraction_bits < kMinFractionBits || problem.fraction_bits > kMaxFractionBits) {
    refuse("fraction_bits is ", problem.fraction_bits, ", must be ", kMinFractionBits, "..",
           kMaxFractionBits);
  }
  for (std::int64_t tap = 0; tap < g.taps(); ++tap) {
    for (std::int64_t c = 0; c < problem.mult.shape[1]; ++c) {
      const std::int32_t mult = problem.mult(tap, c);
      if (mult < 1 || mult > kMaxMult) {
        refuse("mult[", tap, ", ", c, "] is ", mult, ", must be 1..", kMaxMult);
      }
    }
  }
}

std::int64_t output_extent(const char* axis, std::int64_t input, std::int64_t padding, const Geometry& g) {
  if (padding < 0 || padding > kMaxPadding) {
    refuse("padding of the ", axis, " is ", padding, ", must be 0..", kMaxPadding);
  }
  const std::int64_t padded = input + 2 * padding;
  if (padded < g.r) {
    refuse("the padded ", axis, " is ", padded, ", must be at least ", g.r, ", the size of the kernel");
  }
  return (padded - g.r) / g.stride + 1;
}

}  // namespace

Geometry check(const Problem& problem) {
  Geometry g{};
  g.m = problem.at.shape[0];
  g.n = problem.bt.shape[0];
  g.t = problem.bt.shape[1];
  g.stride = problem.stride;
  if (g.stride < 1 || g.stride > kMaxStride) refuse("stride is ", g.stride, ", must be 1..", kMaxStride);
  g.r = g.t - g.stride * (g.m - 1);
  g.images = problem.x.shape[0];
  g.channels = problem.x.shape[1];
  g.height = problem.x.shape[2];
  g.width = problem.x.shape[3];
  g.filters = problem.u.shape[1];
  check_transforms(g, problem);
  check_operands(g, problem);

  g.pad_top = problem.padding[0];
  g.pad_left = problem.padding[1];
  g.out_height = output_extent("height", g.height, g.pad_top, g);
  g.out_width = output_extent("width", g.width, g.pad_left, g);
  g.rows = (g.out_height - 1) / g.m + 1;
  g.cols = (g.out_width - 1) / g.m + 1;
  element_count(Shape<3>{g.images, g.rows, g.cols});  // so that tiles() cannot overflow
  return g;
}

}  // namespace tilewise::winograd
