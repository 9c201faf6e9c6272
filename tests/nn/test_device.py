"""What a training step needs to run well on a GPU, shown without one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise import zoo
from tilewise.quant import Spec
from tilewise.quant.fake import Range

SPECS = {
    "direct": tw.Direct(),
    "F4": tw.Winograd("F4"),
    "F4 learned": tw.Winograd("F4", transforms="learned"),
    "F4 per tensor": tw.Winograd("F4", scales="tensor"),
    "paper": tw.Winograd("F4", quantizer="paper", scales="tensor"),
}


def trained(spec: Spec) -> nn.Module:
    """A network that has seen its first batch: from then on ranges are known to be ready."""
    torch.manual_seed(0)
    model = tw.convert(zoo.resnet20(), {"*": spec}, skips="quantized").train()
    model(torch.randn(2, 3, 16, 16))
    return model


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_step_never_waits_for_a_number(spec: Spec) -> None:
    """On the meta device asking for a value, which would make the host wait for a GPU, is an error."""
    model = trained(spec).to("meta")
    for module in model.modules():
        if isinstance(module, Range):
            module._seen = True
    model(torch.empty(2, 3, 16, 16, device="meta")).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
# Of torch itself: it instantiates autograd functions, and traces through functools.cache.
@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning", "ignore:Dynamo detected:UserWarning"
)
def test_a_step_compiles_as_one_graph(spec: Spec) -> None:
    torch._dynamo.reset()
    model = trained(spec)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    y: Tensor = compiled(torch.randn(2, 3, 16, 16))
    y.sum().backward()
    assert torch.isfinite(y).all()
