// The stream that tilewise-measure reads: lines of text, a keyword and fields "key=value" each, and arrays, a
// line and then their values as they lie in memory, little-endian. src/tilewise/latency/remote.py writes it.
//
// A stream may come from anywhere. What breaks a rule throws std::invalid_argument, which names it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tilewise::tools {

// A line's fields. Each must be read, and by no other name: check_all_read() refuses what is left.
class Fields {
 public:
  explicit Fields(const std::string& line);

  const std::string& keyword() const { return keyword_; }
  std::string text(const std::string& key);
  std::int64_t integer(const std::string& key);
  std::optional<std::int64_t> integer_or_none(const std::string& key);
  float number(const std::string& key);                        // "inf" and "-inf" too
  bool flag(const std::string& key);                           // 0 or 1
  std::vector<std::int64_t> integers(const std::string& key);  // separated by commas
  std::pair<std::int64_t, std::int64_t> pair(const std::string& key);
  bool has(const std::string& key) const { return values_.contains(key); }
  void check_all_read() const;

 private:
  std::string keyword_;
  std::map<std::string, std::string> values_;
};

struct Array {
  std::string dtype;  // int8, int16, uint16, int32, int64 or float32; uint16 holds the bits of bfloat16
  std::vector<std::int64_t> shape;
  std::vector<std::byte> values;
};

class Stream {
 public:
  explicit Stream(std::istream& input) : input_(input) {}

  // The next line that is not empty; nothing at the end of the stream.
  std::optional<Fields> line();
  // The values of the array that `fields` announces: what follows in the stream, or with random=LIMIT numbers
  // between -LIMIT and LIMIT. (Times do not depend on the values of weights, and a stream without them is
  // short.)
  Array array(Fields fields);
  std::int64_t lines() const { return lines_; }  // read so far

 private:
  std::istream& input_;
  std::int64_t lines_ = 0;
};

// Reproducible numbers between -limit and limit, none of them below limit / 127 but zero itself.
std::vector<float> random_floats(std::int64_t count, float limit);

}  // namespace tilewise::tools
