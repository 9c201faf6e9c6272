#include "program/program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "program/limits.h"

namespace tilewise {
namespace {

constexpr std::size_t kMaxCount = 16384;  // tensors, and operations
constexpr std::size_t kMaxName = 256;
constexpr std::int64_t kNarrowChannels = 8;
constexpr const char* kDtypes[] = {"uint8", "int16", "bfloat16", "float32"};

std::string shown(std::string_view text) { return std::string(text.substr(0, 80)); }

// The members of an object, each of which must be asked for once.
class Object {
 public:
  Object(std::string name, const Json& value) : name_(std::move(name)), value_(value) {
    if (value.kind != Json::Kind::kObject) refuse(name_, " is ", value.what(), ", must be an object");
  }

  const Json& member(const char* field) {
    const Json* const found = value_.find(field);
    if (found == nullptr) refuse(name_, " lacks ", field);
    asked_.insert(field);
    return *found;
  }
  void check_all_asked() const {
    for (const auto& [field, value] : value_.members) {
      if (!asked_.contains(field)) refuse(name_, " has an unknown field, ", shown(field));
    }
  }
  std::int64_t integer(const char* field, Range range) { return integer_of(member(field), field, range); }
  std::int64_t integer_of(const Json& value, const char* field, Range range) const {
    if (value.kind != Json::Kind::kInteger) refuse(name_, ": ", field, " is ", value.what(), ", must be an integer");
    check_range(name_, field, value.integer, range.low, range.high);
    return value.integer;
  }
  double real(const char* field) {
    const Json& value = member(field);
    if (value.kind != Json::Kind::kInteger && value.kind != Json::Kind::kReal)
      refuse(name_, ": ", field, " is ", value.what(), ", must be a number");
    return value.real;
  }
  const std::string& text(const char* field, std::size_t shortest) {
    const Json& value = member(field);
    if (value.kind != Json::Kind::kText) refuse(name_, ": ", field, " is ", value.what(), ", must be a text");
    if (value.text.size() < shortest || value.text.size() > kMaxName)
      refuse(name_, ": ", field, " has ", value.text.size(), " bytes, must have ", shortest, "..", kMaxName);
    return value.text;
  }
  const std::vector<Json>& list(const char* field, std::size_t least, std::size_t most) {
    const Json& value = member(field);
    if (value.kind != Json::Kind::kList) refuse(name_, ": ", field, " is ", value.what(), ", must be a list");
    if (value.items.size() < least || value.items.size() > most)
      refuse(name_, ": ", field, " has ", value.items.size(), " items, must have ", least, "..", most);
    return value.items;
  }
  void rename(std::string name) { name_ = std::move(name); }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  const Json& value_;
  std::set<std::string, std::less<>> asked_;
};

// Reads the fields of one operation.
class Reader final : public Fields {
 public:
  Reader(Object& object, Arrays& arrays, std::size_t number, std::size_t tensors, Operation& operation)
      : object_(object), arrays_(arrays), number_(number), last_tensor_(static_cast<std::int64_t>(tensors) - 1),
        operation_(operation) {}

