// Writes .tilewise files for tests, so that tests can build a network and break it: a program as JSON that can be
// changed in place, arrays beside it, and both as the bytes of a file.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/aligned.h"
#include "base/check.h"
#include "base/json.h"
#include "program/file.h"
#include "program/operation.h"

namespace tilewise::testing {

inline Json of_kind(Json::Kind kind) {
  Json value;
  value.kind = kind;
  return value;
}
inline Json null() { return {}; }
inline Json json(std::same_as<bool> auto flag) {
  Json value = of_kind(Json::Kind::kBool);
  value.flag = flag;
  return value;
}
template <std::integral Number>
  requires(!std::same_as<Number, bool>)
Json json(Number number) {
  Json value = of_kind(Json::Kind::kInteger);
  value.integer = static_cast<std::int64_t>(number), value.real = static_cast<double>(number);
  return value;
}
inline Json json(std::floating_point auto number) {
  Json value = of_kind(Json::Kind::kReal);
  value.real = static_cast<double>(number);
  return value;
}
inline Json json(const std::string& text) {
  Json value = of_kind(Json::Kind::kText);
  value.text = text;
  return value;
}
inline Json json(const char* text) { return json(std::string(text)); }
inline Json numbers(const std::vector<std::int64_t>& values) {
  Json list = of_kind(Json::Kind::kList);
  for (const std::int64_t value : values) list.items.push_back(json(value));
  return list;
}
inline Json object(std::vector<Json::Member> members) {
  Json value = of_kind(Json::Kind::kObject);
  value.members = std::move(members);
  return value;
}

inline std::string text_of(const Json& value) {
  std::string text;
  const auto join = [&](char open, const auto& parts, char close, const auto& part) {
    text += open;
    for (std::size_t i = 0; i < parts.size(); ++i) text += (i == 0 ? "" : ", ") + part(parts[i]);
    text += close;
  };
  switch (value.kind) {
    case Json::Kind::kNull: return "null";
    case Json::Kind::kBool: return value.flag ? "true" : "false";
    case Json::Kind::kInteger: return std::to_string(value.integer);
    case Json::Kind::kReal: {
      char digits[32];
      return {digits, std::to_chars(digits, std::end(digits), value.real).ptr};
    }
    case Json::Kind::kText: return json_text(value.text);
    case Json::Kind::kList: join('[', value.items, ']', text_of); break;
    case Json::Kind::kObject:
      join('{', value.members, '}', [](const Json::Member& m) { return json_text(m.first) + ": " + text_of(m.second); });
  }
  return text;
}

// The values of an array, as a file stores them.
struct Values {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;

  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(bytes.data());
  }
};

template <typename T>
constexpr const char* dtype_name() {
  if (std::same_as<T, std::int8_t>) return "int8";
  if (std::same_as<T, std::int16_t>) return "int16";
  if (std::same_as<T, std::uint16_t>) return "uint16";
  if (std::same_as<T, std::int32_t>) return "int32";
  return std::same_as<T, std::int64_t> ? "int64" : "float32";
}

template <typename T>
Values values_of(std::vector<std::int64_t> shape, const std::vector<T>& values) {
  Values result{dtype_name<T>(), std::move(shape), std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(result.bytes.data(), values.data(), result.bytes.size());
  return result;
}
template <typename T>
Values values_of(const std::vector<T>& values) {
  return values_of({static_cast<std::int64_t>(values.size())}, values);
}

using Content = AlignedVector<std::byte>;

// The bytes of a file with any header.
inline Content container(std::string header, const std::vector<std::byte>& data) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  Content content(sizeof length + header.size() + data.size());
  std::memcpy(content.data(), &length, sizeof length);
  std::memcpy(content.data() + sizeof length, header.data(), header.size());
  if (!data.empty()) std::memcpy(content.data() + sizeof length + header.size(), data.data(), data.size());
  return content;
}

using NamedValues = std::map<std::string, Values, std::less<>>;

inline std::string checksum_of(const std::string& program, const NamedValues& values) {
  Arrays arrays;
  for (const auto& [name, array] : values)
    arrays[name] = {array.dtype, array.shape, array.bytes.data(), array.bytes.size()};
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", checksum(program, arrays));
  return digits;
}

