#include "tools/plan_reader.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/tensor.h"

namespace tilewise::tools {
namespace {

using Arrays = std::map<std::string, Array>;

template <typename T>
constexpr const char* kName = nullptr;
template <>
constexpr const char* kName<std::int8_t> = "int8";
template <>
constexpr const char* kName<std::int16_t> = "int16";
template <>
constexpr const char* kName<std::uint16_t> = "uint16";
template <>
constexpr const char* kName<std::int32_t> = "int32";
template <>
constexpr const char* kName<std::int64_t> = "int64";
template <>
constexpr const char* kName<float> = "float32";

// An operation: its line, and the arrays that follow it.
class Node {
 public:
  Node(Fields fields, Arrays arrays)
      : fields_(std::move(fields)), arrays_(std::move(arrays)), name_(fields_.text("name")) {}

  Fields& fields() { return fields_; }
  const std::string& name() const { return name_; }

  Wiring wiring() { return {.name = name_, .x = fields_.integer("x"), .y = fields_.integer("y")}; }
  Wiring wiring_with_residual() {
    Wiring result = wiring();
    result.residual = fields_.integer_or_none("residual");
    return result;
  }
  Activation activation() { return {.low = fields_.number("act_low"), .high = fields_.number("act_high")}; }

  template <typename T, std::size_t Rank>
  TensorView<const T, Rank> array(const std::string& of) {
    return view<T, Rank>(of, find(of));
  }
  template <typename T, std::size_t Rank>
  std::optional<TensorView<const T, Rank>> array_or_none(const std::string& of) {
    if (!arrays_.contains(of)) return std::nullopt;
    return array<T, Rank>(of);
  }
  template <std::size_t Rank>
  WeightView<Rank> weights(const std::string& of) {
    const Array& found = find(of);
    if (found.dtype == kName<std::int8_t>) return view<std::int8_t, Rank>(of, found);
    if (found.dtype == kName<std::int16_t>) return view<std::int16_t, Rank>(of, found);
    if (found.dtype == kName<std::uint16_t>) return view<std::uint16_t, Rank>(of, found);
    return view<float, Rank>(of, found);
  }

  void check_all_read() const {
    fields_.check_all_read();
    for (const auto& [of, array] : arrays_) {
      if (!read_.contains(of)) refuse(name_, ": there is no place for the array ", of);
    }
  }

 private:
  const Array& find(const std::string& of) {
    const auto found = arrays_.find(of);
    if (found == arrays_.end()) refuse(name_, ": the array ", of, " is missing");
    read_.insert(of);
    return found->second;
  }

  template <typename T, std::size_t Rank>
  TensorView<const T, Rank> view(const std::string& of, const Array& array) const {
    if (array.dtype != kName<T> || array.shape.size() != Rank) {
      refuse(name_, ": ", of, " is ", array.dtype, " of ", array.shape.size(), " axes, must be ", kName<T>,
             " of ", Rank);
    }
    Shape<Rank> shape{};
    std::copy_n(array.shape.begin(), Rank, shape.begin());
    return {reinterpret_cast<const T*>(array.values.data()), shape};
  }

