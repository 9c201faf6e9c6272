// The light operations of every kernel set against naive loops, bit for bit: odd shapes, every pair of
// formats, lanes beyond the channels, guard bands.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/op.h"
#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace tilewise::testing {
namespace {

constexpr std::int64_t kImages = 2;
constexpr std::int64_t kChannels[] = {1, 3, 15, 16, 17, 33};
constexpr std::pair<std::int64_t, std::int64_t> kSizes[] = {{1, 1}, {3, 7}, {17, 4}};

// Which pixel and channel a value belongs to.
struct Place {
  std::int64_t image, row, col, channel;
};
// The value of an operation's output at a place, as a real number. None: not written.
using Formula = std::function<std::optional<float>(const Place&)>;

std::size_t position(const TensorRef& t, const Place& p) {
  return static_cast<std::size_t>(((p.image * t.height + p.row) * t.width + p.col) * t.stride + p.channel);
}

int stored(const TensorRef& t, std::size_t at) {
  if (t.dtype == Dtype::kBf16) return reinterpret_cast<const std::uint16_t*>(t.data)[at];
  if (t.dtype == Dtype::kInt16) return reinterpret_cast<const std::int16_t*>(t.data)[at];
  return std::to_integer<int>(t.data[at]);
}

float real(const TensorRef& t, const Place& p) {
  const std::size_t at = position(t, p);
  if (t.dtype == Dtype::kFloat32) return reinterpret_cast<const float*>(t.data)[at];
  return static_cast<float>(stored(t, at) - t.grid.zero) * t.grid.step;
}

int quantized(const Grid& grid, float y) {
  const float q = std::floor(y * grid.factor + 0.5f);
  return static_cast<int>(std::clamp(q, static_cast<float>(grid.low), static_cast<float>(grid.high)));
}

bool holds(const TensorRef& t, const Place& p, float expected) {
  const std::size_t at = position(t, p);
  if (t.dtype == Dtype::kFloat32) return reinterpret_cast<const float*>(t.data)[at] == expected;
  if (t.dtype == Dtype::kBf16) return stored(t, at) == bf16(expected);
  return stored(t, at) == quantized(t.grid, expected) + t.grid.zero;
}

// Every value is what the formula says, every lane beyond the channels zero, and what it leaves out
// untouched.
void check_output(const Memory& y, unsigned char untouched, const Formula& formula, const std::string& text) {
  const TensorRef& t = y.tensor;
  CHECK(y.guards_intact(), text);
  const std::size_t size = t.element_bytes();
  const std::vector<std::byte> pattern(size, std::byte{untouched});
  for (std::int64_t i = 0; i < kImages * t.pixels() * t.stride; ++i) {
    const Place p{i / t.stride / t.pixels(), i / t.stride / t.width % t.height, i / t.stride % t.width,
                  i % t.stride};
    const std::optional<float> expected = p.channel < t.channels ? formula(p) : std::optional(0.0f);
    const bool skipped = std::memcmp(t.data + static_cast<std::size_t>(i) * size, pattern.data(), size) == 0;
    CHECK(expected ? holds(t, p, *expected) : skipped, text + " at value " + std::to_string(i));
  }
}

void run(const Op& op, const Call& call) {
  const std::int64_t tasks = op.tasks(call), middle = tasks / 2;
  CHECK(op.scratch_bytes() == 0, "light operations need no scratch");
  op.run(call, 0, middle, nullptr, nullptr);
  op.run(call, middle, tasks, nullptr, nullptr);
}

// Calls function(set, name of the set) for all that this machine has.
template <typename Function>
void for_sets(const Function& function) {
  for (const KernelSet* const set : kernel_sets()) {
    if (set->supported()) function(*set, std::string(set->name));
  }
}

// Float, unsigned bytes, signed bytes, bytes of another step, and words; bf16, which few write and none
// reads.
TensorRef shaped(int format, std::int64_t height, std::int64_t width, std::int64_t channels,
                 std::int64_t multiple = 16) {
  constexpr Dtype kDtypes[] = {Dtype::kFloat32, Dtype::kUint8, Dtype::kUint8,
                               Dtype::kUint8,   Dtype::kInt16, Dtype::kBf16};
  const Dtype dtype = kDtypes[format];
  TensorRef t = tensor(dtype, height, width, channels, format % 2 == 0, multiple);
  if (format == 3) t.grid = {0.013f, 1 / 0.013f, 0, 15, 0};
  return t;
}
constexpr int kFormats[] = {0, 1, 2, 3, 4};
constexpr int kBf16 = 5;

Memory filled(const TensorRef& like, Random& random) {
  Memory memory(like, kImages, 0);
  fill(memory, kImages, Fill::kRandom, random);
  return memory;
}

// Calls function(x's format, y's format, channels, text).
template <typename Function>
void for_formats(const char* name, const Function& function, bool writes_bf16 = false) {
  for (const int from : kFormats) {
    for (int to = 0; to < (writes_bf16 ? kBf16 + 1 : kBf16); ++to) {
      for (const std::int64_t channels : kChannels) {
        function(from, to, channels,
                 std::string(name) + " from format " + std::to_string(from) + " to " + std::to_string(to) +
                     ", " + std::to_string(channels) + " channels");
      }
    }
  }
}

void test_eltwise() {
  Random random(1);
  for_formats(
      "eltwise",
      [&](int from, int to, std::int64_t channels, const std::string& text) {
        for (int options = 0; options < 8; ++options) {
          const auto [height, width] = kSizes[options % 3];
          const Memory x = filled(shaped(from, height, width, channels, channels < 4 ? 4 : 16), random);
          const Memory added = filled(shaped(options % 4, height, width, channels), random);
          Memory y(shaped(to, height, width, channels), kImages, 0xFF);
          Eltwise eltwise{.x = &x.tensor, .y = &y.tensor, .scale = {}, .epilogue = {}};
          if (options & 1) eltwise.scale = floats(static_cast<std::size_t>(channels), 1, random);
          if (options & 2) eltwise.epilogue.bias = floats(static_cast<std::size_t>(channels), 1, random);
          if (options & 4)
            eltwise.epilogue.residual = &added.tensor, eltwise.epilogue.low = 0, eltwise.epilogue.high = 1;
          const auto formula = [&](const Place& p) {
            const auto c = static_cast<std::size_t>(p.channel);
            float v = real(x.tensor, p);
            if (options & 1) v = v * eltwise.scale[c];
            if (options & 2) v = v + eltwise.epilogue.bias[c];
            if (options & 4) v = v + real(added.tensor, p);
            return std::optional(std::min(std::max(v, eltwise.epilogue.low), eltwise.epilogue.high));
          };
          for_sets([&](const KernelSet& set, const std::string& by) {
            run(*set.eltwise(eltwise), {.images = kImages});
            check_output(y, 0xFF, formula, text + " by " + by);
          });
        }
      },
      true);
}

std::vector<Pool::Span> windows(std::int64_t in, std::int64_t size, std::int64_t step, std::int64_t pad) {
  std::vector<Pool::Span> spans;
  for (std::int64_t begin = -pad; begin + size <= in + pad || spans.empty(); begin += step) {
    const std::int64_t first = std::max<std::int64_t>(begin, 0);
    spans.push_back({first, std::max(first + 1, std::min(begin + size, in))});
  }
  return spans;
}

void test_pool() {
  Random random(2);
  for_formats("pool", [&](int from, int to, std::int64_t channels, const std::string& text) {
    for (int options = 0; options < 6; ++options) {
      const auto [height, width] = kSizes[options / 2];
      const Memory x = filled(shaped(from, height, width, channels), random);
      Pool pool{
          .x = &x.tensor, .y = nullptr, .maximum = options % 2 == 0, .rows = {}, .cols = {}, .divisor = 0};
      pool.rows = windows(height, 3, 2, 1), pool.cols = windows(width, 2, 1, 0);
      if (options == 3) pool.divisor = 6;
      Memory y(shaped(to, static_cast<std::int64_t>(pool.rows.size()),
                      static_cast<std::int64_t>(pool.cols.size()), channels),
               kImages, 0xFF);
      pool.y = &y.tensor;
      const auto formula = [&](const Place& p) {
        const Pool::Span rows = pool.rows[static_cast<std::size_t>(p.row)];
        const Pool::Span cols = pool.cols[static_cast<std::size_t>(p.col)];
        float best = -std::numeric_limits<float>::infinity(), sum = 0;
        int steps = 0;
        for (std::int64_t i = rows.begin; i < rows.end; ++i) {
          for (std::int64_t j = cols.begin; j < cols.end; ++j) {
            const Place at{p.image, i, j, p.channel};
            best = std::max(best, real(x.tensor, at));
            sum += real(x.tensor, at);
            steps += stored(x.tensor, position(x.tensor, at)) - x.tensor.grid.zero;
          }
        }
        const std::int64_t count = (rows.end - rows.begin) * (cols.end - cols.begin);
        const float reciprocal = 1.0f / static_cast<float>(pool.divisor ? pool.divisor : count);
        if (from != 0) sum = static_cast<float>(steps) * x.tensor.grid.step;
        return std::optional(pool.maximum ? best : sum * reciprocal);
      };
      for_sets([&](const KernelSet& set, const std::string& by) {
        run(*set.pool(pool), {.images = kImages});
        check_output(y, 0xFF, formula, text + " by " + by);
      });
    }
  });
}

void test_gather() {
  Random random(3);
  for_formats("gather", [&](int from, int to, std::int64_t channels, const std::string& text) {
    for (const bool clear : {false, true}) {
      const Memory x = filled(shaped(from, 3, 5, channels, channels < 4 ? 4 : 16), random);
      Memory y(shaped(to, 4, 6, channels + 6), kImages, 0xFF);
      const Gather gather{.x = &x.tensor,
                          .y = &y.tensor,
                          .rows = {2, -1, 0, 2},
                          .cols = {4, 4, -1, 0, 1, 3},
                          .first = 5,
                          .clear = clear};
      const auto formula = [&](const Place& p) -> std::optional<float> {
        const std::int64_t row = gather.rows[static_cast<std::size_t>(p.row)];
        const std::int64_t col = gather.cols[static_cast<std::size_t>(p.col)];
        const bool ours = p.channel >= 5 && p.channel < 5 + channels;
        return ours && row >= 0 && col >= 0 ? real(x.tensor, {p.image, row, col, p.channel - 5}) : 0;
      };
      for_sets([&](const KernelSet& set, const std::string& by) {
        std::memset(y.tensor.data, 0xFF, y.contents().size());
        if (!clear) {  // another part of the concatenation does
          const Memory other = filled(shaped(to, 1, 1, 1), random);
          const std::vector<std::int64_t> rows(4, -1), cols(6, -1);
          run(*set.gather({.x = &other.tensor,
                           .y = &y.tensor,
                           .rows = rows,
                           .cols = cols,
                           .first = 0,
                           .clear = true}),
              {.images = kImages});
        }
        run(*set.gather(gather), {.images = kImages});
        check_output(y, 0xFF, formula, text + " by " + by);
      });
    }
  });
}

void test_gather_keeps_other_channels() {
  Random random(4);
  for (const int format : kFormats) {
    const Memory x = filled(shaped(format, 2, 2, 3), random);
    Memory y(shaped(format, 2, 2, 16), kImages, 0xFF);
    const Gather gather{
        .x = &x.tensor, .y = &y.tensor, .rows = {0, 1}, .cols = {1, 0}, .first = 8, .clear = false};
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.gather(gather), {.images = kImages});
      const auto formula = [&](const Place& p) -> std::optional<float> {
        if (p.channel < 8 || p.channel >= 11) return std::nullopt;
        return real(x.tensor, {p.image, p.row, 1 - p.col, p.channel - 8});
      };
      check_output(y, 0xFF, formula, "gather without clear by " + by);
    });
  }
}

