#include "base/check.h"
#include "operations/list.h"
#include "operations/norm/params.h"
#include "operations/scaled.h"

namespace tilewise {
namespace {

class NormOperation final : public Scaled<Norm> {
  void own_fields(Fields& fields) override {
    fields.integer("groups", params_.groups, {0, kMaxExtent},
                   "Of channels, each with statistics over all pixels; 0: all channels, with statistics for each pixel.");
    fields.real("eps", eps_, "Is added to the variance.");
  }

  void check_own(const TensorType& x) override {
    if (params_.groups > 0 && x.channels % params_.groups != 0)
      refuse(name, ": groups is ", params_.groups, ", must divide the ", x.channels, " channels");
    params_.eps = static_cast<float>(eps_);
  }

  Made kernel(const KernelSet& set) const override { return {"norm", set.norm(params_)}; }

  double eps_ = 0;
};

}  // namespace

std::unique_ptr<Operation> make_norm_operation() { return std::make_unique<NormOperation>(); }

}  // namespace tilewise
