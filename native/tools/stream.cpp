#include "tools/stream.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <system_error>

#include "base/check.h"

namespace tilewise::tools {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are copied as they lie in the stream");

constexpr std::size_t kMaxLine = 4096;
constexpr std::size_t kMaxShown = 80;  // of a value in an error
constexpr std::int64_t kMaxArrayBytes = std::int64_t{1} << 30;
constexpr std::int64_t kChunk = std::int64_t{1} << 20;  // read at a time: a false size costs no memory
constexpr float kFloatSteps = 127;

template <typename Number>
Number parse(const std::string& key, const std::string& text, const char* allowed) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || last != end)
    refuse(key, " is '", text.substr(0, kMaxShown), "', must be ", allowed);
  return value;
}

// A linear congruential generator (Knuth's constants): fast, and the same numbers everywhere.
class Random {
 public:
  // An integer of -limit..limit; limit is at most 32767.
  std::int32_t next(std::int32_t limit) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t choices = 2 * static_cast<std::uint64_t>(limit) + 1;
    return static_cast<std::int32_t>(((state_ >> 32) * choices) >> 32) - limit;
  }

 private:
  std::uint64_t state_ = 1;
};

template <typename T>
void fill(std::vector<std::byte>& bytes, const auto& next) {
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(T)) {
    const T value = next();
    std::memcpy(bytes.data() + at, &value, sizeof(T));
  }
}

float next_float(Random& random, float limit) {
  return static_cast<float>(random.next(static_cast<int>(kFloatSteps))) / kFloatSteps * limit;
}

template <typename T>
void fill_integers(std::vector<std::byte>& bytes, std::int64_t limit) {
  constexpr std::int64_t kMost = std::numeric_limits<T>::max();
  if (limit < 0 || limit > kMost) refuse("random is ", limit, ", must be 0..", kMost, " for this dtype");
  Random random;
  fill<T>(bytes, [&] { return static_cast<T>(random.next(static_cast<std::int32_t>(limit))); });
}

void fill_random(Array& array, Fields& fields) {
  if (array.dtype == "int8") return fill_integers<std::int8_t>(array.values, fields.integer("random"));
  if (array.dtype == "int16") return fill_integers<std::int16_t>(array.values, fields.integer("random"));
  if (array.dtype != "float32" && array.dtype != "uint16")
    refuse("an array of ", array.dtype, " cannot be random, only int8, int16, uint16 and float32 can");
  const float limit = fields.number("random");
  if (!(limit >= 0) || !std::isfinite(limit)) refuse("random is ", limit, ", must be finite and 0 or more");
  Random random;
  if (array.dtype == "float32") {
    return fill<float>(array.values, [&] { return next_float(random, limit); });
  }
  fill<std::uint16_t>(array.values, [&] {
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(next_float(random, limit)) >> 16);
  });
}

std::int64_t item_bytes(const std::string& dtype) {
  if (dtype == "int8") return 1;
  if (dtype == "int16" || dtype == "uint16") return 2;
  if (dtype == "int32" || dtype == "float32") return 4;
  if (dtype == "int64") return 8;
  refuse("dtype is '", dtype.substr(0, kMaxShown), "', must be int8, int16, uint16, int32, int64 or float32");
}

}  // namespace

Fields::Fields(const std::string& line) {
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

std::string Fields::text(const std::string& key) {
  auto node = values_.extract(key);
  if (node.empty()) refuse(keyword_.substr(0, kMaxShown), " lacks the field ", key);
  return std::move(node.mapped());
}

std::int64_t Fields::integer(const std::string& key) {
  return parse<std::int64_t>(key, text(key), "an integer");
}

std::optional<std::int64_t> Fields::integer_or_none(const std::string& key) {
  const std::string value = text(key);
  if (value == "none") return std::nullopt;
  return parse<std::int64_t>(key, value, "an integer, or none");
}

float Fields::number(const std::string& key) { return parse<float>(key, text(key), "a number"); }

bool Fields::flag(const std::string& key) {
  const std::string value = text(key);
  if (value != "0" && value != "1") refuse(key, " is '", value.substr(0, kMaxShown), "', must be 0 or 1");
  return value == "1";
}

std::vector<std::int64_t> Fields::integers(const std::string& key) {
  const std::string list = text(key);
  std::vector<std::int64_t> values;
  for (std::size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
    end = list.find(',', begin);
    const std::string part = list.substr(begin, end - begin);
    values.push_back(parse<std::int64_t>(key, part, "integers, separated by commas"));
  }
  return values;
}

std::pair<std::int64_t, std::int64_t> Fields::pair(const std::string& key) {
  const std::vector<std::int64_t> values = integers(key);
  if (values.size() != 2) refuse(key, " has ", values.size(), " numbers, must have 2");
  return {values[0], values[1]};
}

void Fields::check_all_read() const {
  if (!values_.empty())
    refuse(keyword_.substr(0, kMaxShown), " has the unknown field ",
           values_.begin()->first.substr(0, kMaxShown));
}

std::optional<Fields> Stream::line() {
  char text[kMaxLine];
  do {
    ++lines_;
    if (!input_.getline(text, kMaxLine)) {
      if (input_.gcount() == 0 && input_.eof()) return std::nullopt;
      refuse("a line is longer than ", kMaxLine - 1, " bytes");
    }
    if (input_.eof()) refuse("the stream ends within a line");
  } while (text[0] == '\0');
  return Fields(text);
}

Array Stream::array(Fields fields) {
  Array array{.dtype = fields.text("dtype"), .shape = fields.integers("shape"), .values = {}};
  const std::int64_t item = item_bytes(array.dtype);
  for (const std::int64_t extent : array.shape) {
    if (extent < 0) refuse("an extent of the array is ", extent, ", must be 0 or more");
  }
  const std::int64_t count = element_count(array.shape);
  if (count > kMaxArrayBytes / item)
    refuse("the array has ", count, " values, must have at most ", kMaxArrayBytes / item);
  const std::int64_t bytes = count * item;
  if (fields.has("random")) {
    array.values.resize(static_cast<std::size_t>(bytes));
    fill_random(array, fields);
    fields.check_all_read();
    return array;
  }
  fields.check_all_read();
  for (std::int64_t read = 0; read < bytes;) {
    const std::int64_t piece = std::min(kChunk, bytes - read);
    array.values.resize(static_cast<std::size_t>(read + piece));
    if (!input_.read(reinterpret_cast<char*>(array.values.data() + read), piece))
      refuse("the stream ends within an array");
    read += piece;
  }
  if (input_.get() != '\n') refuse("an array does not end where its shape says");
  return array;
}

std::vector<float> random_floats(std::int64_t count, float limit) {
  Random random;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = next_float(random, limit);
  return values;
}

}  // namespace tilewise::tools
