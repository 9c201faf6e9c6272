// One training step of a quantized fast convolution: the kernels of a set, shared among threads.
#pragma once

#include "kernels/op.h"
#include "kernels/training.h"

namespace tilewise::training {

// U and its scale are made from the weights on the way, and kept by the caller for backward(). v_absmax and
// range are overwritten.
struct Forward {
  const float *x, *weight, *bias;
  std::uint8_t* u;
  float *scale, *y, *v_absmax;
  ValueRange* range;
};

// Null where a gradient is not wanted; dat, dg, dbt are wanted all or none.
struct Backward {
  const float *x, *weight;
  const std::uint8_t* u;
  const float *scale, *dy;
  float *dx, *dweight, *dat, *dg, *dbt;
};

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
