#include "tools/command.h"

#include <charconv>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/check.h"

namespace tilewise::tools {

Command::Command(const std::string& line) {
  std::istringstream words(line);
  words >> keyword_;
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos)
      refuse("'", word.substr(0, kMaxShown), "' is no field, must be key=value");
    if (!values_.emplace(word.substr(0, equals), word.substr(equals + 1)).second)
      refuse("the field ", word.substr(0, equals), " is given twice");
  }
}

std::int64_t Command::number(const std::string& key, std::int64_t low, std::int64_t high) {
  const auto node = values_.extract(key);
  if (node.empty()) refuse(keyword_.substr(0, kMaxShown), " lacks the field ", key);
  const std::string& text = node.mapped();
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || last != end || value < low || value > high)
    refuse(key, " is '", text.substr(0, kMaxShown), "', must be ", low, "..", high);
  return value;
}

std::int64_t Command::number_or(std::int64_t otherwise, const std::string& key, std::int64_t low, std::int64_t high) {
  return values_.contains(key) ? number(key, low, high) : otherwise;
}

std::string Command::text_or(const std::string& otherwise, const std::string& key) {
  const auto node = values_.extract(key);
  return node.empty() ? otherwise : node.mapped();
}

void Command::check_all_read() const {
  if (values_.empty()) return;
  refuse(keyword_.substr(0, kMaxShown), " has the unknown field ", values_.begin()->first.substr(0, kMaxShown));
}

std::vector<float> noise(std::size_t count) {
  std::uint64_t state = 1;
  std::vector<float> values(count);
  for (float& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<float>(static_cast<std::int32_t>(state >> 32)) / 2147483648.0F;
  }
  return values;
}

}  // namespace tilewise::tools
