// What a program is refused for, and in which words: tensors, wiring, fields. What each operation asks for is tested in
// its folder.
#include "program/program.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/check.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

const Draft kNetwork = small_network(false);

template <typename Change>
void bad(const std::string& part, const Change& change) {
  refused(kNetwork, part, change);
}

Json& tensor(Draft& d, std::size_t number, const char* field) { return Draft::field(d.tensors()[number], field); }

void erase(Json& object, const std::string& name) {
  std::erase_if(object.members, [&](const Json::Member& member) { return member.first == name; });
}

void test_whole() {
  const Loaded loaded(kNetwork);
  const Program& program = loaded.program;
  CHECK(program.inputs().size() == 2 && program.outputs().size() == 2, "ports");
  CHECK(program.operations()[program.inputs()[1]]->name == "guide", "inputs in their order");
  CHECK(program.operations()[program.outputs()[0]]->name == "logits", "outputs in their order");
  std::set<std::string> kinds;
  for (const auto& operation : program.operations()) kinds.insert(operation->kind);
  CHECK(kinds.size() == operation_kinds().size(), "the small network has every operation");
  CHECK(program.tensors()[0].stride == 4, "images of few channels lie close");
  CHECK(program.tensors()[1].stride == 32 && program.tensors()[3].stride == 32, "others in whole vectors");
  CHECK(program.operations()[2]->array_bytes == 20 * 27 + 20 * 4 + 20 * 4, "bytes of arrays");
  CHECK(Loaded(kNetwork).program.checksum() == program.checksum(), "checksum");
  CHECK(Loaded(small_network(true)).program.checksum() != program.checksum(), "checksum of another one");
}

void test_description() {
  bad("the program is an integer, must be an object", [](Draft& d) { d.program = json(3); });
  bad("the program lacks version", [](Draft& d) { erase(d.program, "version"); });
  bad("it is of version 3; this release reads version 4: compile the network again",
      [](Draft& d) { Draft::field(d.program, "version") = json(3); });
  bad("it is of version 5; this release reads version 4: update tilewise",
      [](Draft& d) { Draft::field(d.program, "version") = json(5); });
  bad("the program: version is a text, must be an integer", [](Draft& d) { Draft::field(d.program, "version") = json("4"); });
  bad("the program: tensors has 0 items, must have 1..16384", [](Draft& d) { d.tensors().clear(); });
  bad("the program: operations is an object, must be a list", [](Draft& d) { Draft::field(d.program, "operations") = object({}); });
  bad("the program has an unknown field, colour", [](Draft& d) { d.program.members.emplace_back("colour", json("blue")); });
  bad("operation 0 is null, must be an object", [](Draft& d) { d.operations()[0] = null(); });
  bad("operation 0 lacks op", [](Draft& d) { erase(d.operations()[0], "op"); });
  bad("operation 0: op is whirl, must be one of input, output, direct",
      [](Draft& d) { Draft::field(d.operations()[0], "op") = json("whirl"); });
}

