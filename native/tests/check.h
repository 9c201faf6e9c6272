// All a test here needs: a failed check prints its place and text and ends the test program with status 1.
#pragma once

#include <cstdlib>
#include <iostream>
#include <string>

#define CHECK(condition, context) \
  tilewise::testing::check((condition), __FILE__, __LINE__, #condition, (context))

namespace tilewise::testing {

inline void check(bool passed, const char* file, int line, const char* text, const std::string& context) {
  if (passed) return;
  std::cerr << file << ':' << line << ": " << text << " failed for " << context << '\n';
  std::exit(1);
}

// True if run() throws an Error whose text contains `part`.
template <typename Error, typename Run>
bool throws(const Run& run, const std::string& part) {
  try {
    run();
  } catch (const Error& error) {
    return std::string(error.what()).find(part) != std::string::npos;
  }
  return false;
}

}  // namespace tilewise::testing
