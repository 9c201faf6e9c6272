#include "training/step.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "base/check.h"
#include "training/parallel.h"

namespace tilewise::training {
namespace {

constexpr ValueRange kNothing{std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity()};

// Of both; what is not a number stays so.
ValueRange merged(const ValueRange& a, const ValueRange& b) {
  if (std::isnan(a.low)) return a;
  if (std::isnan(b.low)) return b;
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

// Scratch memory, one per calling thread, which keeps the largest size that was asked for: fresh pages cost
// more than some layers' arithmetic. Each share begins at a page of its own.
class Workspace {
 public:
  static Workspace& of_this_thread() {
    thread_local Workspace workspace;
    return workspace;
  }

  Workspace() = default;
  ~Workspace() { ::operator delete(data_, kPage); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Forgets what lies there.
  void reserve(std::size_t bytes) {
    used_ = 0;
    if (bytes <= size_) return;
    ::operator delete(data_, kPage);
    data_ = nullptr, size_ = 0;
    data_ = static_cast<std::byte*>(::operator new(bytes, kPage));
    size_ = bytes;
  }
  std::byte* take(std::size_t bytes) {
    std::byte* const place = data_ + used_;
    used_ += rounded(bytes);
    return place;
  }
  static std::size_t rounded(std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

 private:
  static constexpr std::align_val_t kPage{4096};
  std::byte* data_ = nullptr;
  std::size_t size_ = 0, used_ = 0;
};

int shares_of(std::int64_t count, int threads) {
  return static_cast<int>(std::clamp<std::int64_t>(count, 1, threads));
}

std::size_t floats(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

void make_weights(const TrainingKernels& kernels, const TrainingConv& conv, const Forward& call,
                  int threads) {
  const std::int64_t groups = padded_channels(conv.filters) / 16;
  const int shares = shares_of(groups, threads);
  const std::size_t each = Workspace::rounded(kernels.weights_scratch(conv));
  Workspace& workspace = Workspace::of_this_thread();
  workspace.reserve(each * static_cast<std::size_t>(shares));
  std::byte* const scratch = workspace.take(0);
  parallel(shares, [&](int share) {
    const Part part = part_of(groups, share, shares);
    kernels.weights(conv, call.weight, call.u, call.scale, part.begin, part.end,
                    scratch + each * static_cast<std::size_t>(share));
  });
}

// The gradients of the three matrices in one share.
struct Matrices {
  std::vector<float> at, g, bt;

  explicit Matrices(const TrainingConv& conv)
      : at(static_cast<std::size_t>(conv.m * conv.n)),
        g(static_cast<std::size_t>(conv.n * conv.r)),
        bt(static_cast<std::size_t>(conv.n * conv.t())) {}
};

void sum_up(const std::vector<Matrices>& parts, std::vector<float> Matrices::* which, float* to) {
  const std::size_t count = (parts.front().*which).size();
  std::fill_n(to, count, 0.0F);
  for (const Matrices& part : parts)
    for (std::size_t i = 0; i < count; ++i) to[i] += (part.*which)[i];
}

}  // namespace

Multipliers multipliers(std::span<const float> v_range, std::span<const float> balance,
                        const TrainingConv& conv, float input_step, int fraction_bits) {
  Multipliers result{std::vector<float>(v_range.size()), std::vector<float>(v_range.size())};
  const auto channels = static_cast<std::size_t>(conv.channels);
  const float unit = std::ldexp(1.0F, fraction_bits);
  for (std::size_t begin = 0; begin < v_range.size(); begin += channels) {
    float widest = 0;
    for (std::size_t i = begin; i < begin + channels; ++i) widest = std::max(widest, v_range[i] / balance[i]);
    for (std::size_t i = begin; i < begin + channels; ++i) {
      const float step = std::max(widest * balance[i], 1e-30F) / conv.v_limit;
      result.mult[i] = std::clamp(std::floor(input_step / step * unit), 1.0F, 32767.0F) / unit;
      result.v_step[i] = input_step / result.mult[i];
    }
  }
  return result;
}

const TrainingKernels& kernels(const KernelSet& set, const TrainingConv& conv) {
  const TrainingKernels* const found =
      set.training.find == nullptr ? nullptr : set.training.find(conv.m, conv.r, conv.n);
  if (found == nullptr) {
    refuse("the kernel set ", set.name, " trains no algorithm of m = ", conv.m, ", r = ", conv.r,
           ", n = ", conv.n);
  }
  return *found;
}

void forward(const TrainingKernels& kernels, const TrainingConv& conv, const Forward& call, int threads) {
  make_weights(kernels, conv, call, threads);
  const int shares = shares_of(conv.images, threads);
  const std::int64_t values = conv.taps() * conv.channels;
  const std::size_t each = Workspace::rounded(kernels.forward_scratch(conv));
  const std::size_t range_bytes = Workspace::rounded(floats(values));
  Workspace& workspace = Workspace::of_this_thread();
  workspace.reserve((each + range_bytes) * static_cast<std::size_t>(shares));
  std::vector<std::byte*> scratch;
  std::vector<float*> absmax;
  for (int share = 0; share < shares; ++share) {
    scratch.push_back(workspace.take(each));
    absmax.push_back(reinterpret_cast<float*>(workspace.take(range_bytes)));
  }
  std::vector<ValueRange> ranges(static_cast<std::size_t>(shares), kNothing);
  parallel(shares, [&](int share) {
    const Part part = part_of(conv.images, share, shares);
    const auto i = static_cast<std::size_t>(share);
    std::fill_n(absmax[i], values, 0.0F);
    kernels.forward(conv, {call.x, call.u, call.scale, call.bias, call.y, absmax[i], &ranges[i]}, part.begin,
                    part.end, scratch[i]);
  });
  std::fill_n(call.v_absmax, values, 0.0F);
  *call.range = kNothing;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    for (std::int64_t j = 0; j < values; ++j) call.v_absmax[j] = std::max(call.v_absmax[j], absmax[i][j]);
    *call.range = merged(*call.range, ranges[i]);
  }
}

void backward(const TrainingKernels& kernels, const TrainingConv& conv, const Backward& call, int threads) {
  const bool learned = call.dat != nullptr, need_du = call.dweight.data != nullptr;
  const int shares = shares_of(conv.images, threads);
  const std::size_t each = Workspace::rounded(kernels.backward_scratch(conv));
  const auto transposed_bytes = static_cast<std::size_t>(conv.transposed_bytes());
  const std::size_t du_bytes =
      need_du ? Workspace::rounded(floats(conv.taps() * conv.filters * padded_channels(conv.channels))) : 0;
  Workspace& workspace = Workspace::of_this_thread();
  workspace.reserve((each + du_bytes) * static_cast<std::size_t>(shares) +
                    Workspace::rounded(transposed_bytes));
  auto* const transposed = reinterpret_cast<std::uint8_t*>(workspace.take(transposed_bytes));
  std::vector<std::byte*> scratch;
  std::vector<float*> du;
  for (int share = 0; share < shares; ++share) {
    scratch.push_back(workspace.take(each));
    du.push_back(need_du ? reinterpret_cast<float*>(workspace.take(du_bytes)) : nullptr);
  }
  std::vector<Matrices> matrices(static_cast<std::size_t>(threads), Matrices(conv));

  const int tap_shares = shares_of(conv.taps(), threads);
  parallel(tap_shares, [&](int share) {
    const Part part = part_of(conv.taps(), share, tap_shares);
    kernels.transpose(conv, call.u, transposed, part.begin, part.end);
  });
  parallel(shares, [&](int share) {
    const Part part = part_of(conv.images, share, shares);
    const auto i = static_cast<std::size_t>(share);
    kernels.backward(conv,
                     {call.x, call.u, transposed, call.scale, call.dy, call.dx, du[i],
                      learned ? matrices[i].at.data() : nullptr, learned ? matrices[i].bt.data() : nullptr},
                     part.begin, part.end, scratch[i]);
  });
  if (need_du) {
    const std::vector<const float*> parts(du.begin(), du.end());
    const int filter_shares = shares_of(conv.filters, threads);
    parallel(filter_shares, [&](int share) {
      const Part part = part_of(conv.filters, share, filter_shares);
      float* const dg = learned ? matrices[static_cast<std::size_t>(share)].g.data() : nullptr;
      kernels.weights_backward(conv, {call.weight, call.scale, parts, call.dweight, dg}, part.begin,
                               part.end);
    });
  }
  if (!learned) return;
  sum_up(matrices, &Matrices::at, call.dat);
  sum_up(matrices, &Matrices::g, call.dg);
  sum_up(matrices, &Matrices::bt, call.dbt);
}

namespace {

// Vectors are whole in all shares but the last.
Part piece(std::int64_t count, int share, int shares) {
  constexpr std::int64_t kStep = 64;
  const Part part = part_of((count + kStep - 1) / kStep, share, shares);
  return {std::min(count, part.begin * kStep), std::min(count, part.end * kStep)};
}

// Threads for elements: waking one takes as long as some thousand elements.
int element_shares(std::int64_t count, int threads) { return shares_of(count / 16384, threads); }

}  // namespace

ValueRange quantize(const KernelSet& set, const InputGrid& grid, float step, const float* x, float* q,
                    std::int64_t count, int threads) {
  const int shares = element_shares(count, threads);
  std::vector<ValueRange> ranges(static_cast<std::size_t>(shares), kNothing);
  parallel(shares, [&](int share) {
    const Part part = piece(count, share, shares);
    ranges[static_cast<std::size_t>(share)] =
        set.training.quantize(grid, step, x + part.begin, q + part.begin, part.end - part.begin);
  });
  ValueRange all = kNothing;
  for (const ValueRange& range : ranges) all = merged(all, range);
  return all;
}

void quantize_backward(const KernelSet& set, const InputGrid& grid, float gradient, const float* x,
                       const float* dq, float* dx, std::int64_t count, int threads) {
  const int shares = element_shares(count, threads);
  parallel(shares, [&](int share) {
    const Part part = piece(count, share, shares);
    set.training.quantize_backward(grid, gradient, x + part.begin, dq + part.begin, dx + part.begin,
                                   part.end - part.begin);
  });
}

}  // namespace tilewise::training
