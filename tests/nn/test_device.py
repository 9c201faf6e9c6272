"""What a training step needs to run well on a GPU, shown without one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import tilewise as tw
from tilewise import zoo
from tilewise.nn import function
from tilewise.nn.stages import multiply
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
    return prepared(zoo.resnet20(), spec)


def prepared(network: nn.Module, spec: Spec) -> nn.Module:
    """Convert a network and let it see a batch."""
    model = tw.convert(network, {"*": spec}, skips="quantized").train()
    model(torch.randn(2, 3, 16, 16))
    return model


def two_blocks() -> nn.Module:
    """Return each kind of layer and skip of ResNet-20: its stem, a block that keeps the size, one that halves it."""
    whole = zoo.resnet20()
    return nn.Sequential(whole.conv1, whole.bn1, nn.ReLU(), whole.layer1[0], whole.layer2[0])


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_step_never_waits_for_a_number(spec: Spec) -> None:
    """On the meta device asking for a value, which would make the host wait for a GPU, is an error."""
    model = trained(spec).to("meta")
    for module in model.modules():
        if isinstance(module, Range):
            module._seen = True
    model(torch.empty(2, 3, 16, 16, device="meta")).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


MORE = pytest.mark.long(reason="torch.compile takes ten seconds, and learned F4 has all that the others have")


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, id=name, marks=() if name in ("direct", "F4 learned") else MORE)
        for name, spec in SPECS.items()
    ],
)
# Of torch itself: it instantiates autograd functions, and traces through functools.cache.
@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning", "ignore:Dynamo detected:UserWarning"
)
def test_a_step_compiles_as_one_graph(spec: Spec) -> None:
    torch._dynamo.reset()
    model = prepared(two_blocks(), spec)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    y: Tensor = compiled(torch.randn(2, 3, 16, 16))
    y.sum().backward()
    assert torch.isfinite(y).all()


class Products(TorchDispatchMode):
    """Notes what batched matrix products are given and give."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.dtype, torch.dtype]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket is torch.ops.aten.bmm:
            self.seen.append((args[0].dtype, out.dtype))
        return out


@pytest.mark.parametrize(("largest", "product"), [(127, torch.float16), (2047, torch.float16), (4095, torch.float32)])
def test_products_of_integers_on_a_gpu(largest: int, product: torch.dtype) -> None:
    """Stand-ins for CUDA tensors: integers that half precision holds are multiplied in it."""
    with FakeTensorMode(), Products() as products:
        u, v = torch.empty(36, 8, 4, device="cuda"), torch.empty(36, 4, 10, device="cuda")
        assert multiply(u, v, largest).shape == (36, 8, 10)
        multiply(u, v)
    assert products.seen == [(product, torch.float32), (torch.float32, torch.float32)]


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (12, 2047), (32, None)])
def test_layers_say_how_large_their_integers_are(
    bits: int, largest: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    def noted(u: Tensor, v: Tensor, largest: int | None = None) -> Tensor:
        said.append(largest)
        assert largest is None or max(u.abs().max(), v.abs().max()) <= largest
        return multiply(u, v, largest)

    monkeypatch.setattr(function, "multiply", noted)
    spec = tw.Winograd("F4", bits=bits, transforms="learned")
    layer = tw.convert(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1)), {"*": spec}).train().double()
    x = torch.randn(2, 8, 8, 8, dtype=torch.float64)
    layer(x).sum().backward()
    layer.eval()(x)
    assert said == [largest] * 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_gpu_gives_the_integers_of_the_cpu(spec: Spec) -> None:
    model, x = trained(spec).eval(), torch.randn(4, 3, 16, 16)
    expected = model(x)
    torch.testing.assert_close(model.cuda()(x.cuda()).cpu(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("channels", [64, 512])
def test_half_precision_products_are_exact(channels: int) -> None:
    u, v = (torch.randint(-127, 128, (36, channels, 96), device="cuda").float() for _ in range(2))
    product = multiply(u.transpose(1, 2).contiguous(), v, 127)
    assert (product.double() == torch.bmm(u.transpose(1, 2).double(), v.double())).all()
