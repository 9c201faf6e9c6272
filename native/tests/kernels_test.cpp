// Every convolution kernel of every set against the reference set: odd shapes, extremes, guard bands,
// poisoned outputs and scratch, run twice. Integers and what is made from them must be equal; float kernels
// may fuse, so they are near. With an argument N only every N-th problem is compared, for emulators.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "kernels/set.h"
#include "kernels/winograd/reference.h"
#include "tests/check.h"
#include "tests/kernel_algorithms.h"
#include "tests/kernel_compare.h"

namespace tilewise::testing {
namespace {

void test_direct(Random& random) {
  int turn = 0;
  for (const Shape& shape : kShapes) {
    for (const std::int64_t kernel : {1, 2, 3, 5}) {
      for (const Store& store : kStores) {
        for (const Fill kind : kFills) {
          const std::int64_t stride = 1 + turn % 2, dilation = 1 + turn / 2 % 2, images = 1 + turn % 3;
          const std::int64_t pad = kernel / 2 * dilation + turn % 2;
          const std::int64_t reach = dilation * (kernel - 1) + 1;
          if (shape.height + 2 * pad < reach || shape.width + 2 * pad < reach) continue;
          const Dtype input = kInputs[++turn % 5];
          Memory x(
              tensor(input, shape.height, shape.width, shape.channels, turn % 2 == 0, turn % 3 == 0 ? 4 : 16),
              images, 0);
          fill(x, images, kind, random);
          const TensorRef y =
              tensor(store.dtype, (shape.height + 2 * pad - reach) / stride + 1,
                     (shape.width + 2 * pad - reach) / stride + 1, shape.filters, store.is_signed);
          Memory residual(tensor(kResiduals[turn % 3], y.height, y.width, y.channels, true), images, 0);
          fill(residual, images, Fill::kRandom, random);
          const auto count = static_cast<std::size_t>(shape.filters * kernel * kernel * shape.channels);
          const auto w8 = int8s(count, kind, random);
          const std::int64_t largest = std::max(-x.tensor.grid.low, x.tensor.grid.high);
          const auto w16 =
              int16s(count, 2147483647 / largest / (kernel * kernel * shape.channels), kind, random);
          const auto wf = floats(count, 0.1F, random);
          DirectConv conv{.x = &x.tensor,
                          .y = &y,
                          .window = {kernel, kernel, stride, stride, pad, pad, dilation, dilation},
                          .weight_int8 = {},
                          .weight_int16 = {},
                          .weight_bf16 = {},
                          .weight_f32 = {},
                          .scale = {},
                          .ordered = turn % 2 == 0,
                          .epilogue = epilogue(turn, &residual.tensor, shape.filters, random)};
          std::ostringstream text;
          text << "direct " << kernel << "x" << kernel << " of " << shape.height << "x" << shape.width << "x"
               << shape.channels << " to " << shape.filters << ", turn " << turn;
          const auto wh = bf16s(wf);
          if (input == Dtype::kUint8 || input == Dtype::kInt16) {
            if (input == Dtype::kUint8) conv.weight_int8 = w8;
            if (input == Dtype::kInt16) conv.weight_int16 = w16;
            conv.scale = floats(static_cast<std::size_t>(shape.filters),
                                input == Dtype::kUint8 ? 1e-4F : 1e-8F, random);
            compare(conv, images, 0, text.str());
          } else {
            if (input == Dtype::kBf16) conv.weight_bf16 = wh;
            if (input == Dtype::kFloat32) conv.weight_f32 = wf;
            // Next to a half a rounding error moves an 8-bit result by a step, so float sums are stored as
            // floats.
            if (conv.ordered && input == Dtype::kFloat32)
              compare(conv, images, 0, text.str());
            else if (store.dtype == Dtype::kFloat32)
              compare(conv, images, 1e-5, text.str());
          }
        }
      }
    }
  }
}

FastConv fast_conv(const BilinearCase& algorithm, const TensorRef& x, const TensorRef& y, std::int64_t pad,
                   int turn, Random& random) {
  FastConv conv{.x = &x,
                .y = &y,
                .m = algorithm.m,
                .r = algorithm.r,
                .n = algorithm.n,
                .stride = algorithm.stride,
                .pad_top = pad,
                .pad_left = pad,
                .planar = algorithm.planar,
                .bt = algorithm.bt,
                .at = algorithm.at,
                .integer = true,
                .v_limit = turn % 3 ? 127 : 31,
                .fraction_bits = 15 + (algorithm.wide ? 4 : 0),
                .mult = {},
                .scale = {},
                .u_int8 = {},
                .u_int16 = {},
                .u_bf16 = {},
                .u_f32 = {},
                .epilogue = {}};
  if (turn % 4 == 0) {  // learned transforms: nearly the algorithm's own
    conv.integer = false;
    for (float& v : conv.bt) v += 0.01F * std::normal_distribution<float>()(random);
    for (float& v : conv.at) v += 0.01F * std::normal_distribution<float>()(random);
  }
  const std::int64_t columns = turn % 2 ? 1 : x.channels;
  conv.mult.resize(static_cast<std::size_t>(conv.products() * columns));
  for (auto& mult : conv.mult) mult = std::uniform_int_distribution<std::int32_t>(1, 32767)(random);
  conv.scale = floats(static_cast<std::size_t>(conv.products() * y.channels), 1e-4F, random);
  return conv;
}

// The same for words: integer transforms, more bits of V.
FastConv int16_conv(FastConv conv, const TensorRef& x, int turn) {
  for (float& v : conv.bt) v = std::round(v);
  conv.x = &x;
  conv.integer = true;
  conv.u_int8 = {};
  conv.v_limit = turn % 3 ? 2047 : 32767;
  conv.fraction_bits += turn % 5;
  for (float& v : conv.scale) v *= 1e-4F;
  return conv;
}

std::int64_t out_extent(const BilinearCase& algorithm, std::int64_t in, std::int64_t pad) {
  return (in + 2 * pad - algorithm.r) / algorithm.stride + 1;
}

void test_fast(Random& random) {
  int turn = 0;
  for (const BilinearCase& algorithm : kAlgorithms) {
    for (const Shape& shape : kShapes) {
      for (const Store& store : kStores) {
        const Fill kind = kFills[++turn % 4];
        const std::int64_t pad = algorithm.r / 2 + turn % 2, images = 1 + turn % 3;
        if (std::min(shape.height, shape.width) + 2 * pad < algorithm.r) continue;
        const std::int64_t height = out_extent(algorithm, shape.height, pad),
                           width = out_extent(algorithm, shape.width, pad);
        const TensorRef y = tensor(store.dtype, height, width, shape.filters, store.is_signed);
        Memory residual(tensor(kResiduals[turn % 3], height, width, shape.filters, false), images, 0);
        fill(residual, images, Fill::kRandom, random);
        std::ostringstream text;
        text << algorithm.name << " of " << shape.height << "x" << shape.width << "x" << shape.channels
             << " to " << shape.filters << ", turn " << turn;
        const auto count =
            static_cast<std::size_t>(algorithm.taps() * shape.filters * shape.channels);

        Memory x(tensor(Dtype::kUint8, shape.height, shape.width, shape.channels, turn % 2 == 0), images, 0);
        fill(x, images, kind, random);
        const auto u8 = int8s(count, kind, random);
        FastConv conv = fast_conv(algorithm, x.tensor, y, pad, turn, random);
        conv.u_int8 = u8;
        conv.epilogue = epilogue(turn, &residual.tensor, shape.filters, random);
        compare(conv, images, 0, text.str());

        Memory xw(tensor(Dtype::kInt16, shape.height, shape.width, shape.channels, turn % 2 == 0), images, 0);
        fill(xw, images, kind, random);
        FastConv words = int16_conv(conv, xw.tensor, turn);
        const auto u16 = int16s(count, 2147483647 / words.v_limit / shape.channels, kind, random);
        words.u_int16 = u16;
        compare(words, images, 0, text.str() + ", int16");

        if (store.dtype != Dtype::kFloat32) continue;
        Memory xf(tensor(Dtype::kFloat32, shape.height, shape.width, shape.channels, false), images, 0);
        fill(xf, images, kind, random);
        const auto uf = floats(count, 0.1F, random);
        conv.x = &xf.tensor;
        conv.u_int8 = {};
        conv.u_f32 = uf;
        // The difference is taken relative to the largest sum, which an activation would hide.
        conv.epilogue.low = -std::numeric_limits<float>::infinity();
        conv.epilogue.high = std::numeric_limits<float>::infinity();
        compare(conv, images, 1e-3, text.str() + ", float");
        const auto uh = bf16s(uf);
        conv.u_f32 = {};
        conv.u_bf16 = uh;
        compare(conv, images, 1e-3, text.str() + ", bf16");
      }
    }
  }
}

// The problem of a fast convolution in the reference's terms: NCHW integers.
winograd::Stages reference_stages(const FastConv& conv, std::int64_t images) {
  const TensorRef& x = *conv.x;
  const std::int64_t taps = conv.products(), k = conv.y->channels, t = conv.t();
  Tensor<std::int16_t, 4> q({images, x.channels, x.height, x.width});
  for (std::int64_t image = 0; image < images; ++image) {
    for (std::int64_t c = 0; c < x.channels; ++c) {
      for (std::int64_t pixel = 0; pixel < x.pixels(); ++pixel) {
        const std::int64_t at = (image * x.pixels() + pixel) * x.stride + c;
        const int stored = x.dtype == Dtype::kInt16 ? reinterpret_cast<const std::int16_t*>(x.data)[at]
                                                    : std::to_integer<int>(x.data[at]);
        q.view()(image, c, pixel / x.width, pixel % x.width) =
            static_cast<std::int16_t>(stored - x.grid.zero);
      }
    }
  }
  Tensor<std::int16_t, 3> u({taps, k, x.channels});
  std::copy(conv.u_int8.begin(), conv.u_int8.end(), u.values.begin());
  std::copy(conv.u_int16.begin(), conv.u_int16.end(), u.values.begin());
  Tensor<std::int32_t, 2> bt({conv.n, t}), mult({taps, static_cast<std::int64_t>(conv.mult.size()) / taps});
  std::transform(conv.bt.begin(), conv.bt.end(), bt.values.begin(),
                 [](float v) { return static_cast<std::int32_t>(v); });
  mult.values = conv.mult;
  Tensor<float, 2> at({conv.m, conv.n}), scale({taps, k});
  at.values = conv.at;
  scale.values = conv.scale;
  return winograd::convolve({std::as_const(q).view(),
                             std::as_const(u).view(),
                             std::as_const(bt).view(),
                             std::as_const(mult).view(),
                             std::as_const(at).view(),
                             std::as_const(scale).view(),
                             std::nullopt,
                             conv.stride,
                             {conv.pad_top, conv.pad_left},
                             conv.v_limit,
                             conv.fraction_bits});
}

void compare_stages(const KernelSet& set, const BilinearCase& algorithm, Dtype dtype, std::int64_t channels,
                    Fill kind, Random& random) {
  if (algorithm.planar || !takes_next_problem()) return;
  constexpr std::int64_t kImages = 2, kFilters = 15;
  const std::int64_t pad = algorithm.r / 2;
  const bool words = dtype == Dtype::kInt16;
  Memory x(tensor(dtype, 9, 14, channels, kind == Fill::kRandom), kImages, 0);
  fill(x, kImages, kind, random);
  Memory y(
      tensor(Dtype::kFloat32, out_extent(algorithm, 9, pad), out_extent(algorithm, 14, pad), kFilters, false),
      kImages, 0);
  FastConv conv = fast_conv(algorithm, x.tensor, y.tensor, pad, 1, random);
  if (words) conv = int16_conv(conv, x.tensor, 1);
  const auto count = static_cast<std::size_t>(algorithm.taps() * kFilters * channels);
  const auto u8 = int8s(count, kind, random);
  const auto u16 = int16s(count, 2147483647 / conv.v_limit / channels, kind, random);
  if (words) conv.u_int16 = u16;
  if (!words) conv.u_int8 = u8;
  conv.epilogue.bias.assign(kFilters, 0.0F);
  const winograd::Stages expected = reference_stages(conv, kImages);
  const std::unique_ptr<Op> op = make(set, conv);
  const StageLayout at = op->stages();
  std::vector<std::int32_t> scratch((op->scratch_bytes() + kSlack) / 4 + 16);
  const Call call{kImages};
  const std::string text = std::string(algorithm.name) + " stages by " + set.name;
  const std::int64_t tiles = expected.v.shape[2];
  for (std::int64_t task = 0; at.tiles > 0 && task < op->tasks(call); ++task) {
    auto* const bytes = reinterpret_cast<std::byte*>(scratch.data());
    op->run(call, task, task + 1, bytes, nullptr);
    // One thread: a task is a block with all its panels, of which the last one's sums are left.
    const std::int64_t first = task * tiles / op->tasks(call), end = (task + 1) * tiles / op->tasks(call);
    const std::int64_t begin = kFilters / at.panel * at.panel;
    for (std::int64_t tile = 0; tile < end - first; ++tile) {
      for (std::int64_t tap = 0; tap < algorithm.taps(); ++tap) {
        for (std::int64_t c = 0; c < channels; ++c) {
          const std::int64_t where = at.v + tap * at.v_tap + tile * at.v_tile + c;
          const int v = words ? reinterpret_cast<const std::int16_t*>(bytes)[where]
                              : std::to_integer<int>(bytes[where]) - 128;
          CHECK(v == expected.vq.view()(tap, c, first + tile), text);
        }
        for (std::int64_t k = begin; k < std::min(begin + at.panel, kFilters); ++k) {
          const std::int64_t where = at.m + tap * at.m_tap + tile * at.m_tile +
                                     (k - begin) / at.m_tap * at.m_vector + (k - begin) % at.m_tap;
          const std::int32_t m = scratch[static_cast<std::size_t>(where)];
          CHECK(m == expected.m.view()(tap, k, first + tile), text);
        }
      }
    }
  }
  CHECK(at.tiles > 0 || std::string(set.name) == "reference", text);
}

// V and M themselves, integer for integer, against kernels/winograd/reference.h, tile by tile.
void test_stages(Random& random) {
  for (const KernelSet* const set : kernel_sets()) {
    if (!set->supported()) continue;
    for (const BilinearCase& algorithm : kAlgorithms) {
      for (const std::int64_t channels : {1, 5, 33}) {
        for (const Fill kind : kFills) {
          compare_stages(*set, algorithm, Dtype::kUint8, channels, kind, random);
          // V of words by a wide algorithm leaves the reference's int32.
          if (!algorithm.wide) compare_stages(*set, algorithm, Dtype::kInt16, channels, kind, random);
        }
      }
    }
  }
}

// Images of two sizes, and where their results go.
struct TwoSizes {
  Memory x[2];
  TensorRef y[2];