void test_pixel_shuffle() {
  Random random(5);
  for (const int format : kFormats) {
    for (const std::int64_t channels : {1, 3, 17}) {
      for (const std::int64_t f : {1, 2, 3}) {
        const Memory x = filled(shaped(format, 3, 2, channels * f * f), random);
        Memory y(shaped(format, 3 * f, 2 * f, channels), kImages, 0xFF);
        const PixelShuffle shuffle{.x = &x.tensor, .y = &y.tensor, .factor = f};
        const auto formula = [&](const Place& p) {
          const std::int64_t source = p.channel * f * f + p.row % f * f + p.col % f;
          return std::optional(real(x.tensor, {p.image, p.row / f, p.col / f, source}));
        };
        for_sets([&](const KernelSet& set, const std::string& by) {
          run(*set.pixel_shuffle(shuffle), {.images = kImages});
          check_output(y, 0xFF, formula, "pixel shuffle by " + by);
        });
      }
    }
  }
}

void test_resize() {
  Random random(6);
  for_formats("resize", [&](int from, int to, std::int64_t channels, const std::string& text) {
    const Memory x = filled(shaped(from, 3, 4, channels), random);
    Memory y(shaped(to, 4, 3, channels), kImages, 0xFF);
    const Resize resize{.x = &x.tensor,
                        .y = &y.tensor,
                        .rows = {{0, 1, 0.25f}, {1, 2, 0.7f}, {2, 2, 0}, {0, 2, 1}},
                        .cols = {{0, 1, 0.1f}, {3, 3, 0.5f}, {1, 2, 0.9f}}};
    const auto formula = [&](const Place& p) {
      const Resize::Tap r = resize.rows[static_cast<std::size_t>(p.row)],
                        c = resize.cols[static_cast<std::size_t>(p.col)];
      const auto at = [&](std::int64_t i, std::int64_t j) {
        return real(x.tensor, {p.image, i, j, p.channel});
      };
      const float upper = (1 - c.weight) * at(r.low, c.low) + c.weight * at(r.low, c.high);
      const float lower = (1 - c.weight) * at(r.high, c.low) + c.weight * at(r.high, c.high);
      return std::optional((1 - r.weight) * upper + r.weight * lower);
    };
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.resize(resize), {.images = kImages});
      check_output(y, 0xFF, formula, text + " by " + by);
    });
  });
}