void test_tensors() {
  bad("tensor 1 is null, must be an object", [](Draft& d) { d.tensors()[1] = null(); });
  bad("tensor 1 lacks channels", [](Draft& d) { erase(d.tensors()[1], "channels"); });
  bad("tensor 1: channels is 0, must be 1..65536", [](Draft& d) { tensor(d, 1, "channels") = json(0); });
  bad("tensor 1: channels is a number, must be an integer", [](Draft& d) { tensor(d, 1, "channels") = json(20.0 + 0.5); });
  bad("tensor 1: name has 0 bytes, must have 1..256", [](Draft& d) { tensor(d, 1, "name") = json(""); });
  bad("dtype is float64, must be uint8, int16, bfloat16 or float32", [](Draft& d) { tensor(d, 1, "dtype") = json("float64"); });
  bad("tensor 1 has an unknown field, step", [](Draft& d) { d.tensors()[1].members.emplace_back("step", json(1)); });
  bad("tensor 2 lacks step", [](Draft& d) { erase(d.tensors()[2], "step"); });
  bad("tensor 2: step is 0, must be finite and above 0", [](Draft& d) { tensor(d, 2, "step") = json(0); });
  bad("tensor 2: step is inf", [](Draft& d) { tensor(d, 2, "step") = json(1e300); });
  bad("tensor 2: step is 0, must be", [](Draft& d) { tensor(d, 2, "step") = json(1e-300); });  // as float32
  bad("tensor 2: factor is -1, must be", [](Draft& d) { tensor(d, 2, "factor") = json(-1); });
  bad("tensor 2: factor is true or false, must be a number", [](Draft& d) { tensor(d, 2, "factor") = json(true); });
  bad("tensor 2: low is 1, must be -255..0", [](Draft& d) { tensor(d, 2, "low") = json(1); });
  bad("tensor 2: low is -256, must be -255..0", [](Draft& d) { tensor(d, 2, "low") = json(-256); });
  bad("tensor 2: high is 255, must be 0..254", [](Draft& d) { tensor(d, 2, "low") = json(-1); });
  bad("tensor 2: high is 0, must be 1..255", [](Draft& d) { tensor(d, 2, "high") = json(0); });
  const auto words = [](const char* field, std::int64_t value) {
    return [=](Draft& d) {
      for (std::size_t i = 0; i < d.tensors().size(); ++i) {
        if (tensor(d, i, "dtype").text == "int16") tensor(d, i, field) = json(value);
      }
    };
  };
  bad("low is -32768, must be -32767..0", words("low", -32768));
  bad("high is 32768, must be 1..32767", words("high", 32768));
}

void test_names() {
  bad("operation 2: name has 0 bytes, must have 1..256", [](Draft& d) { d("stem", "name") = json(""); });
  bad("operation 2: name has 257 bytes", [](Draft& d) { d("stem", "name") = json(std::string(257, 'a')); });
  bad("there are two inputs with the name image", [](Draft& d) { d("guide", "name") = json("image"); });
  bad("there are two outputs with the name map", [](Draft& d) { Draft::field(d.operations()[d.operations().size() - 2], "name") = json("map"); });
  Draft alike = kNetwork;  // an input, an operation and an output may have one name
  Draft::field(alike.operations().back(), "name") = json("image");
  alike("stem", "name") = json("image");
  CHECK(Loaded(alike).program.outputs().size() == 2, "names");
}

void test_wiring() {
  bad("stem: x is -1, must be 0..", [](Draft& d) { d("stem", "x") = json(-1); });
  bad("stem: y is 999, must be 0..", [](Draft& d) { d("stem", "y") = json(999); });
  bad("skip: residual is -1, must be 0..", [](Draft& d) { d("skip", "residual") = json(-1); });
  bad("stem: x is null, must be an integer", [](Draft& d) { d("stem", "x") = null(); });
  bad("stem: reads tensor 3, which nothing has written yet", [](Draft& d) { d("stem", "x") = json(3); });
  bad("skip: writes tensor 2, which is written already", [](Draft& d) { d("skip", "y") = json(2); });
  bad("is written by no operation", [](Draft& d) { d.floats(3); });
  bad("both: x has 0 items, must have 1..16384", [](Draft& d) { d("both", "x") = numbers({}); });
  bad("both: x is 77, must be 0..", [](Draft& d) { d("both", "x").items[1] = json(77); });
  Draft no_output;
  no_output.floats(1);
  no_output.add("input", "x", {{"y", json(0)}, {"size", numbers({0, 0})}, {"multiple", numbers({1, 1})}});
  refused(no_output, "the program has no output, must have one", [](Draft&) {});
}

