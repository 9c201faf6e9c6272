// Memory, and where tensors lie in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace tilewise {

// Zeroed memory aligned to kAlignment, with kSlack readable bytes after it. Pages that nobody touches cost nothing.
class Memory {
 public:
  Memory() = default;
  // Throws an std::bad_alloc that says how much was asked for, and for what.
  Memory(std::size_t bytes, const char* purpose);
  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  std::unique_ptr<void, Free> block_;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// A tensor's bytes, the operation that writes it, and the last one that needs it.
struct Lifetime {
  std::int64_t bytes = 0, first = 0, last = 0;

  bool meets(const Lifetime& other) const { return first <= other.last && other.first <= last; }
};

// Where tensors lie: two that are needed at the same time never share a byte. Large ones choose first; each takes the
// smallest gap that holds it among those it meets, or the end.
struct Arrangement {
  std::vector<std::int64_t> offsets;  // multiples of kAlignment
  std::int64_t bytes = 0;             // of all
};
Arrangement arrange(std::span<const Lifetime> tensors);

}  // namespace tilewise