  Fields fields_;
  Arrays arrays_;
  std::string name_;
  std::set<std::string> read_;  // of the arrays
};

TensorSpec tensor(Fields& fields) {
  return {.height = fields.integer("height"),
          .width = fields.integer("width"),
          .channels = fields.integer("channels"),
          .stride = fields.integer("stride"),
          .offset = fields.integer("offset"),
          .dtype = dtype_of(fields.text("dtype")),
          .grid = {.step = fields.number("step"),
                   .factor = fields.number("factor"),
                   .low = int32("low", fields.integer("low")),
                   .high = int32("high", fields.integer("high"))}};
}

DirectSpec direct(Node& node) {
  const auto [stride_h, stride_w] = node.fields().pair("stride");
  const auto [pad_top, pad_left] = node.fields().pair("padding");
  const auto [dilation_h, dilation_w] = node.fields().pair("dilation");
  return {.weight = node.weights<4>("weight"),
          .scale = node.array_or_none<float, 1>("scale"),
          .bias = node.array<float, 1>("bias"),
          .window = {.stride_h = stride_h,
                     .stride_w = stride_w,
                     .pad_top = pad_top,
                     .pad_left = pad_left,
                     .dilation_h = dilation_h,
                     .dilation_w = dilation_w},
          .activation = node.activation(),
          .unfused = node.fields().flag("unfused")};
}

FastSpec fast(Node& node) {
  const auto [pad_top, pad_left] = node.fields().pair("padding");
  return {.algorithm = node.fields().text("algorithm"),
          .bt = node.array<float, 2>("bt"),
          .at = node.array<float, 2>("at"),
          .integer = node.fields().flag("integer"),
          .u = node.weights<3>("u"),
          .mult = node.array_or_none<std::int32_t, 2>("mult"),
          .scale = node.array_or_none<float, 2>("scale"),
          .v_limit = node.fields().integer("v_limit"),
          .fraction_bits = int32("fraction_bits", node.fields().integer("fraction_bits")),
          .bias = node.array<float, 1>("bias"),
          .stride = node.fields().integer("stride"),
          .pad_top = pad_top,
          .pad_left = pad_left,
          .activation = node.activation(),
          .block = node.fields().integer("block")};
}

IntegerSpec integers(Node& node) {
  const auto [pad_top, pad_left] = node.fields().pair("padding");
  return {.algorithm = node.fields().text("algorithm"),
          .weight = node.array<std::int8_t, 4>("weight"),
          .scale = node.array<float, 1>("scale"),
          .bias = node.array<float, 1>("bias"),
          .pad_top = pad_top,
          .pad_left = pad_left,
          .activation = node.activation(),
          .block = node.fields().integer("block")};
}

ExactSpec exact(Node& node) {
  return {integers(node), node.array<std::int32_t, 2>("at"), node.array<std::int32_t, 2>("g"),
          node.array<std::int32_t, 2>("bt")};
}

ResidueSpec residue(Node& node) {
  return {integers(node), node.fields().integer("m"), node.array<std::int64_t, 1>("moduli")};
}

PoolSpec pool(Node& node) {
  return {.maximum = node.fields().flag("maximum"),
          .rows = node.array<std::int64_t, 2>("rows"),
          .cols = node.array<std::int64_t, 2>("cols"),
          .divisor = node.fields().integer("divisor")};
}

EltwiseSpec eltwise(Node& node) {
  return {.scale = node.array_or_none<float, 1>("scale"),
          .bias = node.array_or_none<float, 1>("bias"),
          .activation = node.activation()};
}

GatherSpec gather(Node& node) {
  return {.rows = node.array<std::int64_t, 1>("rows"),
          .cols = node.array<std::int64_t, 1>("cols"),
          .first = node.fields().integer("first"),
          .clear = node.fields().flag("clear")};
}

ResizeSpec resize(Node& node) {
  return {.rows = node.array<std::int64_t, 2>("rows"),
          .cols = node.array<std::int64_t, 2>("cols"),
          .row_weights = node.array<float, 1>("row_weights"),
          .col_weights = node.array<float, 1>("col_weights")};
}

// Everything of the node is read, and seen to be read, before the plan takes it.
void add(Plan& plan, Node& node) {
  const auto whole = [&](auto value) {
    node.check_all_read();
    return value;
  };
  const std::string op = node.fields().keyword();
  if (op == "import_nchw") return plan.import_nchw(node.name(), whole(node.fields().integer("y")));
  if (op == "export_nchw") return plan.export_nchw(node.name(), whole(node.fields().integer("x")));
  const bool has_residual =
      op == "direct" || op == "fast" || op == "exact" || op == "residue" || op == "eltwise";
  const Wiring wiring = has_residual ? node.wiring_with_residual() : node.wiring();
  if (op == "direct") return plan.direct(wiring, whole(direct(node)));
  if (op == "fast") return plan.fast(wiring, whole(fast(node)));
  if (op == "exact") return plan.exact(wiring, whole(exact(node)));
  if (op == "residue") return plan.residue(wiring, whole(residue(node)));
  if (op == "eltwise") return plan.eltwise(wiring, whole(eltwise(node)));
  if (op == "pool") return plan.pool(wiring, whole(pool(node)));
  if (op == "gather") return plan.gather(wiring, whole(gather(node)));
  if (op == "pixel_shuffle") return plan.pixel_shuffle(wiring, whole(node.fields().integer("factor")));
  if (op == "resize") return plan.resize(wiring, whole(resize(node)));
  refuse("unknown operation ", op.substr(0, 80));
}

Fields next_line(Stream& stream) {
  std::optional<Fields> line = stream.line();
  if (!line) refuse("the stream ends within a plan");
  return *std::move(line);
}

}  // namespace

Plan read_plan(Fields first, Stream& stream) {
  Plan plan(first.integer("batch"), first.integer("arena_bytes"));
  first.check_all_read();
  Fields line = next_line(stream);
  for (; line.keyword() == "tensor"; line = next_line(stream)) {
    plan.add_tensor(tensor(line));
    line.check_all_read();
  }
  while (line.keyword() != "end") {
    Fields operation = std::move(line);
    Arrays arrays;
    for (line = next_line(stream); line.keyword() == "array"; line = next_line(stream)) {
      const std::string of = line.text("of");
      if (!arrays.emplace(of, stream.array(line)).second) refuse("the array ", of, " is given twice");
    }
    Node node(std::move(operation), std::move(arrays));
    add(plan, node);
  }
  line.check_all_read();
  plan.check_finished();
  return plan;
}

}  // namespace tilewise::tools
