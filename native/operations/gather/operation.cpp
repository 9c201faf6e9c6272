#include <algorithm>

#include "base/check.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {
namespace {

// What is done to the rows (or columns, or channels) of one input, one after the other; docs name them in this order.
enum Move : std::int64_t { kPad, kRepeat, kSlice, kFlip, kCrop, kReflect, kReplicate, kWrap, kMoves };

constexpr std::int64_t kNoEnd = std::int64_t{1} << 48;  // of a slice: the image's

// How far a padding of an axis by its own pixels can reach on one side.
std::int64_t reach(std::int64_t move, std::int64_t size) {
  return move == kReflect ? size - 1 : move == kWrap ? size : kMaxExtent;
}

// Which pixel a place before, on or after an axis of so many is, in a padding by the axis's own pixels.
std::int64_t mirrored(std::int64_t move, std::int64_t place, std::int64_t size) {
  if (move == kReplicate) return std::clamp<std::int64_t>(place, 0, size - 1);
  if (move == kWrap) return (place + size) % size;
  return place < 0 ? -place : std::min(place, 2 * (size - 1) - place);
}

// Slices, padding, concatenation, nearest upsampling, flips.
class Gathering final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads_all("x", x_, "The images, one or several.");
    fields.may_read("like", like_, "The tensor to whose size a move 4 crops.");
    fields.writes("y", y_, "Where they lie beside each other.");
    fields.integer("axis", axis_, {0, 2}, "Along what: 0 channels, 1 rows, 2 columns.");
    fields.array("first", first_, {"int64"}, 1,
                 "[inputs], the channel of y where each begins, along channels in order; what is between is zero.");
    for (std::size_t axis = 0; axis < 3; ++axis) {
      fields.array(kAxes[axis], moves_[axis], {"int64"}, 2,
                   "[moves, 5]: the input, then what is done to it, in order: 0, zeros before, zeros after, 0: padding (not of "
                   "channels); 1, factor, 0, 0: each so often; 2, begin, end, step: a slice (below 0: from the end on; 2^48: no end); 3, "
                   "0, 0, 0: the last one first; 4, 0, 0, 0: at most as many as `like` has (not of channels); 5, before, after, 0: "
                   "reflected at the ends (at most all but one); 6, before, after, 0: the first and the last again; 7, before, after, "
                   "0: around (at most all).");
    }
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType& y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "y", y);
    const auto count = static_cast<std::int64_t>(x_.size());
    check_equal(name, "the length of first", first_.shape[0], count, "the number of inputs");
    for (std::size_t axis = 0; axis < 3; ++axis) read_moves(axis, count);
    std::int64_t covered = 0;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      const TensorType& x = tensors[static_cast<std::size_t>(x_[i])];
      check_no_bf16(name, "x", x);
      channels_.push_back(indices(kChannels, i, x.channels, 0));
      widths_.push_back(x.channels);
      const auto width = static_cast<std::int64_t>(channels_.back().size());
      if (width == 0) refuse(name, ": nothing is left of the ", x.channels, " channels of input ", i);
      if (axis_ != 0) check_equal(name, "the number of channels of y", y.channels, width, "those of each input");
      const std::int64_t first = first_.values<std::int64_t>()[i];
      check_range(name, "first", first, axis_ == 0 ? covered : 0, y.channels - width);
      covered = first + width;
      firsts_.push_back(first);
    }
  }

  Size size(std::span<const Size> sizes) const override {
    Size found;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      const Size& x = sizes[static_cast<std::size_t>(x_[i])];
      const Size like = like_ == kNoTensor ? Size() : sizes[static_cast<std::size_t>(like_)];
      const Size y{static_cast<std::int64_t>(indices(kRows, i, x.height, like.height).size()),
                   static_cast<std::int64_t>(indices(kCols, i, x.width, like.width).size())};
      if (y.height < 1 || y.width < 1) refuse(name, ": nothing is left of input ", i, ", which has ", x.height, "x", x.width, " pixels");
      if (i == 0) {
        found = y;
        continue;
      }
      if ((axis_ != 1 && y.height != found.height) || (axis_ != 2 && y.width != found.width)) {
        refuse(name, ": its inputs have ", found.height, "x", found.width, " and ", y.height, "x", y.width,
               " pixels, must have the same", axis_ == 0 ? "" : axis_ == 1 ? " width" : " height");
      }
      if (axis_ == 1) found.height = std::min(found.height + y.height, kMaxExtent + 1);
      if (axis_ == 2) found.width = std::min(found.width + y.width, kMaxExtent + 1);
    }
    return found;
  }

  bool takes_narrow_pixels(std::int64_t) const override { return true; }
  bool writes_narrow_pixels() const override { return true; }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    Gather params{.y = tensors + y_, .parts = {}};
    const Size like = like_ == kNoTensor ? Size() : Size{tensors[like_].height, tensors[like_].width};
    std::int64_t row = 0, col = 0;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      const TensorRef* const x = tensors + x_[i];
      Gather::Part part{.x = x, .first = firsts_[i], .rows = indices(kRows, i, x->height, like.height),
                        .cols = indices(kCols, i, x->width, like.width), .channels = {}, .row = row, .col = col};
      const std::vector<std::int64_t>& channels = channels_[i];
      if (in_order(channels)) {
        part.from = channels[0], part.count = static_cast<std::int64_t>(channels.size());
      } else {
        part.channels = channels;
      }
      if (axis_ == 1) row += static_cast<std::int64_t>(part.rows.size());
      if (axis_ == 2) col += static_cast<std::int64_t>(part.cols.size());
      params.parts.push_back(std::move(part));
    }
    return {"gather", set.gather(params)};
  }

  std::vector<Within> within() const override {
    std::vector<Within> found;
    if (axis_ != 0) return found;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      if (!steps_[kRows][i].empty() || !steps_[kCols][i].empty() || !in_order(channels_[i])) continue;
      const bool slice = x_.size() == 1 && firsts_[0] == 0;
      if (slice) found.push_back({y_, x_[i], channels_[i][0]});
      if (!slice && channels_[i][0] == 0 && widths_[i] == static_cast<std::int64_t>(channels_[i].size()))
        found.push_back({x_[i], y_, firsts_[i]});
    }
    return found;
  }

  void drop_arrays() override {
    first_ = {};
    for (Array& moves : moves_) moves = {};
  }

 private:
  struct Step {
    std::int64_t move, a, b, c;
  };
  enum Axis : std::size_t { kRows, kCols, kChannels };
  static constexpr const char* kAxes[] = {"rows", "cols", "channels"};

  static bool in_order(const std::vector<std::int64_t>& channels) {
    return std::ranges::adjacent_find(channels, [](auto a, auto b) { return b != a + 1; }) == channels.end();
  }

  void read_moves(std::size_t axis, std::int64_t inputs) {
    check_equal(name, "the number of columns of rows, cols and channels", moves_[axis].shape[1], 5, "for one move each");
    steps_[axis].resize(static_cast<std::size_t>(inputs));
    const auto values = moves_[axis].view<std::int64_t, 2>();
    for (std::int64_t i = 0; i < values.shape[0]; ++i) {
      check_range(name, "the input of a move", values(i, 0), 0, inputs - 1);
      const Step step{values(i, 1), values(i, 2), values(i, 3), values(i, 4)};
      check_range(name, "a move", step.move, 0, kMoves - 1);
      const bool slice = step.move == kSlice;
      check_range(name, "the first number of a move", step.a, slice ? -kMaxExtent : step.move == kRepeat ? 1 : 0,
                  step.move == kRepeat ? kMaxFactor : kMaxExtent);
      check_range(name, "the second number of a move", step.b, slice ? -kMaxExtent : 0, slice ? kNoEnd : kMaxExtent);
      check_range(name, "the third number of a move", step.c, slice ? 1 : 0, kMaxExtent);
      if (axis == kChannels && (step.move == kPad || step.move == kCrop))
        refuse(name, ": a move of channels is ", step.move, ", must be 1..3 or 5..7");
      if (step.move == kCrop && like_ == kNoTensor) refuse(name, ": a move crops to the size of a tensor, must have `like`");
      steps_[axis][static_cast<std::size_t>(values(i, 0))].push_back(step);
    }
  }

  // Which pixel (or channel) each of y is along one axis; -1: zero.
  std::vector<std::int64_t> indices(std::size_t axis, std::size_t input, std::int64_t pixels, std::int64_t like) const {
    std::vector<std::int64_t> places(static_cast<std::size_t>(pixels));
    for (std::int64_t i = 0; i < pixels; ++i) places[static_cast<std::size_t>(i)] = i;
    for (const Step& step : steps_[axis][input]) {
      const auto size = static_cast<std::int64_t>(places.size());
      std::vector<std::int64_t> moved;
      if (step.move == kPad) {
        moved.assign(static_cast<std::size_t>(step.a), -1);
        moved.insert(moved.end(), places.begin(), places.end());
        moved.insert(moved.end(), static_cast<std::size_t>(step.b), -1);
      } else if (step.move == kSlice) {
        const auto from_end = [&](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size); };
        for (std::int64_t i = from_end(step.a); i < from_end(step.b); i += step.c)
          moved.push_back(places[static_cast<std::size_t>(i)]);
      } else if (step.move == kFlip) {
        moved.assign(places.rbegin(), places.rend());
      } else if (step.move == kCrop) {
        moved.assign(places.begin(), places.begin() + std::min(size, like));
      } else if (step.move >= kReflect) {
        const std::int64_t most = size == 0 ? 0 : reach(step.move, size);
        if (std::max(step.a, step.b) > most) refuse(name, ": pads ", size, " pixels by ", std::max(step.a, step.b), " of their own, must be at most ", most);
        for (std::int64_t i = -step.a; i < size + step.b; ++i) moved.push_back(places[static_cast<std::size_t>(mirrored(step.move, i, size))]);
      } else {
        if (size * step.a > kMaxExtent) refuse(name, ": y would have ", size * step.a, " pixels along an axis, must be 1..", kMaxExtent);
        for (const std::int64_t place : places) moved.insert(moved.end(), static_cast<std::size_t>(step.a), place);
      }
      places = std::move(moved);
    }
    return places;
  }

  std::vector<std::int64_t> x_, firsts_, widths_;  // widths_: channels of each input
  std::int64_t like_ = kNoTensor, y_ = kNoTensor, axis_ = 0;
  Array first_, moves_[3];
  std::vector<std::vector<Step>> steps_[3];          // by axis and input
  std::vector<std::vector<std::int64_t>> channels_;  // of x that go into y, by input
};

}  // namespace

std::unique_ptr<Operation> make_gather_operation() { return std::make_unique<Gathering>(); }

}  // namespace tilewise
