// What both kinds of pooling share: their fields, checks and kernel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {

class Pooling : public Operation {
 public:
  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    check_no_bf16(name, "y", y);
    check_same_channels(name, x, y);
    largest_q_ = largest_q(x);
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    Pool params{.x = tensors + x_, .y = tensors + y_, .maximum = maximum_, .rows = {}, .cols = {}};
    params.rows = spans(0, params.x->height, params.y->height);
    params.cols = spans(1, params.x->width, params.y->width);
    params.divisor = divisor_;
    if (!maximum_ && largest_q_ > 0) {
      check_range(name, "the number of pixels of the largest window", longest(params.rows) * longest(params.cols), 1,
                  kMaxInt32 / largest_q_);
    }
    return {"pool", set.pool(params)};
  }

 protected:
  // The windows along one axis (0: rows) of an image of `in` pixels, one for each of `out`.
  virtual std::vector<Pool::Span> spans(std::size_t axis, std::int64_t in, std::int64_t out) const = 0;

  void shared_fields(Fields& fields) {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "Of the same channels.");
    fields.flag("maximum", maximum_, "The maximum of each window, else the mean.");
  }

  std::int64_t x_ = kNoTensor, y_ = kNoTensor;
  std::int64_t divisor_ = 0;

 private:
  static std::int64_t longest(const std::vector<Pool::Span>& spans) {
    std::int64_t result = 0;
    for (const Pool::Span& span : spans) result = std::max(result, span.end - span.begin);
    return result;
  }

  bool maximum_ = true;
  std::int64_t largest_q_ = 0;
};

}  // namespace tilewise
