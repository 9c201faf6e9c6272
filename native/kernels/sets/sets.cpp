#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/check.h"
#include "kernels/set.h"
#include "kernels/sets/sets.h"

namespace tilewise {

#define TILEWISE_KERNEL_SET(set) extern const KernelSet set;
#include "kernels/sets/sets.inc"
#undef TILEWISE_KERNEL_SET
#if defined(TILEWISE_HAS_AVX512BF16) && defined(TILEWISE_HAS_AVX512VNNI)
extern const Bf16Kernels kAvx512bf16;
#endif

namespace {

#if defined(TILEWISE_HAS_AVX512BF16) && defined(TILEWISE_HAS_AVX512VNNI)
// Made here, in code that every machine can run: the file of the set itself is built for machines that have it.
KernelSet with_bf16(KernelSet set) {
  if (set.supported() && kAvx512bf16.supported()) {
    set.direct_bf16 = kAvx512bf16.direct;
    set.fast_bf16 = kAvx512bf16.fast;
  }
  return set;
}
#endif

auto make_sets() {
  std::array found = {
#define TILEWISE_KERNEL_SET(set) &set,
#include "kernels/sets/sets.inc"
#undef TILEWISE_KERNEL_SET
  };
#if defined(TILEWISE_HAS_AVX512BF16) && defined(TILEWISE_HAS_AVX512VNNI)
  static const KernelSet amx = with_bf16(kAmx), avx512vnni = with_bf16(kAvx512vnni);
  std::ranges::replace(found, &kAmx, &amx);
  std::ranges::replace(found, &kAvx512vnni, &avx512vnni);
#endif
  return found;
}

std::span<const KernelSet* const> sets() {
  static const auto found = make_sets();
  return found;
}

}  // namespace

std::span<const KernelSet* const> kernel_sets() { return sets(); }

const KernelSet& kernel_set(const char* name) {
  const std::string_view wanted(name);
  std::string names;
  bool known = false;
  for (const KernelSet* const set : sets()) {
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
