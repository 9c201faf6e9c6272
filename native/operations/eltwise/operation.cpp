#include "operations/eltwise/params.h"
#include "operations/list.h"
#include "operations/scaled.h"

namespace tilewise {
namespace {

class ElementWise final : public Scaled<Eltwise> {
 public:
  bool takes_narrow_pixels(std::int64_t) const override { return true; }
  bool writes_narrow_pixels() const override { return true; }

 private:
  Made kernel(const KernelSet& set) const override { return {"eltwise", set.eltwise(params_)}; }
};

}  // namespace

std::unique_ptr<Operation> make_eltwise_operation() { return std::make_unique<ElementWise>(); }

}  // namespace tilewise