  TwoSizes(Dtype dtype, std::int64_t channels, std::int64_t filters, Random& random)
      : x{Memory(tensor(dtype, 5, 9, channels, true), 1, 0), Memory(tensor(dtype, 14, 8, channels, true), 1, 0)} {
    for (int i = 0; i < 2; ++i) {
      fill(x[i], 1, Fill::kRandom, random);
      y[i] = tensor(Dtype::kFloat32, x[i].tensor.height, x[i].tensor.width, filters, false);
    }
  }

  template <typename Conv>
  Conv second(Conv conv) const {
    conv.x = &x[1].tensor, conv.y = &y[1];
    return conv;
  }
};

constexpr std::int64_t kSharedChannels = 19, kSharedFilters = 35;

void test_shared_direct(Random& random) {
  const auto count = static_cast<std::size_t>(kSharedFilters * 9 * kSharedChannels);
  const auto w8 = int8s(count, Fill::kRandom, random);
  const auto w16 = int16s(count, 2000, Fill::kRandom, random);
  const auto wf = floats(count, 0.1F, random);
  const auto wh = bf16s(wf);
  const std::vector<std::int8_t> no8(count);
  const std::vector<std::int16_t> no16(count);
  const std::vector<std::uint16_t> noh(count);
  const std::vector<float> nof(count);
  for (const Dtype dtype : {Dtype::kUint8, Dtype::kInt16, Dtype::kBf16, Dtype::kFloat32}) {
    const TwoSizes sizes(dtype, kSharedChannels, kSharedFilters, random);
    DirectConv conv{};
    conv.x = &sizes.x[0].tensor, conv.y = &sizes.y[0];
    conv.window = {.height = 3, .width = 3, .pad_top = 1, .pad_left = 1};
    conv.epilogue = epilogue(0, nullptr, kSharedFilters, random);
    if (dtype == Dtype::kUint8) conv.weight_int8 = w8;
    if (dtype == Dtype::kInt16) conv.weight_int16 = w16;
    if (dtype == Dtype::kBf16) conv.weight_bf16 = wh;
    if (dtype == Dtype::kFloat32) conv.weight_f32 = wf;
    if (!conv.weight_int8.empty() || !conv.weight_int16.empty())
      conv.scale = floats(static_cast<std::size_t>(kSharedFilters), 1e-4F, random);
    const auto without = [&](DirectConv& c) {
      if (!c.weight_int8.empty()) c.weight_int8 = no8;
      if (!c.weight_int16.empty()) c.weight_int16 = no16;
      if (!c.weight_bf16.empty()) c.weight_bf16 = noh;
      if (!c.weight_f32.empty()) c.weight_f32 = nof;
    };
    compare_shared(conv, sizes.second(conv), without, "direct of dtype " + std::to_string(static_cast<int>(dtype)));
  }
}

void test_shared_fast(Random& random) {
  for (const BilinearCase& algorithm : {kAlgorithms[1], kAlgorithms[3], kAlgorithms[12]}) {
    const auto count = static_cast<std::size_t>(algorithm.taps() * kSharedFilters * kSharedChannels);
    const auto u8 = int8s(count, Fill::kRandom, random);
    const auto u16 = int16s(count, 2147483647 / 32767 / kSharedChannels, Fill::kRandom, random);
    const auto uf = floats(count, 0.1F, random);
    const auto uh = bf16s(uf);
    const std::vector<std::int8_t> no8(count);
    const std::vector<std::int16_t> no16(count);
    const std::vector<std::uint16_t> noh(count);
    const std::vector<float> nof(count);
    for (const Dtype type : {Dtype::kUint8, Dtype::kInt16, Dtype::kBf16, Dtype::kFloat32}) {  // of what is multiplied
      const Dtype input = type == Dtype::kBf16 ? Dtype::kFloat32 : type;
      const TwoSizes sizes(input, kSharedChannels, kSharedFilters, random);
      FastConv conv = fast_conv(algorithm, sizes.x[0].tensor, sizes.y[0], 1, 1, random);
      conv.epilogue = epilogue(0, nullptr, kSharedFilters, random);
      if (type == Dtype::kUint8) conv.u_int8 = u8;
      if (type == Dtype::kInt16) conv = int16_conv(conv, sizes.x[0].tensor, 1), conv.u_int16 = u16;
      if (type == Dtype::kBf16) conv.u_bf16 = uh;
      if (type == Dtype::kFloat32) conv.u_f32 = uf;
      const auto without = [&](FastConv& c) {
        if (!c.u_int8.empty()) c.u_int8 = no8;
        if (!c.u_int16.empty()) c.u_int16 = no16;
        if (!c.u_bf16.empty()) c.u_bf16 = noh;
        if (!c.u_f32.empty()) c.u_f32 = nof;
      };
      compare_shared(conv, sizes.second(conv), without, std::string(algorithm.name) + " of dtype " + std::to_string(static_cast<int>(type)));
    }
  }
}

}  // namespace
}  // namespace tilewise::testing

int main(int count, char** arguments) {
  if (count > 1) tilewise::testing::share = std::max(1, std::atoi(arguments[1]));
  tilewise::testing::Random random(20201);
  tilewise::testing::test_direct(random);
  tilewise::testing::test_fast(random);
  tilewise::testing::test_stages(random);
  tilewise::testing::test_shared_direct(random);
  tilewise::testing::test_shared_fast(random);
  for (const tilewise::KernelSet* const set : tilewise::kernel_sets()) {
    std::cout << set->name << (set->supported() ? ": compared\n" : ": not supported here\n");
  }
}
