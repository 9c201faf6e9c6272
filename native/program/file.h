// The .tilewise file as a container: a text, the program, and named arrays, in the layout of safetensors.
//
//   8 bytes: length of the header, little-endian
//   header:  JSON {"__metadata__": {"tilewise_program": text, "tilewise_checksum": 8 hex digits},
//                  array name: {"dtype": "I8", "shape": [..], "data_offsets": [begin, end]}, ...}
//   data:    the arrays' bytes, little-endian, each array at a multiple of its element's size
//
// The checksum is CRC-32 over the text and, in the order of their names, "name dtype extent,extent..." and the bytes
// of each array: it finds damage, not malice. Everything is checked before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace tilewise {

// One array, where it lies in the file's bytes.
struct Array {
  std::string dtype;  // int8, int16, uint16, int32, int64 or float32; empty: there is none
  std::vector<std::int64_t> shape;
  const std::byte* data = nullptr;
  std::size_t bytes = 0;

  explicit operator bool() const { return !dtype.empty(); }

  template <typename T, std::size_t Rank>
  TensorView<const T, Rank> view() const {
    TensorView<const T, Rank> result{reinterpret_cast<const T*>(data), {}};
    for (std::size_t axis = 0; axis < Rank; ++axis) result.shape[axis] = shape[axis];
    return result;
  }
  template <typename T>
  std::span<const T> values() const {
    return {reinterpret_cast<const T*>(data), bytes / sizeof(T)};
  }
};

using Arrays = std::map<std::string, Array, std::less<>>;

struct File {
  std::string program;
  Arrays arrays;
};

// `content` must outlive what is returned, and begin at a multiple of 8. Throws std::invalid_argument if it is no
// whole .tilewise file.
File read_file(std::span<const std::byte> content);

// CRC-32 as zlib has it, going on from `start`.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t start = 0);
std::uint32_t checksum(std::string_view program, const Arrays& arrays);

}  // namespace tilewise
