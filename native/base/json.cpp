#include "base/json.h"

#include <charconv>
#include <cmath>
#include <system_error>

#include "base/check.h"

namespace tilewise {
namespace {

constexpr int kMaxDepth = 16;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json all() {
    Json value = any(0);
    skip_space();
    if (at_ != text_.size()) fail("the end");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* wanted) const {
    refuse("it is not JSON: at byte ", at_, " there must be ", wanted);
  }

  bool has(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool take(char c) {
    skip_space();
    if (!has(c)) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    while (has(' ') || has('\n') || has('\t') || has('\r')) ++at_;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json any(int depth) {
    if (depth > kMaxDepth) fail("no deeper nesting (16 levels are allowed)");
    skip_space();
    Json value;
    if (has('{')) return object(depth);
    if (has('[')) return list(depth);
    if (has('"')) {
      value.kind = Json::Kind::kText;
      value.text = text();
    } else if (take_word("true")) {
      value.kind = Json::Kind::kBool;
      value.flag = true;
    } else if (take_word("false")) {
      value.kind = Json::Kind::kBool;
    } else if (!take_word("null")) {
      return number();
    }
    return value;
  }

  Json object(int depth) {
    Json value;
    value.kind = Json::Kind::kObject;
    ++at_;
    if (take('}')) return value;
    do {
      skip_space();
      if (!has('"')) fail("a name in quotes");
      std::string name = text();
      if (value.find(name) != nullptr) fail("a name that the object does not have yet");
      if (!take(':')) fail("a colon");
      value.members.emplace_back(std::move(name), any(depth + 1));
    } while (take(','));
    if (!take('}')) fail("a comma or }");
    return value;
  }

  Json list(int depth) {
    Json value;
    value.kind = Json::Kind::kList;
    ++at_;
    if (take(']')) return value;
    do {
      value.items.push_back(any(depth + 1));
    } while (take(','));
    if (!take(']')) fail("a comma or ]");
    return value;
  }

  Json number() {
    const std::size_t start = at_;
    while (at_ < text_.size() && std::string_view("+-.0123456789eE").find(text_[at_]) != std::string_view::npos)
      ++at_;
    const char* const begin = text_.data() + start;
    const char* const end = text_.data() + at_;
    Json value;
    value.kind = Json::Kind::kInteger;
    if (const auto [last, error] = std::from_chars(begin, end, value.integer);
        begin != end && error == std::errc() && last == end) {
      value.real = static_cast<double>(value.integer);
      return value;
    }
    value.kind = Json::Kind::kReal;
    const auto [last, error] = std::from_chars(begin, end, value.real);
    if (begin == end || error != std::errc() || last != end || !std::isfinite(value.real)) {
      at_ = start;
      fail("a value (numbers must fit 64 bits)");
    }
    return value;
  }

  std::string text() {
    std::string found;
    for (++at_; !has('"'); ++at_) {
      if (at_ >= text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20) fail("a closing quote");
      if (text_[at_] != '\\') {
        found += text_[at_];
        continue;
      }
      ++at_;
      if (at_ >= text_.size()) fail("an escaped character");
      constexpr std::string_view kEscaped = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
      if (const std::size_t place = kEscaped.find(text_[at_]); place != std::string_view::npos) {
        found += kMeant[place];
      } else if (text_[at_] == 'u') {
        append_utf8(found, code_point());
      } else {
        fail("a known escape");
      }
    }
    ++at_;
    return found;
  }

  std::uint32_t four_digits() {
    std::uint32_t code = 0;
    const char* const begin = text_.data() + at_ + 1;
    if (text_.size() - at_ < 5) fail("four hexadecimal digits");
    const auto [last, error] = std::from_chars(begin, begin + 4, code, 16);
    if (error != std::errc() || last != begin + 4) fail("four hexadecimal digits");
    at_ += 4;
    return code;
  }

  // What lies beyond 16 bits comes as two halves.
  std::uint32_t code_point() {
    const std::uint32_t high = four_digits();
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || text_.substr(at_ + 1, 2) != "\\u") fail("both halves of a character");
    at_ += 2;
    const std::uint32_t low = four_digits();
    if (low < 0xDC00 || low > 0xDFFF) fail("both halves of a character");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  static void append_utf8(std::string& to, std::uint32_t code) {
    const auto byte = [&](std::uint32_t value) { to += static_cast<char>(value); };
    if (code < 0x80) return byte(code);
    if (code < 0x800) {
      byte(0xC0 | code >> 6);
    } else if (code < 0x10000) {
      byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F));
    } else {
      byte(0xF0 | code >> 18), byte(0x80 | (code >> 12 & 0x3F)), byte(0x80 | (code >> 6 & 0x3F));
    }
    byte(0x80 | (code & 0x3F));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

const Json* Json::find(std::string_view name) const {
  for (const Member& member : members) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

const char* Json::what() const {
  constexpr const char* kNames[] = {"null", "true or false", "an integer", "a number", "a text", "a list", "an object"};
  return kNames[static_cast<std::size_t>(kind)];
}

Json parse_json(std::string_view text) { return Parser(text).all(); }

std::string json_text(std::string_view text) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') quoted += '\\';
    if (code < 0x20) {
      quoted += "\\u00";
      quoted += kDigits[code >> 4];
      quoted += kDigits[code & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace tilewise
