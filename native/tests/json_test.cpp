// JSON from strangers: what is read, and what is refused where.
#include "base/json.h"

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "tests/check.h"
#include "tests/program_builder.h"

namespace tilewise::testing {
namespace {

using Kind = Json::Kind;

void test_values() {
  const Json all = parse_json(" {\"a\" : [1, -2.5e1, true, false, null, \"x\"],\n\t\"b\":{} , \"c\" :[]}\r\n");
  CHECK(all.kind == Kind::kObject && all.members.size() == 3, "object");
  const std::vector<Json>& items = all.find("a")->items;
  CHECK(items[0].kind == Kind::kInteger && items[0].integer == 1 && items[0].real == 1, "1");
  CHECK(items[1].kind == Kind::kReal && items[1].real == -25, "-25");
  CHECK(items[2].kind == Kind::kBool && items[2].flag && items[3].kind == Kind::kBool && !items[3].flag, "bool");
  CHECK(items[4].kind == Kind::kNull && items[5].kind == Kind::kText && items[5].text == "x", "null and text");
  CHECK(all.find("b")->kind == Kind::kObject && all.find("c")->kind == Kind::kList, "empty ones");
  CHECK(all.find("d") == nullptr, "what is not there");
  CHECK(parse_json("9223372036854775807").integer == std::numeric_limits<std::int64_t>::max(), "largest");
  CHECK(parse_json("-9223372036854775808").integer == std::numeric_limits<std::int64_t>::min(), "smallest");
  CHECK(parse_json("9223372036854775808").kind == Kind::kReal, "beyond 64 bits it is a real number");
}

void test_texts() {
  CHECK(parse_json(R"("a\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00")").text ==
            "a\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
        "escapes");
  for (const std::string text : {"", "plain", "\"\\\n\x01\x1F", "\xC3\xA9"})
    CHECK(parse_json(json_text(text)).text == text, json_text(text));
}

// What the tests write is what is read.
void test_round_trip() {
  for (const std::string text : {"null", "[1, -5, 0.25, 1e-30]", "{\"a\": {\"b\": []}, \"c\": [true, false, \"d\"]}"})
    CHECK(text_of(parse_json(text)) == text, text);
  const float third = 1.0F / 3;
  CHECK(static_cast<float>(parse_json(text_of(json(third))).real) == third, "floats keep their bits");
}

void test_kinds() {
  const std::pair<const char*, const char*> kinds[] = {{"null", "null"},    {"true", "true or false"}, {"7", "an integer"},
                                                       {"7.5", "a number"}, {"\"7\"", "a text"},       {"[7]", "a list"},
                                                       {"{}", "an object"}};
  for (const auto& [text, kind] : kinds) CHECK(std::string(parse_json(text).what()) == kind, text);
}

void test_refusals() {
  const auto refused = [](const std::string& text, const std::string& part) {
    CHECK(throws<std::invalid_argument>([&] { parse_json(text); }, "it is not JSON: at byte " + part), text);
  };
  refused("", "0 there must be a value");
  refused("  ", "2 there must be a value");
  refused("1 2", "2 there must be the end");
  refused("nul", "0 there must be a value");
  refused("[1,]", "3 there must be a value");
  refused("[1 2]", "3 there must be a comma or ]");
  refused("{1:2}", "1 there must be a name in quotes");
  refused("{\"a\" 2}", "5 there must be a colon");
  refused("{\"a\":2 \"b\":3}", "7 there must be a comma or }");
  refused("{\"a\":1,\"a\":2}", "10 there must be a name that the object does not have yet");
  refused("\"a", "2 there must be a closing quote");
  refused("\"a\nb\"", "2 there must be a closing quote");
  refused("\"\\", "2 there must be an escaped character");
  refused("\"\\x\"", "2 there must be a known escape");
  refused("\"\\u12\"", "2 there must be four hexadecimal digits");
  refused("\"\\u12g4\"", "2 there must be four hexadecimal digits");
  refused("\"\\ud800\"", "6 there must be both halves of a character");
  refused("\"\\ud800\\u0041\"", "12 there must be both halves of a character");
  refused("\"\\udc00\"", "6 there must be both halves of a character");
  for (const char* const number : {"1e999", "-1e999", "+1", "1-", "--1", "1.2.3", "e5", "0x10", "nan", "inf"})
    CHECK(throws<std::invalid_argument>([&] { parse_json(number); }, "it is not JSON: at byte "), number);
}

void test_depth() {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(parse_json(nested(17)).kind == Kind::kList, "as deep as is allowed");
  CHECK(throws<std::invalid_argument>([&] { parse_json(nested(18)); }, "16 levels are allowed"), "deeper");
  CHECK(throws<std::invalid_argument>([] { parse_json(std::string(1'000'000, '[')); }, "16 levels"), "much deeper");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  test_values();
  test_texts();
  test_round_trip();
  test_kinds();
  test_refusals();
  test_depth();
}
