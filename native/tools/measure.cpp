// tilewise-measure: measures networks where there is no Python. Commands come in on the standard input, answers
// go out on the standard output (tools/session.h); bad input ends with one line on the error stream and
// status 2.
//
//   tilewise-measure [--threads N] [--isa NAME]
#include <charconv>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "base/check.h"
#include "tools/session.h"

namespace tilewise::tools {
namespace {

int threads_of(std::string_view text) {
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size())
    refuse("--threads is ", text, ", must be a number");
  return threads;
}

void measure(int argc, char** argv) {
  int threads = 1;
  std::string set;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option != "--threads" && option != "--isa")
      refuse("unknown option ", option, ", must be --threads or --isa");
    if (i + 1 == argc) refuse(option, " needs a value");
    if (option == "--threads") threads = threads_of(argv[i + 1]);
    if (option == "--isa") set = argv[i + 1];
  }
  Session(std::cin, std::cout, threads, set).run();
}

}  // namespace
}  // namespace tilewise::tools

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  try {
    tilewise::tools::measure(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "tilewise-measure: " << error.what() << std::endl;
    return 2;
  }
}
