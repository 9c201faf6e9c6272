#include "operations/list.h"

namespace tilewise {
namespace {

constexpr const char* kKinds[] = {
#define TILEWISE_OPERATION(name) #name,
#include "generated/list.inc"
#undef TILEWISE_OPERATION
};

}  // namespace

std::span<const char* const> operation_kinds() { return kKinds; }

std::unique_ptr<Operation> make_operation(const std::string& kind) {
#define TILEWISE_OPERATION(name) \
  if (kind == #name) return make_##name##_operation();
#include "generated/list.inc"
#undef TILEWISE_OPERATION
  return nullptr;
}

}  // namespace tilewise
