// What the tools are told: a keyword, and fields "key=number".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tilewise::tools {

inline constexpr std::size_t kMaxShown = 80;  // characters of bad input in an error

// A command. Each field must be read: check_all_read() refuses what is left.
class Command {
 public:
  explicit Command(const std::string& line);

  const std::string& keyword() const { return keyword_; }
  std::int64_t number(const std::string& key, std::int64_t low, std::int64_t high);
  // Return `otherwise` if the field is not there.
  std::int64_t number_or(std::int64_t otherwise, const std::string& key, std::int64_t low, std::int64_t high);
  std::string text_or(const std::string& otherwise, const std::string& key);
  void check_all_read() const;

 private:
  std::string keyword_;
  std::map<std::string, std::string> values_;
};

// Noise between -1 and 1, the same everywhere: a linear congruential generator (Knuth's constants).
std::vector<float> noise(std::size_t count);

}  // namespace tilewise::tools
