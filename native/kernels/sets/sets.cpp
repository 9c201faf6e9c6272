#include <array>
#include <string>
#include <string_view>

#include "base/check.h"
#include "kernels/op.h"

namespace tilewise {

#define TILEWISE_KERNEL_SET(set) extern const KernelSet set;
#include "kernels/sets/sets.inc"
#undef TILEWISE_KERNEL_SET

namespace {

constexpr std::array kSets = {
#define TILEWISE_KERNEL_SET(set) &set,
#include "kernels/sets/sets.inc"
#undef TILEWISE_KERNEL_SET
};

}  // namespace

std::span<const KernelSet* const> kernel_sets() { return kSets; }

const KernelSet& kernel_set(const char* name) {
  const std::string_view wanted(name);
  std::string names;
  bool known = false;
  for (const KernelSet* const set : kSets) {
    known = known || wanted == set->name;
    if (!set->supported()) continue;
    if (wanted.empty() || wanted == set->name) return *set;
    names += names.empty() ? "" : ", ";
    names += set->name;
  }
  if (known) refuse("this machine lacks the instructions of the kernel set ", wanted, "; allowed: ", names);
  refuse("unknown kernel set ", wanted, "; allowed: ", names);
}

}  // namespace tilewise
