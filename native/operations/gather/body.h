// Slices, padding, concatenation, nearest upsampling, flips: pixels and channels put elsewhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/pieces.h"
#include "operations/gather/params.h"

namespace tilewise::TILEWISE_SET {

class GatherOp final : public RowOp {
 public:
  explicit GatherOp(const Gather& params) : params_(params) {
    std::int64_t covered = 0;
    for (const Gather::Part& part : params.parts) {
      if (part.first > covered) gaps_.push_back({covered, part.first});
      covered = part.first + lanes(part);
    }
    if (params.y->lanes() > covered) gaps_.push_back({covered, params.y->lanes()});
    std::erase_if(params_.parts, [&](const Gather::Part& part) { return lies_there(part); });
    if (!params_.parts.empty() || !gaps_.empty()) set_rows(params.y->height);
  }

 private:
  struct Gap {
    std::int64_t begin, end;
  };

  // How many numbers of a pixel the part writes: its channels, or the whole pixel where that is the same.
  std::int64_t lanes(const Gather::Part& part) const {
    const TensorRef &x = *part.x, &y = *params_.y;
    const bool all = part.channels.empty() && part.first == 0 && part.from == 0 && part.width() == x.channels;
    return all && x.stride == y.stride && y.stride == y.lanes() && same_format(x, y) ? y.stride : part.width();
  }

  // Whether the part's channels are where they belong already (program/views.h).
  bool lies_there(const Gather::Part& part) const {
    const auto bytes = static_cast<std::ptrdiff_t>(part.x->element_bytes());
    return part.channels.empty() && part.x->data != nullptr &&
           part.x->data + part.from * bytes == params_.y->data + part.first * bytes;
  }

  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    with_format(*params_.y, [&](auto to) {
      for (const Gather::Part& part : params_.parts) put(to, part, image, i);
      for (std::int64_t j = 0; !gaps_.empty() && j < params_.y->width; ++j) {
        auto* const y = pixel_at<typename decltype(to)::Type>(*params_.y, image, i, j);
        for (const Gap& gap : gaps_) std::fill_n(y + gap.begin, gap.end - gap.begin, to.zero_value());
      }
    });
  }

  template <typename To>
  void put(const To& to, const Gather::Part& part, std::int64_t image, std::int64_t i) const {
    if (i < part.row || i - part.row >= static_cast<std::int64_t>(part.rows.size())) return;
    const std::int64_t from_row = part.rows[static_cast<std::size_t>(i - part.row)];
    with_format(*part.x, [&](auto from) {
      using X = typename decltype(from)::Type;
      const bool same = same_format(*part.x, *params_.y);
      const std::int64_t count = lanes(part);
      for (std::size_t j = 0; j < part.cols.size(); ++j) {
        auto* const y =
            pixel_at<typename To::Type>(*params_.y, image, i, part.col + static_cast<std::int64_t>(j)) + part.first;
        if (from_row < 0 || part.cols[j] < 0) {
          std::fill_n(y, count, to.zero_value());
        } else {
          copy(from, to, part, pixel_at<const X>(*part.x, image, from_row, part.cols[j]), y, count, same);
        }
      }
    });
  }

  template <typename From, typename To>
  static void copy(const From& from, const To& to, const Gather::Part& part, const typename From::Type* x,
                   typename To::Type* y, std::int64_t channels, bool same) {
    constexpr std::size_t kFew = 16;  // bytes: one move instead of a call
    const std::size_t bytes = static_cast<std::size_t>(channels) * sizeof(*x);
    if (part.channels.empty() && same && bytes == kFew) {
      std::memcpy(y, x + part.from, kFew);
    } else if (part.channels.empty() && same) {
      std::memcpy(y, x + part.from, bytes);
    } else if (part.channels.empty()) {
      std::int64_t c = 0;
      for (; c + kPiece <= channels; c += kPiece) write_piece(to, y + c, read_piece(from, x + part.from + c));
      for (; c < channels; ++c) y[c] = to.store(from.real(x[part.from + c]));
    } else {
      pick(from, to, part.channels, x, y, same);
    }
  }

  template <typename From, typename To>
  static void pick(const From& from, const To& to, const std::vector<std::int64_t>& channels,
                   const typename From::Type* x, typename To::Type* y, bool same) {
    if constexpr (std::is_same_v<typename From::Type, typename To::Type>) {
      if (same) {
        for (std::size_t c = 0; c < channels.size(); ++c) y[c] = x[channels[c]];
        return;
      }
    }
    for (std::size_t c = 0; c < channels.size(); ++c) y[c] = to.store(from.real(x[channels[c]]));
  }

  Gather params_;
  std::vector<Gap> gaps_;  // channels that no part writes
};

inline std::unique_ptr<Op> make_gather(const Gather& params) { return std::make_unique<GatherOp>(params); }

}  // namespace tilewise::TILEWISE_SET
