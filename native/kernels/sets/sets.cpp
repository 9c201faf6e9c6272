#include <array>
#include <string_view>

#include "base/check.h"
#include "kernels/op.h"

namespace tilewise {

#ifdef TILEWISE_X86
extern const KernelSet kAvx512vnni;
#endif
extern const KernelSet kPortable;
extern const KernelSet kReference;

namespace {

constexpr std::array kSets = {
#ifdef TILEWISE_X86
    &kAvx512vnni,
#endif
    &kPortable,
    &kReference,
};

}  // namespace

std::span<const KernelSet* const> kernel_sets() { return kSets; }

const KernelSet& kernel_set(const char* name) {
  const std::string_view wanted(name);
  std::string names;
  for (const KernelSet* const set : kSets) {
    const bool here = set->supported();
    if (here && (wanted.empty() || wanted == set->name)) return *set;
    if (!here && wanted == set->name)
      refuse("this machine lacks the instructions of the kernel set ", wanted);
    names += names.empty() ? "" : ", ";
    names += set->name;
  }
  refuse("unknown kernel set ", wanted, "; allowed: ", names);
}

}  // namespace tilewise
