#include <string>

#include "base/json.h"
#include "program/program.h"

namespace tilewise {
namespace {

// Writes each field as {"name": .., "kind": .., "what": .., limits}.
class Lister final : public Fields {
 public:
  void reads(const char* field, std::int64_t&, const char* what) override { add(field, "tensor", what); }
  void may_read(const char* field, std::int64_t&, const char* what) override { add(field, "tensor or none", what); }
  void reads_all(const char* field, std::vector<std::int64_t>&, const char* what) override { add(field, "tensors", what); }
  void writes(const char* field, std::int64_t&, const char* what) override { add(field, "written tensor", what); }
  void integer(const char* field, std::int64_t&, Range range, const char* what) override {
    add(field, "integer", what, limits(range));
  }
  void integers(const char* field, std::span<std::int64_t> values, Range range, const char* what) override {
    add(field, "integers", what, limits(range) + ", \"count\": " + std::to_string(values.size()));
  }
  void flag(const char* field, bool&, const char* what) override { add(field, "flag", what); }
  void real(const char* field, double&, const char* what) override { add(field, "real", what); }
  void limit(const char* field, float&, const char* what) override { add(field, "limit", what); }
  void text(const char* field, std::string&, const char* what) override { add(field, "text", what); }
  void array(const char* field, Array&, std::initializer_list<const char*> dtypes, std::size_t axes,
             const char* what) override {
    add(field, "array", what, described(dtypes, axes));
  }
  void may_have(const char* field, Array&, std::initializer_list<const char*> dtypes, std::size_t axes,
                const char* what) override {
    add(field, "array or none", what, described(dtypes, axes));
  }

  std::string take() { return "[" + text_ + "]"; }

 private:
  void add(const char* field, const char* kind, const char* what, const std::string& more = {}) {
    text_ += (text_.empty() ? "" : ", ") + ("{\"name\": " + json_text(field)) + ", \"kind\": " + json_text(kind) +
             ", \"what\": " + json_text(what) + more + "}";
  }
  static std::string limits(Range range) {
    return ", \"low\": " + std::to_string(range.low) + ", \"high\": " + std::to_string(range.high);
  }
  static std::string described(std::initializer_list<const char*> dtypes, std::size_t axes) {
    std::string list;
    for (const char* const dtype : dtypes) list += (list.empty() ? "" : ", ") + json_text(dtype);
    return ", \"dtypes\": [" + list + "], \"axes\": " + std::to_string(axes);
  }

  std::string text_;
};

}  // namespace

std::string schema() {
  std::string text;
  for (const char* const kind : operation_kinds()) {
    Lister lister;
    make_operation(kind)->fields(lister);
    text += (text.empty() ? "" : ", ") + json_text(kind) + ": " + lister.take();
  }
  return "{\"version\": " + std::to_string(kProgramVersion) + ", \"operations\": {" + text + "}}";
}

}  // namespace tilewise
