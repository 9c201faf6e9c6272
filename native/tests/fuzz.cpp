// Compiled networks broken at random: each is refused in words, or loads and runs. Nothing crashes, hangs or leaks, which
// the sanitizers see. Every mutant follows from the seed and its number alone.
//
//   fuzz [--mutations N] [--seed S] [--first K]
//   fuzz --write FOLDER
//
// The second writes what is broken, for coverage_fuzz.cpp. K is the number of the first mutant: a fault names the one to start from.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/set.h"
#include "program/program.h"
#include "tests/fuzz_file.h"
#include "tests/small_network.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>

// More is not there: the sanitizer then gives null, as an allocator does, instead of ending the program.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() { return "allocator_may_return_null=1:max_allocation_size_mb=64"; }
#endif

namespace tilewise::testing {
namespace {

constexpr std::size_t kMaxArrayBytes = 1 << 16;  // of an array whose shape changes

// Numbers worth trying: limits, their neighbours, and what overflows when it is multiplied.
constexpr std::int64_t kEdges[] = {-1,    0,     1,     2,     3,          7,
                                   15,    16,    63,    64,    127,        128,
                                   255,   256,   1024,  4096,  32767,      32768,
                                   65535, 65536, 65537, 1000000, 2147483647, std::int64_t{1} << 31,
                                   std::int64_t{1} << 40, std::int64_t{1} << 48,
                                   std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()};
constexpr double kReals[] = {0, -0.0, -1, 0.5, 1e-45, 1e-30, 1e30, 3.4e38, 1e39, 1e300, -1e300};
constexpr const char* kTexts[] = {"", "x", "uint8", "int16", "bfloat16", "float32", "input", "output", "direct", "fast"};

class Mutator {
 public:
  Mutator(const Draft& valid, const Json& schema) : valid_(valid), schema_(schema) {}

  Content mutant(std::uint32_t seed, std::int64_t number) {
    std::seed_seq mixed{seed, static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(number >> 32)};
    random_.seed(mixed);
    Draft draft = valid_;
    for (std::int64_t count = 1 + below(3); count > 0; --count) change(draft);
    const std::string program = text_of(draft.program);
    Content content = file_of(program, draft.values, below(32) == 0 ? "00000000" : checksum_of(program, draft.values));
    if (below(16) == 0) damage(content);
    return content;
  }

  std::int64_t below(std::int64_t limit) { return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(limit)); }
  template <typename Values>
  auto& one_of(Values& values) {
    return values[static_cast<std::size_t>(below(std::ssize(values)))];
  }

 private:
  // Earlier changes may have left nothing to change.
  static bool has_both_lists(const Json& program) {
    const Json *const tensors = program.find("tensors"), *const operations = program.find("operations");
    return tensors != nullptr && operations != nullptr && !tensors->items.empty() && !operations->items.empty();
  }

  void change(Draft& draft) {
    if (!has_both_lists(draft.program)) return;
    switch (below(10)) {
      case 0: return change_anything(draft.program);
      case 1: return change_order(draft);
      case 2: return change_member(one_of(draft.tensors()));
      case 3:
      case 4:
      case 5: return change_array(draft);
      default: return change_field(draft);
    }
  }

  std::int64_t number_near(std::int64_t old) {
    const auto bits = static_cast<std::uint64_t>(old);  // wraps
    switch (below(5)) {
      case 0: return static_cast<std::int64_t>(bits + 1);
      case 1: return static_cast<std::int64_t>(bits - 1);
      case 2: return static_cast<std::int64_t>(below(2) ? bits * 2 : bits / 2);
      case 3: return below(40);
      default: return one_of(kEdges);
    }
  }

  Json another() {
    switch (below(8)) {
      case 0: return null();
      case 1: return json(below(2) == 0);
      case 2: return json(one_of(kEdges));
      case 3: return json(one_of(kReals));
      case 4: return json(one_of(kTexts));
      case 5: return numbers(std::vector<std::int64_t>(static_cast<std::size_t>(below(4)), 1));
      case 6: return object({});
      default: return json(std::string(static_cast<std::size_t>(250 + below(20)), 'x'));
    }
  }

  void change_value(Json& value) {
    if (below(4) == 0) {
      value = another();
    } else if (value.kind == Json::Kind::kInteger) {
      value = json(number_near(value.integer));
    } else if (value.kind == Json::Kind::kReal) {
      value = json(below(2) ? value.real * 1.5 : one_of(kReals));
    } else if (value.kind == Json::Kind::kBool) {
      value.flag = !value.flag;
    } else if (value.kind == Json::Kind::kList && !value.items.empty()) {
      change_items(value.items);
    } else if (value.kind == Json::Kind::kObject && !value.members.empty()) {
      change_member(value);
    } else {
      value = another();
    }
  }

