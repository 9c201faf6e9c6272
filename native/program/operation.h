// An operation of a program: its fields, declared once, what they must keep to, and how it is made for given sizes.
//
// A folder of operations/ holds one operation. Its declaration, Operation::fields, is what reads and checks files,
// tells Python what to write (schema.h), makes docs/contracts/file.md and feeds the fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/op.h"
#include "program/file.h"

namespace tilewise {

struct KernelSet;

inline constexpr std::int64_t kNoTensor = -1;
inline constexpr std::int64_t kMaxExtent = 65536;  // of a tensor's axes, and of the images that go through at once
inline constexpr std::int64_t kMaxInt32 = 2147483647;

// A tensor whatever the size of the images.
struct TensorType {
  std::string name;
  std::int64_t channels = 1;
  Dtype dtype = Dtype::kFloat32;
  QuantGrid grid = {};            // of integers; its zero follows from dtype and low
  std::int64_t stride = 16;  // of a pixel in memory, in elements
};

struct Size {
  std::int64_t height = 0, width = 0;

  bool operator==(const Size&) const = default;
};

// The least and the largest value.
struct Range {
  std::int64_t low, high;
};

// What visits the declaration of an operation: each call names a field, where its value is kept, and what it means.
class Fields {
 public:
  virtual ~Fields() = default;
  // Tensors by number. may_read: null in the file, kNoTensor here, where there is none.
  virtual void reads(const char* field, std::int64_t& tensor, const char* what) = 0;
  virtual void may_read(const char* field, std::int64_t& tensor, const char* what) = 0;
  virtual void reads_all(const char* field, std::vector<std::int64_t>& tensors, const char* what) = 0;
  virtual void writes(const char* field, std::int64_t& tensor, const char* what) = 0;
  virtual void integer(const char* field, std::int64_t& value, Range range, const char* what) = 0;
  virtual void integers(const char* field, std::span<std::int64_t> values, Range range, const char* what) = 0;
  virtual void flag(const char* field, bool& value, const char* what) = 0;
  // Finite, 0 or above.
  virtual void real(const char* field, double& value, const char* what) = 0;
  // null in the file where there is none: what `value` holds stays.
  virtual void limit(const char* field, float& value, const char* what) = 0;
  virtual void text(const char* field, std::string& value, const char* what) = 0;
  virtual void array(const char* field, Array& array, std::initializer_list<const char*> dtypes, std::size_t axes,
                     const char* what) = 0;
  virtual void may_have(const char* field, Array& array, std::initializer_list<const char*> dtypes, std::size_t axes,
                        const char* what) = 0;
};

class Operation {
 public:
  struct Made {
    const char* kernel;  // as in kernels/kernels.inc
    std::unique_ptr<Op> op;
  };

  virtual ~Operation() = default;
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  virtual void fields(Fields& fields) = 0;
  // Checks all that no size decides, and takes over what the arrays hold but for weights. Throws
  // std::invalid_argument naming the operation, the value and what is allowed.
  virtual void check(std::span<const TensorType> tensors) = 0;
  // The size of the tensor that it writes, from those that it reads, by number. Throws as check() does.
  virtual Size size(std::span<const Size> sizes) const = 0;
  // Its kernel for these tensors. The first call may use the arrays; later ones find packed weights.
  virtual Made make(const KernelSet& set, const TensorRef* tensors) = 0;
  // Two for each multiply-add that a direct convolution needs for one image, whatever is really multiplied.
  virtual std::int64_t operations(std::span<const Size>) const { return 0; }
  virtual std::string algorithm() const { return {}; }
  // Whether pixels of the tensor `number`, and of the one that is written, may lie 4 or 8 apart instead of 16: see Program.
  virtual bool takes_narrow_pixels(std::int64_t) const { return false; }
  virtual bool writes_narrow_pixels() const { return false; }
  // Tensors that may lie within another one, as its channels from `first` on: then there is nothing to do for them.
  struct Within {
    std::int64_t part, whole, first;
  };
  virtual std::vector<Within> within() const { return {}; }
  // Whether making it the first time uses arrays.
  virtual bool packs_weights() const { return false; }
  // Forgets the arrays, which lie in the file's bytes.
  virtual void drop_arrays() {}

  std::string name;                // where it stands in the model
  std::string kind;                // its folder
  std::vector<std::int64_t> read;  // tensors, by number
  std::int64_t written = kNoTensor;
  std::size_t array_bytes = 0;
};

// The operations, by the names of their folders, in the order of the list.
std::span<const char* const> operation_kinds();
std::unique_ptr<Operation> make_operation(const std::string& kind);  // null: there is none

}  // namespace tilewise
