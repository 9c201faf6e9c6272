// What a kernel set has for training. Needs all other bodies of training.
#pragma once

#include "kernels/set.h"
#include "kernels/training.h"
#include "kernels/training/tiles.h"

namespace tilewise::TILEWISE_SET {

template <int M, int N, int R>
class TrainingOf final : public TrainingKernels {
 public:
  void weights(const TrainingConv& conv, const Filters<const float>& weight, std::uint8_t* u, float* scale,
               std::int64_t begin, std::int64_t end, std::byte* scratch) const override {
    TrainingWeightsStage<N, R>::forward(conv, weight, u, scale, begin, end, scratch);
  }
  void transpose(const TrainingConv& conv, const std::uint8_t* u, std::uint8_t* transposed,
                 std::int64_t begin, std::int64_t end) const override {
    transpose_weights(conv, u, transposed, begin, end);
  }
  void forward(const TrainingConv& conv, const TrainingForward& call, std::int64_t begin, std::int64_t end,
               std::byte* scratch) const override {
    TrainingTiles<M, N, R>::forward(conv, call, begin, end, scratch);
  }
  void backward(const TrainingConv& conv, const TrainingBackward& call, std::int64_t begin, std::int64_t end,
                std::byte* scratch) const override {
    TrainingTiles<M, N, R>::backward(conv, call, begin, end, scratch);
  }
  void weights_backward(const TrainingConv& conv, const TrainingWeights& call, std::int64_t begin,
                        std::int64_t end) const override {
    TrainingWeightsStage<N, R>::backward(conv, call, begin, end);
  }

  std::size_t weights_scratch(const TrainingConv& conv) const override {
    return TrainingWeightsStage<N, R>::scratch(conv);
  }
  std::size_t forward_scratch(const TrainingConv& conv) const override {
    return TrainingTiles<M, N, R>::forward_scratch(conv);
  }
  std::size_t backward_scratch(const TrainingConv& conv) const override {
    return TrainingTiles<M, N, R>::backward_scratch(conv);
  }
};

inline const TrainingKernels* find_training(std::int64_t m, std::int64_t r, std::int64_t n) {
  static const TrainingOf<2, 4, 3> f2;
  static const TrainingOf<4, 6, 3> f4;
  static const TrainingOf<6, 8, 3> f6;
  if (m == 2 && r == 3 && n == 4) return &f2;
  if (m == 4 && r == 3 && n == 6) return &f4;
  if (m == 6 && r == 3 && n == 8) return &f6;
  return nullptr;
}

inline ValueRange quantize(const InputGrid& grid, float step, const float* x, float* q, std::int64_t count) {
  const GridVectors vectors(grid);
  constexpr float kNone = std::numeric_limits<float>::infinity();
  LaneRange range({kNone, -kNone});
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const F32 v = load_part(x + i, count - i);
    range.add(filled(v, count - i));
    store_part(q + i, vectors.quantize(v) * step, count - i);
  }
  return range.get();
}

inline void quantize_backward(const InputGrid& grid, float gradient, const float* x, const float* dq,
                              float* dx, std::int64_t count) {
  const GridVectors vectors(grid);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const F32 passed = vectors.pass(load_part(x + i, count - i), load_part(dq + i, count - i) * gradient);
    store_part(dx + i, passed, count - i);
  }
}

inline constexpr Training kTraining{find_training, quantize, quantize_backward};

}  // namespace tilewise::TILEWISE_SET