  void change_items(std::vector<Json>& items) {
    const auto at = items.begin() + below(std::ssize(items));
    switch (below(4)) {
      case 0: items.erase(at); return;
      case 1: items.insert(at, Json(one_of(items))); return;
      default: return change_value(*at);
    }
  }

  // A member is changed, removed, renamed, or another one is added.
  void change_member(Json& object) {
    if (object.members.empty()) return;
    Json::Member& member = one_of(object.members);
    switch (below(8)) {
      case 0: std::erase_if(object.members, [name = member.first](const Json::Member& m) { return m.first == name; }); return;
      case 1: member.first += "x"; return;
      case 2: object.members.emplace_back("added", another()); return;
      default: return change_value(member.second);
    }
  }

  void change_anything(Json& program) {
    Json* place = &program;
    while (below(4) != 0) {
      if (place->kind == Json::Kind::kObject && !place->members.empty()) {
        place = &one_of(place->members).second;
      } else if (place->kind == Json::Kind::kList && !place->items.empty()) {
        place = &one_of(place->items);
      } else {
        break;
      }
    }
    change_value(*place);
  }

  // A field of an operation as its declaration has it: another number in or next to its range, another tensor.
  void change_field(Draft& draft) {
    Json& operation = one_of(draft.operations());
    const Json* const kind = operation.find("op");
    const Json* const fields = kind == nullptr ? nullptr : schema_.find("operations")->find(kind->text);
    if (fields == nullptr) return;
    const Json& field = one_of(fields->items);
    const std::string& of = field.find("kind")->text;
    Json* value = nullptr;
    for (Json::Member& member : operation.members) {
      if (member.first == field.find("name")->text) value = &member.second;
    }
    if (value == nullptr || of.starts_with("array")) return;
    if (value->kind == Json::Kind::kList && !value->items.empty()) value = &one_of(value->items);
    if (of.find("tensor") != std::string::npos) {
      *value = json(below(std::ssize(draft.tensors()) + 1));
      if (below(8) == 0) *value = null();
    } else if (const Json* const low = field.find("low"); low != nullptr) {
      const std::int64_t least = low->integer, most = field.find("high")->integer;
      const std::int64_t choices[] = {least, most, least - 1, most + 1, least + 1, std::min(most, least + below(8)), std::min(most, least + below(64))};
      *value = json(one_of(choices));
    } else {
      change_value(*value);
    }
  }

  // Operations removed, doubled and swapped, their arrays with them or not.
  void change_order(Draft& draft) {
    const auto count = static_cast<std::int64_t>(draft.operations().size());
    if (count < 2) return;
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < count; ++i) order.push_back(i);
    const std::int64_t at = below(count), other = below(count);
    switch (below(3)) {
      case 0: order.erase(order.begin() + at); break;
      case 1: order.insert(order.begin() + at, other); break;
      default: std::swap(order[static_cast<std::size_t>(at)], order[static_cast<std::size_t>(other)]);
    }
    std::vector<Json> operations;
    NamedValues values;
    for (std::size_t i = 0; i < order.size(); ++i) {
      operations.push_back(draft.operations()[static_cast<std::size_t>(order[i])]);
      const std::string old = std::to_string(order[i]) + ".";
      for (const auto& [name, array] : draft.values) {
        if (name.starts_with(old)) values[std::to_string(i) + name.substr(old.size() - 1)] = array;
      }
    }
    draft.operations() = std::move(operations);
    if (below(8) != 0) draft.values = std::move(values);
  }

  void change_array(Draft& draft) {
    if (draft.values.empty()) return;
    const auto found = std::next(draft.values.begin(), below(std::ssize(draft.values)));
    Values& values = found->second;
    switch (below(12)) {
      case 0: draft.values.erase(found); return;
      case 1: draft.values[found->first + "x"] = values; return;
      case 2: draft.values[std::to_string(below(40)) + found->first.substr(found->first.find('.'))] = values; return;
      case 3: {
        constexpr const char* kDtypes[] = {"int8", "int16", "uint16", "int32", "int64", "float32"};
        values.dtype = one_of(kDtypes);
        return;
      }
      case 4:
      case 5: return change_shape(values);
      default: return change_numbers(values);
    }
  }

  // The bytes follow, or not.
  void change_shape(Values& values) {
    const std::int64_t old = element_count(values.shape);
    if (values.shape.empty() || below(8) == 0) {
      values.shape.push_back(1);
    } else if (below(8) == 0) {
      values.shape.pop_back();
    } else if (below(4) == 0) {
      std::swap(one_of(values.shape), one_of(values.shape));
    } else {
      std::int64_t& extent = one_of(values.shape);
      extent = number_near(extent);
    }
    std::int64_t count = 1;
    for (const std::int64_t extent : values.shape) {
      if (extent < 0 || extent > static_cast<std::int64_t>(kMaxArrayBytes)) return;
      count = std::min(count * extent, static_cast<std::int64_t>(kMaxArrayBytes));
    }
    if (old == 0 || below(8) == 0) return;
    const std::size_t size = values.bytes.size() / static_cast<std::size_t>(old), bytes = values.bytes.size();
    values.bytes.resize(size * static_cast<std::size_t>(count));
    for (std::size_t i = bytes; i < values.bytes.size(); ++i) values.bytes[i] = values.bytes[i - bytes];
  }

