// Exact fast convolution (operations/wrapping/arithmetic.h): int16 products, everything modulo 2^32.
#pragma once

#include <memory>
#include <vector>

#include "kernels/sixteen_dots.h"
#include "operations/fast/fast_op.h"
#include "operations/wrapping/arithmetic.h"
#include "operations/wrapping/params.h"

namespace tilewise::TILEWISE_SET {

// V as it is, in int16: 2 * kLanes channels at once.
template <class Algorithm>
class WrappingInput final : public InputStage<std::uint8_t, std::int16_t> {
 public:
  explicit WrappingInput(const FastConv& conv)
      : InputStage(round_up(conv.x->channels, 2 * kLanes)),
        algorithm_(algorithm_of<Algorithm>(conv)),
        zero_(I16{} + static_cast<std::int16_t>(conv.x->grid.zero)) {}

  void run(const std::uint8_t* const* pixels, std::int16_t* to, std::int64_t tap_distance,
           bool) const override {
    for (std::int64_t c = 0; c < width(); c += 2 * kLanes) {
      tile_input<I16>(
          algorithm_,
          [&](int pixel)
              __attribute__((always_inline)) { return load_byte_pairs(pixels[pixel] + c) - zero_; },
          [&](int tap, I16 v) __attribute__((always_inline)) { store(to + tap * tap_distance + c, v); });
    }
  }

 private:
  Algorithm algorithm_;
  I16 zero_;
};

// y = A^T M A modulo 2^32, divided by D^2.
template <class Algorithm>
class WrappingOutput final : public OutputStage<std::int32_t> {
 public:
  WrappingOutput(const FastConv& conv, const wrapping::Division& division)
      : algorithm_(algorithm_of<Algorithm>(conv)),
        inverse_(U32{} + division.inverse),
        shift_(division.shift),
        taps_(conv.products()),
        scale_(conv.scale.begin(), conv.scale.end()) {
    scale_.resize(static_cast<std::size_t>(conv.y->lanes()), 0.0F);
  }

  void run(const std::int32_t* m, std::int64_t channel, std::int64_t vectors, const Target& target,
           const Finish& finish) const override {
    for_vectors(vectors, [&](auto count) { tile<count>(m, channel, target, finish); });
  }

 private:
  static constexpr int kMax = kMaxOf<Algorithm>;

  template <int Vectors>
  void tile(const std::int32_t* m, std::int64_t channel, const Target& target, const Finish& finish) const {
    F32 values[kMax * kMax][Vectors];
    for (int v = 0; v < Vectors; ++v) {
      const F32 scale = load<F32>(scale_.data() + channel + v * kLanes);
      const std::int32_t* const sums = m + v * taps_ * kLanes;
      tile_output<U32>(
          algorithm_, [&](int tap) __attribute__((always_inline)) { return load<U32>(sums + tap * kLanes); },
          [&](int place, U32 sum) __attribute__((always_inline)) {
            values[place][v] = to_float(reinterpret_cast<I32>(sum * inverse_) >> shift_) * scale;
          });
    }
    target.end<Vectors>(finish, channel, values, algorithm_.m);
  }

  Algorithm algorithm_;
  U32 inverse_;
  int shift_;
  std::int64_t taps_;
  AlignedVector<float> scale_;  // [K]
};

// What make(the type of an algorithm) gives for the named one for which named(type) holds, or for any.
template <class Stage, typename Named, typename Make>
std::unique_ptr<Stage> named_or_listed(bool planar, const Named& named, const Make& make) {
  std::unique_ptr<Stage> stage;
  const auto attempt = [&](auto type) {
    if (!stage && named(type)) stage = make(type);
  };
  for_each_named(attempt);
  for_each_planar(attempt);
  if (stage) return stage;
  if (planar) return make(std::type_identity<ListedTiles>{});
  return make(std::type_identity<Listed>{});
}

// The shape of an exact convolution.
inline FastConv fast_of(const DirectConv& conv, std::int64_t m, std::int64_t r, std::int64_t n,
                        std::int64_t block) {
  FastConv fast{};
  fast.x = conv.x, fast.y = conv.y;
  fast.m = m, fast.r = r, fast.n = n, fast.stride = 1;
  fast.pad_top = conv.window.pad_top, fast.pad_left = conv.window.pad_left;
  fast.integer = true;
  fast.block = block;
  fast.scale = conv.scale;
  fast.epilogue = conv.epilogue;
  return fast;
}

inline std::unique_ptr<Op> make_wrapping_int8(const WrappingConv& conv) {
  FastConv fast = fast_of(conv, conv.sizes.m, conv.sizes.r, conv.sizes.n, conv.block);
  fast.planar = conv.sizes.planar;
  fast.bt.assign(conv.bt.begin(), conv.bt.end());
  fast.at.assign(conv.at.begin(), conv.at.end());
  using State = FastState<Int16Dot, std::uint8_t>;
  auto state = shared_state<State>(conv.shared, [&] {
    const std::vector<std::int64_t> wide =
        wrapping::transform_weights(conv.sizes, conv.g, conv.weight_int8, conv.x->channels);
    const std::vector<std::int16_t> u(wide.begin(), wide.end());
    const wrapping::Division division =
        wrapping::division(conv.sizes, wrapping::denominator(conv.sizes, conv.at, conv.g, conv.bt).value());
    auto input = named_or_listed<InputStage<std::uint8_t, std::int16_t>>(
        fast.planar, [&]<class A>(std::type_identity<A>) { return has_input_of<A>(fast); },
        [&]<class A>(std::type_identity<A>) { return std::make_unique<WrappingInput<A>>(fast); });
    auto output = named_or_listed<OutputStage<std::int32_t>>(
        fast.planar, [&]<class A>(std::type_identity<A>) { return has_output_of<A>(fast); },
        [&]<class A>(std::type_identity<A>) { return std::make_unique<WrappingOutput<A>>(fast, division); });
    return std::make_shared<State>(fast, u.data(), std::move(input), std::move(output));
  });
  return std::make_unique<FastOp<Int16Dot, std::uint8_t>>(fast, std::move(state));
}

}  // namespace tilewise::TILEWISE_SET