void test_import_and_export() {
  Random random(7);
  for (int format = 0; format <= kBf16; ++format) {
    for (const std::int64_t channels : kChannels) {
      for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {2, 35}}) {
        Memory y(shaped(format, height, width, channels, channels == 3 ? 4 : 16), kImages, 0xFF);
        const auto count = static_cast<std::size_t>(kImages * channels * height * width);
        std::vector<float> input = floats(count, 3, random), output(count);
        if (format != 0 &&
            format != kBf16) {  // what no grid holds is clamped; no conversion of it is undefined
          input[0] = std::numeric_limits<float>::infinity();
          input[count - 1] = -1e30f;
        }
        const auto value = [&](const Place& p) {
          return input[static_cast<std::size_t>(((p.image * channels + p.channel) * height + p.row) * width +
                                                p.col)];
        };
        for_sets([&](const KernelSet& set, const std::string& by) {
          const Call call{.images = kImages, .input = input.data(), .output = output.data()};
          run(*set.import_nchw({.y = &y.tensor}), call);
          check_output(y, 0xFF, [&](const Place& p) { return std::optional(value(p)); }, "import by " + by);
          if (format == kBf16) return;
          run(*set.export_nchw({.x = &y.tensor}), call);
          for (std::size_t i = 0; i < count; ++i) {
            const auto n = static_cast<std::int64_t>(i);
            const Place p{n / width / height / channels, n / width % height, n % width,
                          n / width / height % channels};
            CHECK(output[i] == real(y.tensor, p), "export by " + by);
          }
        });
      }
    }
  }
}

// The lowest value of the grid takes the place of what is not a number.
void test_nan() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const int format : {1, 2, 4}) {
    Memory y(shaped(format, 1, 1, 1), kImages, 0xFF);
    const float input[] = {nan, -nan};
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.import_nchw({.y = &y.tensor}), {.images = kImages, .input = input});
      CHECK(stored(y.tensor, 0) == y.tensor.grid.low + y.tensor.grid.zero, by);
    });
  }
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  test_eltwise();
  test_pool();
  test_gather();
  test_gather_keeps_other_channels();
  test_pixel_shuffle();
  test_resize();
  test_import_and_export();
  test_nan();
  std::cout << "light_ops: passed\n";
}
