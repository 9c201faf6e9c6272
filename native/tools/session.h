// What tilewise-measure does with its input: commands in, one line of JSON out for each.
//
//   program bytes=N images=1 height=32 width=32   then the N bytes of a .tilewise file      {"program":0}, then 1, 2, ...
//   profile program=0 repeats=3                   each operation, on images of noise        {"operations":[..]}
//   call program=0 warm_up=5                      a whole call, after five                  {"seconds":..}
//   forget program=0                              gives its memory back                     {}
//   peaks                                         what a core can do at most                {"int8_operations":..,..}
//
// Before all that comes a line about the machine. All inputs of a program get images of the same size.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "c_api/tilewise.h"
#include "kernels/set.h"
#include "tools/command.h"

namespace tilewise::tools {

inline constexpr int kFormat = 2;  // of the commands and the answers

class Session {
 public:
  // `set`: a kernel set's name, or empty for the best one. Throws std::invalid_argument for bad arguments.
  Session(std::istream& input, std::ostream& output, int threads, const std::string& set);

  // To the end of the input. Throws std::invalid_argument for whatever is wrong with it, naming the line.
  void run();

 private:
  struct Free {
    void operator()(tilewise_engine* engine) const { tilewise_free(engine); }
  };
  // An engine, and what it runs on.
  struct Loaded {
    std::unique_ptr<tilewise_engine, Free> engine;
    std::vector<std::vector<float>> values;
    std::vector<tilewise_array> inputs, outputs;
  };

  std::optional<std::string> line();
  void greet();
  void answer(Command& command);
  void load(Command& command);
  void profile(Command& command);
  void call(Command& command);
  void forget(Command& command);
  void peaks(Command& command);
  Loaded& loaded(Command& command);

  std::istream& input_;
  std::ostream& output_;
  int threads_;
  const KernelSet& set_;
  std::map<std::int64_t, Loaded> loaded_;
  std::int64_t next_ = 0;   // number of the next program
  std::int64_t lines_ = 0;  // read so far
};

}  // namespace tilewise::tools
