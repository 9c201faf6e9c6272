#include "operations/pool/pooling.h"

namespace tilewise {
namespace {

// Windows that share the image by a fixed number of outputs.
class AdaptivePooling final : public Pooling {
 public:
  void fields(Fields& fields) override {
    shared_fields(fields);
    fields.integers("size", size_, {1, kMaxExtent}, "Height and width of y.");
  }

  Size size(std::span<const Size>) const override { return {size_[0], size_[1]}; }

 private:
  std::vector<Pool::Span> spans(std::size_t, std::int64_t in, std::int64_t out) const override {
    std::vector<Pool::Span> result;
    for (std::int64_t i = 0; i < out; ++i) {
      const std::int64_t begin = i * in / out, end = ((i + 1) * in + out - 1) / out;
      result.push_back({begin, end, end - begin});
    }
    return result;
  }

  std::int64_t size_[2] = {1, 1};
};

}  // namespace

std::unique_ptr<Operation> make_adaptive_pool_operation() { return std::make_unique<AdaptivePooling>(); }

}  // namespace tilewise
