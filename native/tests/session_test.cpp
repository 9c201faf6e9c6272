// The commands of tilewise-measure, and its answers.
#include "tools/session.h"

#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/check.h"
#include "tests/network.h"
#include "tests/network_text.h"

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

void test_answers() {
  const Network network = small_network(2, false);
  const std::string plan = text(network);
  const auto got =
      answers(plan + plan + "profile plan=1 repeats=3\nforget plan=1\n\ncall plan=0 warm_up=4\npeaks\n");
  CHECK(got.size() == 7, "an answer each");
  CHECK(got[0].starts_with("{\"format\":1,\"cpu\":\"") &&
            count(got[0], "\"isa\":\"portable\",\"threads\":1,") == 1,
        got[0]);
  CHECK(got[1] == "{\"plan\":0}" && got[2] == "{\"plan\":1}", got[1] + got[2]);
  CHECK(count(got[3], "\"seconds\":") == network.calls.size(), got[3]);
  CHECK(count(got[3], "{\"op\":\"fast_int8\"") == 3 &&
            count(got[3], "\"multiply\":0,") == network.calls.size() - 7,
        got[3]);
  CHECK(got[4] == "{}", got[4]);
  CHECK(got[5].starts_with("{\"seconds\":") && count(got[5], ",") == 0, got[5]);
  CHECK(count(got[6], "\"memory_bytes\":") == 1, got[6]);
}

void test_refusals() {
  const auto refused = [](const std::string& commands, const std::string& part) {
    CHECK(throws<std::invalid_argument>([&] { answers(commands); }, part), part);
  };
  const std::string plan = text(small_network(1, true));
  refused("measure plan=0\n",
          "line 1: unknown command measure, must be plan, profile, call, forget or peaks");
  refused("\n\nprofile plan=0 repeats=1\n", "line 3: there is no plan 0");
  refused(plan + "profile plan=0 repeats=0\n", "repeats is 0, must be 1..10000");
  refused(plan + "profile plan=0 repeats=1 images=1\n", "profile has the unknown field images");
  refused(plan + "forget plan=0\nforget plan=0\n", "there is no plan 0");
  refused(plan + "call plan=0 warm_up=-1\n", "warm_up is -1, must be 0..10000");
  refused("call plan=0 warm_up=1", "line 1: the stream ends within a line");
  std::istringstream input;
  std::ostringstream output;
  const auto session = [&](int threads, const char* set) { tools::Session(input, output, threads, set); };
  CHECK(throws<std::invalid_argument>([&] { session(0, ""); }, "threads is 0, must be 1.."), "threads");
  CHECK(throws<std::invalid_argument>([&] { session(1, "sse"); }, "unknown kernel set sse"), "set");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  tilewise::testing::test_answers();
  tilewise::testing::test_refusals();
  std::cout << "session: passed\n";
}