  void reads(const char* field, std::int64_t& tensor, const char*) override {
    tensor = object_.integer(field, {0, last_tensor_});
    operation_.read.push_back(tensor);
  }
  void may_read(const char* field, std::int64_t& tensor, const char* what) override {
    tensor = kNoTensor;
    if (object_.member(field).kind != Json::Kind::kNull) reads(field, tensor, what);
  }
  void reads_all(const char* field, std::vector<std::int64_t>& tensors, const char*) override {
    for (const Json& item : object_.list(field, 1, kMaxCount)) {
      tensors.push_back(object_.integer_of(item, field, {0, last_tensor_}));
      operation_.read.push_back(tensors.back());
    }
  }
  void writes(const char* field, std::int64_t& tensor, const char*) override {
    tensor = operation_.written = object_.integer(field, {0, last_tensor_});
  }
  void integer(const char* field, std::int64_t& value, Range range, const char*) override {
    value = object_.integer(field, range);
  }
  void integers(const char* field, std::span<std::int64_t> values, Range range, const char*) override {
    const std::vector<Json>& items = object_.list(field, values.size(), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = object_.integer_of(items[i], field, range);
  }
  void flag(const char* field, bool& value, const char*) override {
    const Json& found = object_.member(field);
    if (found.kind != Json::Kind::kBool) refuse(object_.name(), ": ", field, " is ", found.what(), ", must be true or false");
    value = found.flag;
  }
  void real(const char* field, double& value, const char*) override {
    value = object_.real(field);
    if (!(value >= 0)) refuse(object_.name(), ": ", field, " is ", value, ", must be 0 or above");
  }
  void limit(const char* field, float& value, const char*) override {
    if (object_.member(field).kind == Json::Kind::kNull) return;
    const double found = object_.real(field);
    if (std::abs(found) > static_cast<double>(std::numeric_limits<float>::max()))
      refuse(object_.name(), ": ", field, " is ", found, ", must fit float32");
    value = static_cast<float>(found);
  }
  void text(const char* field, std::string& value, const char*) override { value = object_.text(field, 0); }
  void array(const char* field, Array& array, std::initializer_list<const char*> dtypes, std::size_t axes,
             const char* what) override {
    may_have(field, array, dtypes, axes, what);
    if (!array) refuse(object_.name(), ": the array ", field, " is missing");
  }
  void may_have(const char* field, Array& array, std::initializer_list<const char*> dtypes, std::size_t axes,
                const char*) override {
    auto node = arrays_.extract(std::to_string(number_) + "." + field);
    if (node.empty()) return;
    array = std::move(node.mapped());
    const bool fits = std::ranges::any_of(dtypes, [&](const char* dtype) { return array.dtype == dtype; });
    if (!fits || array.shape.size() != axes) {
      std::string allowed;
      for (const char* const dtype : dtypes) allowed += (allowed.empty() ? "" : " or ") + std::string(dtype);
      refuse(object_.name(), ": ", field, " is ", array.dtype, " of ", array.shape.size(), " axes, must be ", allowed,
             " of ", axes, " axes");
    }
    operation_.array_bytes += array.bytes;
  }

 private:
  Object& object_;
  Arrays& arrays_;
  std::size_t number_;
  std::int64_t last_tensor_;
  Operation& operation_;
};

float step_of(Object& object, const char* field) {
  const auto value = static_cast<float>(object.real(field));
  if (!(value > 0) || !std::isfinite(value)) refuse(object.name(), ": ", field, " is ", value, ", must be finite and above 0");
  return value;
}

// The byte that stands for 0: those of grids of other tools (low < -128 or high > 127) begin with low.
std::int32_t zero_of_bytes(const QuantGrid& grid) {
  if (grid.low == 0) return 0;
  return grid.low >= -128 && grid.high <= 127 ? 128 : -grid.low;
}

TensorType read_tensor(std::size_t number, const Json& value) {
  Object object("tensor " + std::to_string(number), value);
  TensorType tensor{.name = object.text("name", 1)};
  tensor.channels = object.integer("channels", {1, kMaxExtent});
  tensor.dtype = dtype_of(object.text("dtype", 1));
  if (tensor.dtype == Dtype::kUint8 || tensor.dtype == Dtype::kInt16) {
    const bool words = tensor.dtype == Dtype::kInt16;
    tensor.grid.step = step_of(object, "step");
    tensor.grid.factor = step_of(object, "factor");
    tensor.grid.low = static_cast<std::int32_t>(object.integer("low", {words ? -32767 : -255, 0}));
    const std::int64_t least = tensor.grid.low == 0 ? 1 : 0, most = words ? 32767 : 255 + tensor.grid.low;
    tensor.grid.high = static_cast<std::int32_t>(object.integer("high", {least, most}));
    tensor.grid.zero = words ? 0 : zero_of_bytes(tensor.grid);
  }
  object.check_all_asked();
  return tensor;
}

std::unique_ptr<Operation> read_operation(std::size_t number, const Json& value, Arrays& arrays, std::size_t tensors) {
  Object object("operation " + std::to_string(number), value);
  const std::string& kind = object.text("op", 1);
  std::unique_ptr<Operation> operation = make_operation(kind);
  if (operation == nullptr) {
    std::string known;
    for (const char* const name : operation_kinds()) known += (known.empty() ? "" : ", ") + std::string(name);
    refuse(object.name(), ": op is ", shown(kind), ", must be one of ", known);
  }
  operation->kind = kind;
  operation->name = object.text("name", 1);
  object.rename(operation->name);
  Reader reader(object, arrays, number, tensors, *operation);
  operation->fields(reader);
  object.check_all_asked();
  return operation;
}

}  // namespace

Dtype dtype_of(const std::string& name) {
  for (std::size_t i = 0; i < std::size(kDtypes); ++i) {
    if (name == kDtypes[i]) return static_cast<Dtype>(i);
  }
  refuse("dtype is ", shown(name), ", must be uint8, int16, bfloat16 or float32");
}

const char* name_of(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)]; }

