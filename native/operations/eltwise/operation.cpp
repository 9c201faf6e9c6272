#include "operations/eltwise/params.h"
#include "operations/list.h"
#include "operations/scaled.h"

namespace tilewise {
namespace {

class ElementWise final : public Scaled<Eltwise> {
  Made kernel(const KernelSet& set) const override { return {"eltwise", set.eltwise(params_)}; }
};

}  // namespace

std::unique_ptr<Operation> make_eltwise_operation() { return std::make_unique<ElementWise>(); }

}  // namespace tilewise
