// Reads JSON from strangers: small limits, no duplicate names, one error that says where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tilewise {

// A value; which members hold something is what `kind` says.
struct Json {
  enum class Kind : std::uint8_t { kNull, kBool, kInteger, kReal, kText, kList, kObject };
  struct Member;  // no std::pair, whose traits ask what Json is before it is whole (Clang)

  Kind kind = Kind::kNull;
  bool flag = false;
  std::int64_t integer = 0;
  double real = 0;  // of integers too
  std::string text;
  std::vector<Json> items;
  std::vector<Member> members;  // in their order

  // The member called `name`, or null.
  const Json* find(std::string_view name) const;
  // "an integer", "a list", ...: for errors.
  const char* what() const;
};

struct Json::Member {
  std::string first;
  Json second;
};

// Throws std::invalid_argument, naming the position, for what is no JSON, is nested more than 16 deep, has a name
// twice in an object, or has a number that neither int64 nor a finite double holds.
Json parse_json(std::string_view text);

// `text` in quotes, escaped.
std::string json_text(std::string_view text);

}  // namespace tilewise
