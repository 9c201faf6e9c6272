// The kernels of fast convolutions, each with the transforms that serve its matrices fastest.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "kernels/sixteen_dots.h"
#include "operations/fast/fast_op.h"
#include "operations/fast/sixteen_input.h"

namespace tilewise::TILEWISE_SET {

// What make(the type of an algorithm) gives for the first one that serves: a named one for which named(type)
// holds, one of its sizes, any. Of planar ones only any: where their sums have an order, named_planar comes before.
template <class Stage, typename Named, typename Make>
std::unique_ptr<Stage> first_of(const FastConv& conv, const Named& named, const Make& make) {
  if (conv.planar) return make(std::type_identity<ListedTiles>{});
  std::unique_ptr<Stage> stage;
  for_each_named([&](auto type) {
    if (!stage && named(type)) stage = make(type);
  });
  const auto attempt = [&]<class Algorithm>(std::type_identity<Algorithm> type) {
    if (!stage && Algorithm::serves(conv)) stage = make(type);
  };
  attempt(std::type_identity<Dense<2, 4, 4>>{});
  attempt(std::type_identity<Dense<4, 6, 6>>{});
  attempt(std::type_identity<Dense<6, 8, 8>>{});
  if (!stage) stage = make(std::type_identity<Listed>{});
  return stage;
}

// The same of named planar algorithms; null if it is none.
template <class Stage, typename Named, typename Make>
std::unique_ptr<Stage> named_planar(const Named& named, const Make& make) {
  std::unique_ptr<Stage> stage;
  for_each_planar([&](auto type) {
    if (!stage && named(type)) stage = make(type);
  });
  return stage;
}

template <typename Sum>
std::unique_ptr<OutputStage<Sum>> output_stage_for(const FastConv& conv) {
  if constexpr (std::is_same_v<Sum, std::int32_t>) {
    auto planar = named_planar<OutputStage<Sum>>(
        [&]<class A>(std::type_identity<A>) { return has_output_of<A>(conv); },
        [&]<class A>(std::type_identity<A>) { return std::make_unique<Output<Sum, A>>(conv); });
    if (planar) return planar;
  }
  return first_of<OutputStage<Sum>>(
      conv, [&]<class A>(std::type_identity<A>) { return has_output_of<A>(conv); },
      [&]<class A>(std::type_identity<A>) { return std::make_unique<Output<Sum, A>>(conv); });
}

template <class Stage, template <class> class Input>
std::unique_ptr<Stage> input_stage_for(const FastConv& conv) {
  return first_of<Stage>(
      conv, [&]<class A>(std::type_identity<A>) { return has_input_of<A>(conv); },
      [&]<class A>(std::type_identity<A>) { return std::make_unique<Input<A>>(conv); });
}

// That of any algorithm.
template <class Stage, template <class> class Input>
std::unique_ptr<Stage> any_input(const FastConv& conv) {
  if (conv.planar) return std::make_unique<Input<ListedTiles>>(conv);
  return std::make_unique<Input<Listed>>(conv);
}

using ByteInput = InputStage<std::uint8_t, std::uint8_t>;

template <class Algorithm>
using FloatByteInput = RealInput<F32, Algorithm>;
template <class Algorithm>
using DoubleByteInput = RealInput<F64, Algorithm>;

inline std::unique_ptr<ByteInput> byte_input_for(const FastConv& conv) {
  std::unique_ptr<ByteInput> input;
  const auto attempt = [&]<class Algorithm>(std::type_identity<Algorithm>) {
    if constexpr (Algorithm::kShort) {
      if (!input && ShortInput<Algorithm>::serves(conv))
        input = std::make_unique<ShortInput<Algorithm>>(conv);
    }
  };
  for_each_named(attempt);
  for_each_planar(attempt);
  if (input) return input;
  if (DotInput::serves(conv)) return std::make_unique<DotInput>(conv);
  if (!float_serves(conv)) return any_input<ByteInput, DoubleByteInput>(conv);
  return input_stage_for<ByteInput, FloatByteInput>(conv);
}

// Makes the operation; makes its state with input() and output() if no size before has.
template <class Dot, typename Pixel, typename Input>
std::unique_ptr<Op> fast_op(const FastConv& conv, const typename Dot::Weight* u, const Input& input) {
  auto state = shared_state<FastState<Dot, Pixel>>(conv.shared, [&] {
    return std::make_shared<FastState<Dot, Pixel>>(conv, u, input(), output_stage_for<typename Dot::Sum>(conv));
  });
  return std::make_unique<FastOp<Dot, Pixel>>(conv, std::move(state));
}

inline std::unique_ptr<Op> make_fast_int8(const FastConv& conv) {
  return fast_op<Int8Dot, std::uint8_t>(conv, conv.u_int8.data(), [&] { return byte_input_for(conv); });
}

inline std::unique_ptr<Op> make_fast_f32(const FastConv& conv) {
  return fast_op<FloatDot, float>(conv, conv.u_f32.data(),
                                  [&] { return input_stage_for<InputStage<float, float>, FloatInput>(conv); });
}

using WordStage = InputStage<std::int16_t, std::int16_t>;

template <class Algorithm>
using FloatWordInput = WordInput<F32, Algorithm>;
template <class Algorithm>
using DoubleWordInput = WordInput<F64, Algorithm>;

inline std::unique_ptr<Op> make_fast_int16(const FastConv& conv) {
  return fast_op<Int16Dot, std::int16_t>(conv, conv.u_int16.data(), [&]() -> std::unique_ptr<WordStage> {
    if (largest_v(conv) <= 16777216) return input_stage_for<WordStage, FloatWordInput>(conv);
    return any_input<WordStage, DoubleWordInput>(conv);
  });
}

// The products are a parameter, for machines that have an instruction for them.
template <class Dot>
std::unique_ptr<Op> make_fast_bf16_with(const FastConv& conv) {
  return fast_op<Dot, float>(conv, conv.u_bf16.data(),
                             [&] { return input_stage_for<InputStage<float, std::uint16_t>, Bf16Input>(conv); });
}
inline std::unique_ptr<Op> make_fast_bf16(const FastConv& conv) { return make_fast_bf16_with<Bf16Dot>(conv); }

}  // namespace tilewise::TILEWISE_SET
