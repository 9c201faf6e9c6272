// What tests of programs share: the network with one thing changed, and what it is refused for.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "program/sizes.h"
#include "tests/check.h"
#include "tests/program_builder.h"
#include "tests/small_network.h"

namespace tilewise::testing {

// A program, and the file that its arrays lie in.
struct Loaded {
  Content content;
  Program program;

  explicit Loaded(const Draft& draft) : content(draft.file()), program(content) {}
};

// What function() is refused for; empty if it is not.
template <typename Function>
std::string refusal(const Function& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

// What change(network) makes of a valid network is refused in words that contain `part`.
template <typename Change>
void refused(Draft network, const std::string& part, const Change& change) {
  change(network);
  const std::string words = refusal([&] { const Loaded loaded(network); });
  CHECK(words.find(part) != std::string::npos, part + ": " + (words.empty() ? "accepted" : words));
}

// Of one image for each input.
inline std::vector<PortShape> shapes_of(const std::vector<Size>& sizes) {
  std::vector<PortShape> shapes;
  for (const Size& size : sizes) shapes.push_back({1, size});
  return shapes;
}

// The size of the network's first output for inputs of these sizes.
inline Size output_size(const Draft& network, const std::vector<Size>& inputs) {
  const Loaded loaded(network);
  return infer_sizes(loaded.program, shapes_of(inputs))[static_cast<std::size_t>(output_of(loaded.program, 0).tensor)];
}

inline std::string shown(const Size& size) { return std::to_string(size.height) + "x" + std::to_string(size.width); }

inline void check_size(const Draft& network, const std::vector<Size>& inputs, const Size& expected) {
  const Size found = output_size(network, inputs);
  CHECK(found == expected, shown(inputs[0]) + " gave " + shown(found) + ", not " + shown(expected));
}

inline void size_refused(const Draft& network, const std::vector<Size>& inputs, const std::string& part) {
  const std::string words = refusal([&] { output_size(network, inputs); });
  CHECK(words.find(part) != std::string::npos, part + ": " + (words.empty() ? "accepted" : words));
}

}  // namespace tilewise::testing