  // One number of an array, or all of them.
  void change_numbers(Values& values) {
    const auto with = [&]<typename T>(T*, T number) {
      const auto count = static_cast<std::int64_t>(values.bytes.size() / sizeof(T));
      if (count == 0) return;
      if (below(8) == 0) std::fill_n(values.as<T>(), count, number);
      values.as<T>()[below(count)] = number;
    };
    const std::int64_t edge = below(2) ? one_of(kEdges) : -(one_of(kEdges) / 2) - below(2);
    if (values.dtype == "float32") {
      constexpr float kInfinity = std::numeric_limits<float>::infinity();
      constexpr float kFloats[] = {0, -1, 0.5F, 2, 3, 2900, 1e-45F, 1e30F, 3e38F, -3e38F, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()};
      with(static_cast<float*>(nullptr), one_of(kFloats));
    }
    if (values.dtype == "int8") with(static_cast<std::int8_t*>(nullptr), static_cast<std::int8_t>(edge));
    if (values.dtype == "int16") with(static_cast<std::int16_t*>(nullptr), static_cast<std::int16_t>(edge));
    if (values.dtype == "uint16") with(static_cast<std::uint16_t*>(nullptr), static_cast<std::uint16_t>(edge));
    if (values.dtype == "int32") with(static_cast<std::int32_t*>(nullptr), static_cast<std::int32_t>(edge));
    if (values.dtype == "int64") with(static_cast<std::int64_t*>(nullptr), below(2) ? below(8) : edge);
  }

  void damage(Content& content) {
    if (below(2) == 0) return content.resize(static_cast<std::size_t>(below(std::ssize(content))));
    for (std::int64_t count = 1 + below(4); count > 0; --count) one_of(content) ^= static_cast<std::byte>(1 << below(8));
  }

  const Draft& valid_;
  const Json& schema_;
  std::mt19937 random_;
};

std::int64_t current = 0;
std::uint32_t current_seed = 0;

int write_valid(const std::string& folder) {
  for (const bool agreeing : {false, true}) {
    const Content content = small_network(agreeing).file();
    std::ofstream file(folder + (agreeing ? "/agreeing" : "/floats"), std::ios::binary);
    file.write(reinterpret_cast<const char*>(content.data()), std::ssize(content));
    if (!file.flush()) return 1;
  }
  return 0;
}

void fuzz(std::int64_t mutations, std::int64_t first) {
  const Draft valid[] = {small_network(false), small_network(true)};
  const Json described = parse_json(schema());
  Mutator mutators[] = {{valid[0], described}, {valid[1], described}};
  std::vector<const char*> sets;
  for (const KernelSet* const set : kernel_sets()) {
    if (set->supported()) sets.push_back(set->name);
  }
  Counts counts;
  for (current = first; current < first + mutations; ++current) {
    Mutator& mutator = mutators[current % 2];
    const Content content = mutator.mutant(current_seed, current);
    // The last one, the reference, is slow and plain.
    const char* set = mutator.one_of(sets);
    if (set == sets.back() && mutator.below(8) != 0) set = sets.front();
    try_file(content, set, current, counts);
  }
  std::cout << "fuzz: " << mutations << " mutants of seed " << current_seed << ": " << counts.refused << " refused, "
            << counts.loaded << " accepted; " << counts.runs << " runs, " << counts.sizes_refused << " sizes refused, "
            << counts.too_large << " too large to run\n";
}

}  // namespace
}  // namespace tilewise::testing

int main(int argc, char** argv) {
  using namespace tilewise::testing;
  std::int64_t mutations = 2000, first = 0;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--write" && i + 1 < argc) return write_valid(argv[i + 1]);
    const bool known = option == "--mutations" || option == "--seed" || option == "--first";
    if (!known || i + 1 == argc) {
      std::cerr << "fuzz [--mutations N] [--seed S] [--first K]\n";
      return 2;
    }
    const std::int64_t value = std::atoll(argv[i + 1]);
    if (option == "--mutations") mutations = value;
    if (option == "--seed") current_seed = static_cast<std::uint32_t>(value);
    if (option == "--first") first = value;
  }
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_set_death_callback([] {
    std::fprintf(stderr, "fuzz: at mutant %lld: --seed %u --first %lld --mutations 1\n", static_cast<long long>(current),
                 current_seed, static_cast<long long>(current));
  });
#endif
  fuzz(mutations, first);
}
