// Kernel sets: what each must provide, and which ones this build has.
#pragma once

#include <memory>
#include <span>

#include "generated/params.inc"
#include "kernels/op.h"
#include "kernels/training.h"

namespace tilewise {

// What one core can do with a set's instructions, per second: the ceilings of a roofline.
struct Peaks {
  double int8_operations, float_operations;  // two for each multiply-add
  double cache_bytes, memory_bytes;          // read from the second-level cache, from memory
};

// A kernel set: one way to make every operation, for one kind of machine. The folders of operations/ list the kernels.
struct KernelSet {
  const char* name;
  const char* description;
  bool (*supported)();
  Peaks (*measure_peaks)();  // takes about a quarter of a second
  Training training;         // kernels/training.h
#define TILEWISE_KERNEL(name, Params) std::unique_ptr<Op> (*name)(const Params&);
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

// Best first; the last two, portable and reference, run everywhere.
std::span<const KernelSet* const> kernel_sets();

// The set called `name`, or for an empty name the best this machine supports.
// Throws std::invalid_argument for an unknown name, or one that this machine lacks.
const KernelSet& kernel_set(const char* name);

}  // namespace tilewise