inline Content file_of(const std::string& program, const NamedValues& values, const std::string& checksum) {
  const std::map<std::string, const char*> stored = {{"int8", "I8"},   {"int16", "I16"}, {"uint16", "U16"},
                                                     {"int32", "I32"}, {"int64", "I64"}, {"float32", "F32"}};
  Json header = object({{"__metadata__", object({{"tilewise_program", json(program)}, {"tilewise_checksum", json(checksum)}})}});
  std::vector<std::byte> data;
  for (const auto& [name, array] : values) {
    const auto begin = static_cast<std::int64_t>(data.size());
    data.insert(data.end(), array.bytes.begin(), array.bytes.end());
    const auto end = static_cast<std::int64_t>(data.size());
    data.resize((data.size() + 7) / 8 * 8);
    header.members.emplace_back(name, object({{"dtype", json(stored.at(array.dtype))},
                                              {"shape", numbers(array.shape)},
                                              {"data_offsets", numbers({begin, end})}}));
  }
  return container(text_of(header), data);
}

// A program that is put together, or broken.
struct Draft {
  Json program = object({{"version", json(4)}, {"tensors", numbers({})},
                         {"operations", numbers({})}});
  NamedValues values;  // "operation's number.field"

  std::vector<Json>& tensors() { return field(program, "tensors").items; }
  std::vector<Json>& operations() { return field(program, "operations").items; }

  static Json& field(Json& of, const std::string& name) {
    for (auto& [key, value] : of.members) {
      if (key == name) return value;
    }
    refuse("there is no ", name);
  }

  // Return the tensor's number.
  std::int64_t integers(const char* dtype, std::int64_t channels, float step, std::int64_t low, std::int64_t high) {
    Json tensor = named(channels, dtype);
    tensor.members.insert(tensor.members.end(),
                          {{"step", json(step)}, {"factor", json(1 / step)}, {"low", json(low)}, {"high", json(high)}});
    return add_tensor(std::move(tensor));
  }
  std::int64_t bytes(std::int64_t channels, std::int64_t low = 0) {
    return integers("uint8", channels, low == 0 ? 0.01F : 0.02F, low, low == 0 ? 255 : 127);
  }
  std::int64_t words(std::int64_t channels, std::int64_t low = 0) {
    return integers("int16", channels, 0.0012F, low, 2047);
  }
  std::int64_t halves(std::int64_t channels) { return add_tensor(named(channels, "bfloat16")); }
  std::int64_t floats(std::int64_t channels) { return add_tensor(named(channels, "float32")); }

  void add(const char* kind, const std::string& name, std::vector<Json::Member> fields,
           const std::vector<std::pair<std::string, Values>>& arrays = {}) {
    const std::string number = std::to_string(operations().size());
    fields.insert(fields.begin(), {{"op", json(kind)}, {"name", json(name)}});
    operations().push_back(object(std::move(fields)));
    for (const auto& [field, array] : arrays) values[number + "." + field] = array;
  }

  // Of the operation called `name`; its arrays by their fields.
  Json& operator()(const std::string& name, const std::string& of) { return field(operations()[number(name)], of); }
  Values& array(const std::string& name, const std::string& of) {
    return values.at(std::to_string(number(name)) + "." + of);
  }
  void drop_array(const std::string& name, const std::string& of) {
    values.erase(std::to_string(number(name)) + "." + of);
  }
  std::size_t number(const std::string& name) {
    for (std::size_t i = 0; i < operations().size(); ++i) {
      if (field(operations()[i], "name").text == name) return i;
    }
    refuse("there is no operation ", name);
  }

  Content file() const {
    const std::string text = text_of(program);
    return file_of(text, values, checksum_of(text, values));
  }

 private:
  Json named(std::int64_t channels, const char* dtype) {
    return object({{"name", json(std::string("t").append(std::to_string(tensors().size())))}, {"channels", json(channels)}, {"dtype", json(dtype)}});
  }
  std::int64_t add_tensor(Json tensor) {
    tensors().push_back(std::move(tensor));
    return static_cast<std::int64_t>(tensors().size()) - 1;
  }
};

}  // namespace tilewise::testing
