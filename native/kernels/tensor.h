// A tensor in memory: what every operation reads and writes.
//
// Activations lie in memory as [image][row][column][stride], channels last. stride is the distance of two
// pixels in elements, at least the number of channels. Every operation writes all `lanes()` of every pixel of
// its output; lanes beyond the channels hold zero (the zero point, in 8 bits). Kernels read whole vectors, so
// at least kSlack bytes after a tensor must be readable (what is read there is never used).
//
// A tensor may be some of the channels of a wider one (program/views.h): its pixels lie further apart than it
// has lanes, and what lies between belongs to others.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tilewise {

inline constexpr std::size_t kAlignment = 64;
inline constexpr std::size_t kSlack = 64;
// Lanes of a pixel are a multiple of this; of few channels that no kernel writes as whole vectors, of the second.
inline constexpr std::int64_t kLaneGroup = 16, kNarrowGroup = 4;

// bf16 is the upper half of a float. Only direct convolutions read such tensors; import, convolutions and
// element-wise operations write them.
enum class Dtype : std::uint8_t { kUint8, kInt16, kBf16, kFloat32 };

constexpr std::int64_t bytes_of(Dtype dtype) {
  return dtype == Dtype::kUint8 ? 1 : dtype == Dtype::kFloat32 ? 4 : 2;
}

// The grid of an integer tensor: the stored number is q + zero, the real one q * step, low <= q <= high.
// In 8 bits zero is 0 (unsigned grids, low = 0), 128 (signed grids) or another byte (-low, grids of other
// tools), in 16 bits 0. Unused for float tensors.
struct QuantGrid {
  float step = 1;  // real value of one step
  float factor =
      1;  // what a real number is multiplied by to give steps: 1 / step as the training computed it
  std::int32_t low = 0;
  std::int32_t high = 255;
  std::int32_t zero = 0;

  bool operator==(const QuantGrid&) const = default;
};

struct TensorRef {
  Dtype dtype = Dtype::kFloat32;
  std::int64_t height = 0, width = 0, channels = 0, stride = 0;
  QuantGrid grid;
  std::byte* data = nullptr;  // of image 0
  bool within = false;        // a wider tensor, whose lanes its channels fill

  std::int64_t pixels() const { return height * width; }
  std::int64_t lanes() const { return within ? channels : stride; }
  std::size_t element_bytes() const { return static_cast<std::size_t>(bytes_of(dtype)); }
  std::size_t image_bytes() const { return static_cast<std::size_t>(pixels() * stride) * element_bytes(); }
};

}  // namespace tilewise
