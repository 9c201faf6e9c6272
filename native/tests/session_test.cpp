// The commands of tilewise-measure, and its answers.
#include "tools/session.h"

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/machine.h"
#include "tests/check.h"
#include "tests/small_network.h"

namespace tilewise::testing {
namespace {

std::vector<std::string> answers(const std::string& commands) {
  std::istringstream input(commands);
  std::ostringstream output;
  tools::Session(input, output, 1, "portable").run();
  std::istringstream lines(output.str());
  std::vector<std::string> result;
  for (std::string line; std::getline(lines, line);) result.push_back(line);
  return result;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::string program(const Draft& draft, const std::string& sizes = "images=2 height=13 width=11") {
  const Content content = draft.file();
  return "program bytes=" + std::to_string(content.size()) + " " + sizes + "\n" +
         std::string(reinterpret_cast<const char*>(content.data()), content.size());
}

void test_answers() {
  Draft network = small_network(false);
  const std::string load = program(network);
  const auto got = answers(load + program(network, "images=1 height=5 width=6") +
                           "profile program=1 repeats=3\nforget program=1\n\ncall program=0 warm_up=4\npeaks\n");
  CHECK(got.size() == 7, "an answer each");
  for (const std::string& line : got) CHECK(parse_json(line).kind == Json::Kind::kObject, line);
  CHECK(got[0].starts_with("{\"format\":2,\"cpu\":\"") && count(got[0], "\"isa\":\"portable\",\"threads\":1,") == 1, got[0]);
  CHECK(got[1] == "{\"program\":0}" && got[2] == "{\"program\":1}", got[1] + got[2]);
  const std::size_t operations = network.operations().size();
  CHECK(count(got[3], "\"seconds\":") == operations, got[3]);
  CHECK(count(got[3], "{\"op\":\"fast_int8\"") == 4 && count(got[3], "\"multiply\":0,") == operations - 8, got[3]);
  CHECK(got[4] == "{}", got[4]);
  CHECK(got[5].starts_with("{\"seconds\":") && count(got[5], ",") == 0, got[5]);
  CHECK(count(got[6], "\"memory_bytes\":") == 1, got[6]);
}

void test_refusals() {
  const auto refused = [](const std::string& commands, const std::string& part) {
    CHECK(throws<std::invalid_argument>([&] { answers(commands); }, part), part);
  };
  const Draft network = small_network(true);
  const std::string load = program(network);
  refused("measure program=0\n", "line 1: unknown command measure, must be program, profile, call, forget or peaks");
  refused("\n\nprofile program=0 repeats=1\n", "line 3: there is no program 0");
  refused(load + "profile program=0 repeats=0\n", "repeats is '0', must be 1..10000");
  refused(load + "profile program=0 repeats=1 images=1\n", "profile has the unknown field images");
  refused(load + "profile program=0\n", "profile lacks the field repeats");
  refused(load + "profile program=0 repeats=1 repeats=2\n", "the field repeats is given twice");
  refused(load + "profile program=0 repeats\n", "'repeats' is no field, must be key=value");
  refused(load + "profile program=zero repeats=1\n", "program is 'zero', must be 0..");
  refused(load + "profile program=0 repeats=99999999999999999999\n", "repeats is '99999999999999999999', must be");
  refused(load + "forget program=0\nforget program=0\n", "there is no program 0");
  refused(load + "call program=0 warm_up=-1\n", "warm_up is '-1', must be 0..10000");
  refused("call program=0 warm_up=1", "line 1: the stream ends within a line");
  refused(std::string(5000, 'x'), "a line is longer than 4095 bytes");
  refused("program bytes=0 images=1 height=1 width=1\n", "bytes is '0', must be 1..");
  refused("program bytes=4294967296 images=1 height=1 width=1\n", "line 1: the stream ends within a program");
  refused(load.substr(0, load.size() - 1), "line 1: the stream ends within a program");
  refused("program bytes=8 images=1 height=1 width=1\n12345678", "line 1: it is no compiled network");
  refused(program(network, "images=0 height=1 width=1"), "images is '0', must be 1..65536");
  refused(program(network, "images=1 height=65537 width=1"), "height is '65537', must be 1..65536");
  Draft fixed = small_network(true);
  fixed("image", "multiple") = numbers({4, 1});
  refused(program(fixed), "line 1: image: the height of the images is 13, must be a multiple of 4");
  std::istringstream input;
  std::ostringstream output;
  const auto session = [&](int threads, const char* set) { tools::Session(input, output, threads, set); };
  const std::string most = std::to_string(cores());
  CHECK(throws<std::invalid_argument>([&] { session(0, ""); }, "threads is 0, must be 1.." + most), "threads");
  CHECK(throws<std::invalid_argument>([&] { session(cores() + 1, ""); }, "must be 1.." + most), "threads");
  CHECK(throws<std::invalid_argument>([&] { session(1, "sse"); }, "unknown kernel set sse"), "set");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  tilewise::testing::test_answers();
  tilewise::testing::test_refusals();
}
