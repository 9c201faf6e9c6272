#include "engine/plan.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/checks.h"

namespace tilewise {
namespace {

constexpr std::int64_t kNone = -1;

template <typename T, std::size_t Rank>
std::vector<T> copy(const TensorView<const T, Rank>& view) {
  return std::vector<T>(view.data, view.data + element_count(view.shape));
}

template <typename T, std::size_t Rank>
std::vector<T> copy(const std::optional<TensorView<const T, Rank>>& view) {
  return view ? copy(*view) : std::vector<T>();
}

template <typename View>
Plan::Step with_weights(const Wiring& wiring, const View& weights) {
  Plan::Step step{.wiring = wiring};
  if (const auto* const int8 = std::get_if<0>(&weights)) step.weight_int8 = copy(*int8);
  if (const auto* const int16 = std::get_if<1>(&weights)) step.weight_int16 = copy(*int16);
  if (const auto* const bf16 = std::get_if<2>(&weights)) step.weight_bf16 = copy(*bf16);
  if (const auto* const f32 = std::get_if<3>(&weights)) step.weight_f32 = copy(*f32);
  return step;
}

Epilogue epilogue(std::vector<float> bias, const Activation& activation) {
  return {.bias = std::move(bias), .residual = nullptr, .low = activation.low, .high = activation.high};
}

std::vector<Pool::Span> spans(const SpanList& list) {
  std::vector<Pool::Span> result;
  for (std::int64_t i = 0; i < list.shape[0]; ++i) result.push_back({list(i, 0), list(i, 1)});
  return result;
}

std::vector<Resize::Tap> taps(const SpanList& list, const FloatVector& weights) {
  std::vector<Resize::Tap> result;
  for (std::int64_t i = 0; i < list.shape[0]; ++i) result.push_back({list(i, 0), list(i, 1), weights(i)});
  return result;
}

Plan::Step with_integers(const Wiring& wiring, const IntegerSpec& spec) {
  Plan::Step step{.wiring = wiring, .algorithm = spec.algorithm};
  step.weight_int8 = copy(spec.weight);
  return step;
}

// What an exact convolution has of the direct one.
template <typename Conv>
void set_integers(Conv& conv, const IntegerSpec& spec) {
  const std::int64_t r = spec.weight.shape[1];
  conv.window = {.height = r, .width = r, .pad_top = spec.pad_top, .pad_left = spec.pad_left};
  conv.scale = copy(spec.scale);
  conv.epilogue = epilogue(copy(spec.bias), spec.activation);
  conv.block = spec.block;
}

}  // namespace

Dtype dtype_of(const std::string& name) {
  if (name == "uint8") return Dtype::kUint8;
  if (name == "int16") return Dtype::kInt16;
  if (name == "bfloat16") return Dtype::kBf16;
  if (name == "float32") return Dtype::kFloat32;
  refuse("dtype is ", name, ", must be uint8, int16, bfloat16 or float32");
}

Plan::Plan(std::int64_t batch, std::int64_t arena_bytes) : batch_(batch), arena_bytes_(arena_bytes) {
  checks::range("plan", "batch", batch, 1, checks::kMaxExtent);
  checks::range("plan", "arena_bytes", arena_bytes, 1, checks::kMaxArena);
}

std::int64_t Plan::add_tensor(const TensorSpec& spec) {
  const auto number = static_cast<std::int64_t>(tensors_.size());
  check_open("tensor " + std::to_string(number));
  if (tensors_.size() >= checks::kMaxCount) refuse("a plan has at most ", checks::kMaxCount, " tensors");
  const TensorSpec checked = checks::tensor(number, spec, batch_, arena_bytes_);
  progress_.reserve(tensors_.size() + 1);
  tensors_.push_back(checked);
  progress_.emplace_back();
  used_bytes_ = std::max(used_bytes_, end_of(checked));
  return number;
}

void Plan::import_nchw(const std::string& name, std::int64_t y) {
  const Wiring wiring{.name = name, .x = kNone, .y = y};
  checks::operation_name(name);
  check_open(name);
  if (!steps_.empty()) refuse(name, ": import_nchw is operation ", steps_.size(), ", must be the first");
  writable(wiring);
  append({.wiring = wiring, .params = Import()});
}

void Plan::export_nchw(const std::string& name, std::int64_t x) {
  checks::operation_name(name);
  check_open(name);
  checks::no_bf16(name, "x", readable(name, "x", x));
  append({.wiring = {.name = name, .x = x, .y = kNone}, .params = Export()});
  finished_ = true;
}

void Plan::direct(const Wiring& wiring, const DirectSpec& spec) {
  check_wiring(wiring);
  const TensorSpec& y = writable(wiring);
  checks::direct(wiring.name, spec, tensors_[index(wiring.x)], y);
  check_residual(wiring, y);
  Step step = with_weights(wiring, spec.weight);
  DirectConv conv{.x = nullptr,
                  .y = nullptr,
                  .window = spec.window,
                  .weight_int8 = {},
                  .weight_int16 = {},
                  .weight_bf16 = {},
                  .weight_f32 = {},
                  .scale = copy(spec.scale),
                  .unfused = spec.unfused,
                  .epilogue = epilogue(copy(spec.bias), spec.activation)};
  const Shape<4> shape = std::visit([](const auto& weight) { return weight.shape; }, spec.weight);
  conv.window.height = shape[1];
  conv.window.width = shape[2];
  step.params = std::move(conv);
  append(std::move(step));
}

void Plan::fast(const Wiring& wiring, const FastSpec& spec) {
  check_wiring(wiring);
  const TensorSpec& y = writable(wiring);
  checks::fast(wiring.name, spec, tensors_[index(wiring.x)], y);
  check_residual(wiring, y);
  checks::algorithm_name(wiring.name, spec.algorithm);
  Step step = with_weights(wiring, spec.u);
  step.algorithm = spec.algorithm;
  const std::int64_t m = spec.at.shape[0];
  step.params = FastConv{.x = nullptr,
                         .y = nullptr,
                         .m = m,
                         .r = spec.bt.shape[1] - spec.stride * (m - 1),
                         .n = spec.bt.shape[0],
                         .stride = spec.stride,
                         .pad_top = spec.pad_top,
                         .pad_left = spec.pad_left,
                         .bt = copy(spec.bt),
                         .at = copy(spec.at),
                         .integer = spec.integer,
                         .v_limit = spec.v_limit,
                         .fraction_bits = spec.fraction_bits,
                         .block = spec.block,
                         .mult = copy(spec.mult),
                         .scale = copy(spec.scale),
                         .u_int8 = {},
                         .u_int16 = {},
                         .u_bf16 = {},
                         .u_f32 = {},
                         .epilogue = epilogue(copy(spec.bias), spec.activation)};
  append(std::move(step));
}

void Plan::exact(const Wiring& wiring, const ExactSpec& spec) {
  check_wiring(wiring);
  const TensorSpec& y = writable(wiring);
  checks::exact(wiring.name, spec, tensors_[index(wiring.x)], y);
  check_residual(wiring, y);
  Step step = with_integers(wiring, spec);
  ExactConv conv{};
  set_integers(conv, spec);
  conv.sizes = {.m = spec.at.shape[0], .r = spec.g.shape[1], .n = spec.g.shape[0]};
  conv.at = copy(spec.at);
  conv.g = copy(spec.g);
  conv.bt = copy(spec.bt);
  step.params = std::move(conv);
  append(std::move(step));
}

void Plan::residue(const Wiring& wiring, const ResidueSpec& spec) {
  check_wiring(wiring);
  const TensorSpec& y = writable(wiring);
  checks::residue(wiring.name, spec, tensors_[index(wiring.x)], y);
  check_residual(wiring, y);
  Step step = with_integers(wiring, spec);
  ResidueConv conv{};
  set_integers(conv, spec);
  conv.sizes = {.m = spec.m, .r = spec.weight.shape[1]};
  conv.moduli.assign(spec.moduli.data, spec.moduli.data + spec.moduli.shape[0]);
  step.params = std::move(conv);
  append(std::move(step));
}

void Plan::pool(const Wiring& wiring, const PoolSpec& spec) {
  check_wiring(wiring);
  checks::pool(wiring.name, spec, tensors_[index(wiring.x)], writable(wiring));
  append({.wiring = wiring,
          .params = Pool{.x = nullptr,
                         .y = nullptr,
                         .maximum = spec.maximum,
                         .rows = spans(spec.rows),
                         .cols = spans(spec.cols),
                         .divisor = spec.divisor}});
}

void Plan::eltwise(const Wiring& wiring, const EltwiseSpec& spec) {
  check_wiring(wiring);
  const TensorSpec& y = writable(wiring);
  checks::eltwise(wiring.name, spec, tensors_[index(wiring.x)], y);
  check_residual(wiring, y);
  append({.wiring = wiring,
          .params = Eltwise{.x = nullptr,
                            .y = nullptr,
                            .scale = copy(spec.scale),
                            .epilogue = epilogue(copy(spec.bias), spec.activation)}});
}

void Plan::gather(const Wiring& wiring, const GatherSpec& spec) {
  check_wiring(wiring);
  const TensorSpec& x = tensors_[index(wiring.x)];
  checks::gather(wiring.name, spec, x, spec.clear ? writable(wiring) : continued(wiring, spec.first));
  append({.wiring = wiring,
          .params = Gather{.x = nullptr,
                           .y = nullptr,
                           .rows = copy(spec.rows),
                           .cols = copy(spec.cols),
                           .first = spec.first,
                           .clear = spec.clear}});
  progress_[index(wiring.y)].gathered = spec.first + x.channels;
}

void Plan::pixel_shuffle(const Wiring& wiring, std::int64_t factor) {
  check_wiring(wiring);
  checks::pixel_shuffle(wiring.name, factor, tensors_[index(wiring.x)], writable(wiring));
  append({.wiring = wiring, .params = PixelShuffle{.x = nullptr, .y = nullptr, .factor = factor}});
}

void Plan::resize(const Wiring& wiring, const ResizeSpec& spec) {
  check_wiring(wiring);
  checks::resize(wiring.name, spec, tensors_[index(wiring.x)], writable(wiring));
  append({.wiring = wiring,
          .params = Resize{.x = nullptr,
                           .y = nullptr,
                           .rows = taps(spec.rows, spec.row_weights),
                           .cols = taps(spec.cols, spec.col_weights)}});
}

void Plan::check_finished() const {
  if (!finished_) refuse("the plan has no export_nchw at its end, must have one to run");
}

std::int64_t Plan::end_of(const TensorSpec& spec) const {
  return spec.offset + batch_ * spec.height * spec.width * spec.stride * bytes_of(spec.dtype);
}

bool Plan::overlap(std::int64_t a, std::int64_t b) const {
  const TensorSpec& first = tensors_[index(a)];
  const TensorSpec& second = tensors_[index(b)];
  return first.offset < end_of(second) && second.offset < end_of(first);
}

void Plan::check_open(const std::string& name) const {
  if (finished_) refuse(name, ": the plan ended with export_nchw and accepts no more");
  if (steps_.size() >= checks::kMaxCount)
    refuse(name, ": a plan has at most ", checks::kMaxCount, " operations");
}

// A tensor that holds what was written to it.
const TensorSpec& Plan::readable(const std::string& name, const char* role, std::int64_t number) const {
  const std::string what = std::string("the number of tensor ") + role;
  checks::range(name, what.c_str(), number, 0, static_cast<std::int64_t>(tensors_.size()) - 1);
  const State state = progress_[index(number)].state;
  if (state == State::kEmpty)
    refuse(name, ": ", role, " is tensor ", number, ", which nothing has written yet");
  if (state == State::kOverwritten) {
    refuse(name, ": ", role, " is tensor ", number, ", whose memory another tensor has taken over");
  }
  return tensors_[index(number)];
}

// The tensor an operation writes: new, and apart from what the operation reads.
const TensorSpec& Plan::writable(const Wiring& wiring) const {
  checks::range(wiring.name, "the number of tensor y", wiring.y, 0,
                static_cast<std::int64_t>(tensors_.size()) - 1);
  if (progress_[index(wiring.y)].state != State::kEmpty) {
    refuse(wiring.name, ": y is tensor ", wiring.y, ", which is written already");
  }
  for (const std::int64_t read : {wiring.x, wiring.residual.value_or(kNone)}) {
    if (read != kNone && overlap(read, wiring.y)) {
      refuse(wiring.name, ": y is tensor ", wiring.y, ", which shares memory with tensor ", read,
             " that is read");
    }
  }
  const TensorSpec& y = tensors_[index(wiring.y)];
  if (wiring.x != kNone && y.stride % static_cast<std::int64_t>(checks::kLaneGroup) != 0) {
    refuse(wiring.name, ": y is tensor ", wiring.y, " with a stride of ", y.stride,
           ", must be a multiple of 16 unless import_nchw writes it");
  }
  return y;
}

// The tensor of which earlier gathers wrote the channels below `first`.
const TensorSpec& Plan::continued(const Wiring& wiring, std::int64_t first) const {
  const TensorSpec& y = readable(wiring.name, "y", wiring.y);
  const Progress& progress = progress_[index(wiring.y)];
  if (progress.gathered == 0 || progress.read) {
    refuse(wiring.name, ": y is tensor ", wiring.y,
           ", must be one that gathers have begun and nothing has read, or clear must be set");
  }
  if (first < progress.gathered) {
    refuse(wiring.name, ": first is ", first, ", must be at least ", progress.gathered,
           ", the channels written");
  }
  if (overlap(wiring.x, wiring.y)) {
    refuse(wiring.name, ": y is tensor ", wiring.y, ", which shares memory with tensor ", wiring.x,
           " that is read");
  }
  return y;
}

// The name and what is read; the first check of every operation but the ends.
void Plan::check_wiring(const Wiring& wiring) const {
  checks::operation_name(wiring.name);
  check_open(wiring.name);
  readable(wiring.name, "x", wiring.x);
  if (wiring.residual) readable(wiring.name, "residual", *wiring.residual);
}

void Plan::check_residual(const Wiring& wiring, const TensorSpec& y) const {
  if (!wiring.residual) return;
  const TensorSpec& residual = tensors_[index(*wiring.residual)];
  checks::no_bf16(wiring.name, "the residual", residual);
  if (residual.height != y.height || residual.width != y.width || residual.channels != y.channels ||
      residual.stride != y.stride) {
    refuse(wiring.name, ": the residual has height, width, channels and stride ", residual.height, ", ",
           residual.width, ", ", residual.channels, ", ", residual.stride, ", must be those of y: ", y.height,
           ", ", y.width, ", ", y.channels, ", ", y.stride);
  }
}

void Plan::append(Step step) {
  const Wiring wiring = step.wiring;
  steps_.push_back(std::move(step));
  for (const std::int64_t read : {wiring.x, wiring.residual.value_or(kNone)}) {
    if (read != kNone) progress_[index(read)].read = true;
  }
  if (wiring.y == kNone) return;
  for (std::int64_t other = 0; other < static_cast<std::int64_t>(tensors_.size()); ++other) {
    if (other != wiring.y && progress_[index(other)].state == State::kReady && overlap(other, wiring.y)) {
      progress_[index(other)].state = State::kOverwritten;
    }
  }
  progress_[index(wiring.y)].state = State::kReady;
}

}  // namespace tilewise