// For every field of every operation: it must be there, be of its kind, and lie within its range.
void test_every_field() {
  Draft copy = kNetwork;
  const Json described = parse_json(schema());
  std::size_t tried = 0;
  for (std::size_t i = 0; i < copy.operations().size(); ++i) {
    const Json& operation = copy.operations()[i];
    const std::string name = operation.find("name")->text, kind = operation.find("op")->text;
    for (const Json& field : described.find("operations")->find(kind)->items) {
      const std::string what = field.find("name")->text, of = field.find("kind")->text;
      const auto changed = [&](const std::string& part, const Json& value) {
        bad(name + ": " + part, [&](Draft& d) { Draft::field(d.operations()[i], what) = value; });
        ++tried;
      };
      if (of.starts_with("array")) {
        if (of == "array") {
          bad(name + ": the array " + what + " is missing", [&](Draft& d) { d.values.erase(std::to_string(i) + "." + what); });
          ++tried;
        }
        if (!copy.values.contains(std::to_string(i) + "." + what)) continue;
        const auto array = [&](const auto& change) {
          bad(name + ": " + what + " is ", [&](Draft& d) { change(d.values.at(std::to_string(i) + "." + what)); });
          ++tried;
        };
        array([](Values& v) { v.shape.push_back(1); });
        const bool takes_int8 = field.find("dtypes")->items[0].text == "int8";
        array([&](Values& v) { v = values_of(v.shape, std::vector<std::int32_t>(v.bytes.size())), v.dtype = takes_int8 ? "int32" : "int8",
                               v.shape = {takes_int8 ? static_cast<std::int64_t>(v.bytes.size() / 4) : static_cast<std::int64_t>(v.bytes.size())}; });
        continue;
      }
      bad(name + " lacks " + what, [&](Draft& d) { erase(d.operations()[i], what); });
      changed(what + " is an object, must be ", object({}));
      if (const Json* const low = field.find("low")) {
        const bool list = of == "integers";
        const auto put = [&](std::int64_t value) {
          Json list_value = *operation.find(what);
          if (list) list_value.items.back() = json(value);
          changed(what + " is " + std::to_string(value) + ", must be ", list ? list_value : json(value));
        };
        put(low->integer - 1);
        put(field.find("high")->integer + 1);
        if (!list) continue;
        Json longer = *operation.find(what);
        longer.items.push_back(json(0));
        changed(what + " has " + std::to_string(longer.items.size()) + " items, must have ", longer);
      }
      if (of == "real") changed(what + " is -0.5, must be 0 or above", json(-0.5));
      if (of == "limit") changed(what + " is 1e+39, must fit float32", json(1e39));
      if (of == "text") changed(what + " has 257 bytes, must have 0..256", json(std::string(257, 'x')));
    }
    bad(name + " has an unknown field, extra", [&](Draft& d) { d.operations()[i].members.emplace_back("extra", json(0)); });
  }
  CHECK(tried > 500, std::to_string(tried) + " fields");
}

void test_arrays() {
  bad("there is no place for the array 2.extra", [](Draft& d) { d.values["2.extra"] = values_of(std::vector<float>(3)); });
  bad("there is no place for the array 999.weight", [](Draft& d) { d.values["999.weight"] = values_of(std::vector<float>(3)); });
  bad("there is no place for the array weight", [](Draft& d) { d.values["weight"] = values_of(std::vector<float>(3)); });
  bad("stem: weight is float32 of 2 axes, must be int8 or int16 or uint16 or float32 of 4 axes",
      [](Draft& d) { d.array("stem", "weight") = values_of({20, 27}, std::vector<float>(540)); });
}

// The schema names every operation, says something about every field, and is JSON.
void test_schema() {
  const Json described = parse_json(schema());
  CHECK(described.find("version")->integer == kProgramVersion, "version");
  CHECK(described.find("operations")->members.size() == operation_kinds().size(), "operations");
  for (const auto& [kind, fields] : described.find("operations")->members) {
    CHECK(make_operation(kind) != nullptr, kind);
    for (const Json& field : fields.items) CHECK(!field.find("what")->text.empty(), kind + "." + field.find("name")->text);
  }
  CHECK(make_operation("whirl") == nullptr, "no such operation");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  test_whole();
  test_description();
  test_tensors();
  test_names();
  test_wiring();
  test_every_field();
  test_arrays();
  test_schema();
}
