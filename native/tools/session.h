// What tilewise-measure does with its input: commands in, one line of JSON out for each.
//
//   plan ... end                a plan (tools/plan_reader.h)     {"plan":0}, then 1, 2, ...
//   profile plan=0 repeats=3    Engine::profile on noise         {"operations":[{"seconds":...},...]}
//   call plan=0 warm_up=5       a whole call, after five         {"seconds":...}
//   forget plan=0               gives its memory back            {}
//   peaks                       what a core can do at most       {"int8_operations":...,...}
//
// Before all that comes a line about the machine.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tools/stream.h"

namespace tilewise::tools {

inline constexpr int kFormat = 1;  // of the commands and the answers

class Session {
 public:
  // `set`: a kernel set's name, or empty for the best one. Throws std::invalid_argument for bad arguments.
  Session(std::istream& input, std::ostream& output, int threads, const std::string& set);

  // To the end of the input. Throws std::invalid_argument for whatever is wrong with it, naming the line.
  void run();

 private:
  struct Loaded {
    std::unique_ptr<Engine> engine;
    std::int64_t images;
    std::vector<float> x, y;
  };

  void greet();
  void answer(Fields& command);
  void load(Fields& command);
  void profile(Fields& command);
  void call(Fields& command);
  void forget(Fields& command);
  void peaks(Fields& command);
  Loaded& loaded(Fields& command);

  Stream input_;
  std::ostream& output_;
  int threads_;
  const KernelSet& set_;
  std::map<std::int64_t, Loaded> loaded_;
  std::int64_t next_ = 0;  // number of the next plan
};

}  // namespace tilewise::tools