Program::Program(std::span<const std::byte> content) {
  File file = read_file(content);
  checksum_ = tilewise::checksum(file.program, file.arrays);
  const Json description = parse_json(file.program);
  Object object("the program", description);
  const std::int64_t version = object.integer("version", {0, std::numeric_limits<std::int64_t>::max()});
  if (version > kProgramVersion)
    refuse("it is of version ", version, "; this release reads version ", kProgramVersion, ": update tilewise");
  if (version < kProgramVersion)
    refuse("it is of version ", version, "; this release reads version ", kProgramVersion, ": compile the network again");
  const std::vector<Json>& tensors = object.list("tensors", 1, kMaxCount);
  for (std::size_t i = 0; i < tensors.size(); ++i) tensors_.push_back(read_tensor(i, tensors[i]));
  const std::vector<Json>& operations = object.list("operations", 1, kMaxCount);
  object.check_all_asked();
  for (std::size_t i = 0; i < operations.size(); ++i)
    operations_.push_back(read_operation(i, operations[i], file.arrays, tensors.size()));
  if (!file.arrays.empty()) refuse("there is no place for the array ", shown(file.arrays.begin()->first));
  check_wiring();
  set_strides();
  for (const auto& operation : operations_) operation->check(tensors_);
}

// Each tensor is written once, before it is read; inputs and outputs have names of their own.
void Program::check_wiring() {
  std::vector<bool> written(tensors_.size(), false);
  std::set<std::string> names;
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    const Operation& operation = *operations_[i];
    for (const std::int64_t tensor : operation.read) {
      if (!written[static_cast<std::size_t>(tensor)])
        refuse(operation.name, ": reads tensor ", tensor, ", which nothing has written yet");
    }
    if (operation.written != kNoTensor) {
      if (written[static_cast<std::size_t>(operation.written)])
        refuse(operation.name, ": writes tensor ", operation.written, ", which is written already");
      written[static_cast<std::size_t>(operation.written)] = true;
    }
    const bool input = operation.kind == "input";
    if (!input && operation.kind != "output") continue;
    (input ? inputs_ : outputs_).push_back(i);
    if (!names.insert((input ? "input " : "output ") + operation.name).second)
      refuse("there are two ", operation.kind, "s with the name ", operation.name);
  }
  if (inputs_.empty() || outputs_.empty()) refuse("the program has no ", inputs_.empty() ? "input" : "output", ", must have one");
  for (std::size_t tensor = 0; tensor < tensors_.size(); ++tensor) {
    if (!written[tensor]) refuse("tensor ", tensor, " is written by no operation");
  }
}

// The distance of two pixels is the channels rounded up to 16, for whole vectors; of images of few channels that only
// operations write and read which do not care, to 4: those of colour are four times as small.
void Program::set_strides() {
  std::vector<bool> narrow(tensors_.size(), false);
  for (const auto& operation : operations_) {
    if (operation->written == kNoTensor) continue;
    const auto written = static_cast<std::size_t>(operation->written);
    narrow[written] = operation->writes_narrow_pixels() && tensors_[written].channels <= kNarrowChannels;
  }
  for (const auto& operation : operations_) {
    for (const std::int64_t tensor : operation->read) {
      if (!operation->takes_narrow_pixels(tensor)) narrow[static_cast<std::size_t>(tensor)] = false;
    }
  }
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const std::int64_t group = narrow[i] ? kNarrowGroup : kLaneGroup;
    tensors_[i].stride = (tensors_[i].channels + group - 1) / group * group;
  }
}

void Program::drop_arrays() {
  for (const auto& operation : operations_) operation->drop_arrays();
}

}  // namespace tilewise
