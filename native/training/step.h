// One training step of a quantized fast convolution: the kernels of a set, shared among threads.
#pragma once

#include <span>
#include <vector>

#include "kernels/set.h"
#include "kernels/training.h"

namespace tilewise::training {

// U and its scale are made from the weights on the way, and kept by the caller for backward(). v_absmax and
// range are overwritten.
struct Forward {
  const float* x;
  Filters<const float> weight;
  const float* bias;
  std::uint8_t* u;
  float *scale, *y, *v_absmax;
  ValueRange* range;
};

// Null where a gradient is not wanted; dat, dg, dbt are wanted all or none.
struct Backward {
  const float* x;
  Filters<const float> weight;
  const std::uint8_t* u;
  const float *scale, *dy;
  float* dx;
  Filters<float> dweight;
  float *dat, *dg, *dbt;
};

// The multipliers of V and what U is multiplied by in turn, [n*n][channels] (docs/contracts/numbers.md): V,
// divided by `balance`, comes to lie in the conv's limit for all that `v_range` has seen.
struct Multipliers {
  std::vector<float> mult, v_step;
};
Multipliers multipliers(std::span<const float> v_range, std::span<const float> balance,
                        const TrainingConv& conv, float input_step, int fraction_bits);

// The kernels of an algorithm's sizes. Throws std::invalid_argument where the set has none.
const TrainingKernels& kernels(const KernelSet& set, const TrainingConv& conv);

void forward(const TrainingKernels& kernels, const TrainingConv& conv, const Forward& call, int threads);
void backward(const TrainingKernels& kernels, const TrainingConv& conv, const Backward& call, int threads);

// Element by element; see Training in kernels/training.h.
ValueRange quantize(const KernelSet& set, const InputGrid& grid, float step, const float* x, float* q,
                    std::int64_t count, int threads);
void quantize_backward(const KernelSet& set, const InputGrid& grid, float gradient, const float* x,
                       const float* dq, float* dx, std::int64_t count, int threads);

}  // namespace tilewise::training
