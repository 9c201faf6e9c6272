#include "base/machine.h"

#include <algorithm>
#include <fstream>
#include <string_view>
#include <thread>

namespace tilewise {
namespace {

constexpr std::size_t kMaxName = 120;

// Without what JSON would want escaped, and without spaces at the end.
std::string clean(std::string text) {
  std::erase_if(text, [](char c) { return c < ' ' || c > '~' || c == '"' || c == '\\'; });
  text.resize(std::min(text.size(), kMaxName));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

// The first value of a key in the lines "key : value" of /proc/cpuinfo.
std::string cpuinfo(std::string_view key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return clean(line.substr(colon + 2));
  }
  return {};
}

}  // namespace

// Arm's /proc/cpuinfo has numbers where others have a name: the board's name then, and the core's numbers.
std::string cpu_name() {
  if (const std::string name = cpuinfo("model name"); !name.empty()) return name;
  std::string board;
  std::ifstream tree("/sys/firmware/devicetree/base/model");
  std::getline(tree, board);
  board = clean(board);
  return (board.empty() ? "unknown" : board) + ", core " + cpuinfo("CPU implementer") + "/" +
         cpuinfo("CPU part");
}

std::string compiler() {
#if defined(__clang__)
  return clean("Clang " __clang_version__);
#else
  return clean("GCC " __VERSION__);
#endif
}

int cores() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

}  // namespace tilewise
