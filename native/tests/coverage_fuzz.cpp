// Compiled networks broken where that leads to new code, by libFuzzer (make fuzz-coverage): each is refused in words, or
// loads and runs. The reader does not compare checksums in this build, or few mutants would come further.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/fuzz_file.h"

extern "C" {
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

// Half of all mutants change the header, and only it: its length stays right.
__attribute__((visibility("default"))) std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                                                           std::size_t most, unsigned seed) {
  std::uint64_t header = 0;
  constexpr std::size_t kStart = sizeof header;
  if (size > kStart) std::memcpy(&header, data, kStart);
  if (seed % 2 == 0 || header == 0 || header > size - kStart) return LLVMFuzzerMutate(data, size, most);
  const tilewise::testing::Content rest(reinterpret_cast<std::byte*>(data) + kStart + header,
                                        reinterpret_cast<std::byte*>(data) + size);
  const std::size_t room = most - kStart - rest.size();
  const std::uint64_t mutated = LLVMFuzzerMutate(data + kStart, header, std::min<std::size_t>(room, header + 64));
  std::memcpy(data, &mutated, kStart);
  std::ranges::copy(rest, reinterpret_cast<std::byte*>(data) + kStart + mutated);
  return kStart + mutated + rest.size();
}

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* const begin = reinterpret_cast<const std::byte*>(data);
  const tilewise::testing::Content content(begin, begin + size);
  tilewise::testing::Counts counts;
  tilewise::testing::try_file(content, "portable", static_cast<std::int64_t>(size), counts);
  return 0;
}
}
