"""Any model runs: what the engine serves natively, the rest in torch, for images of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine.importer import UnsupportedError


class Net(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.body, self.last = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU()), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, F.relu(self.a(x)))


def filtered(x: Tensor) -> Tensor:
    """Something that no engine has."""
    return torch.fft.ifft2(torch.fft.fft2(x)).real


def between(n: Any, x: Tensor) -> Any:
    y = n.b(filtered(F.relu(n.b(x))))
    return {"map": y, "more": [torch.cumsum(n.last(y.mean((2, 3))), 1), (x,)]}


def branch(n: Any, x: Tensor) -> Tensor:
    y = n.body(x)
    return torch.relu(n.body(y)) if y.mean() > 0 else y


def odd_sizes(n: Any, x: Tensor) -> Tensor:
    """A size that only the example's code path has."""
    return n.b(x)[:, :, : 4 if x.shape[2] > 10 else 2]


CASES = {"between": between, "branch": branch, "odd sizes": odd_sizes, "whole": lambda n, x: n.body(n.b(x))}


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [x for item in (value.values() if isinstance(value, dict) else value) for x in flat(item)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_model_computes(name: str) -> None:
    torch.manual_seed(0)
    model = Net(CASES[name]).eval()
    fast = tw.accelerate(model, torch.randn(1, 3, 8, 8))
    for shape in ((1, 3, 8, 8), (3, 3, 12, 9), (2, 3, 12, 9)):
        x = torch.randn(shape)
        found, expected = fast(x), model(x)
        assert type(found) is type(expected)
        for y, wanted in zip(flat(found), flat(expected), strict=True):
            torch.testing.assert_close(y, wanted.detach(), atol=1e-5, rtol=1e-4)
    assert any(part.where == "engine" for part in fast.report())
    assert model.a.weight.requires_grad
    assert next(iter(model.state_dict())) == "a.weight"


def test_the_report_says_what_runs_where() -> None:
    report = tw.describe(tw.accelerate(Net(between).eval(), torch.randn(1, 3, 8, 8)))
    native = [part for part in report if part.where == "engine"]
    (rest,) = (part for part in report if part.where == "torch")
    assert rest.operations == ("fft_fft2", "fft_ifft2", "real", "cumsum")
    assert sorted(part.operations.count("conv2d") for part in native) == [1, 2]
    assert {module for part in native for module in part.modules} >= {"a", "b", "last"}
    assert all(part.crossing_seconds > 0 for part in native)
    first = next(part for part in native if "a" in part.modules)
    assert first.crossing_bytes == 4 * (3 * 64 + 2 * 8 * 64)  # an image in, and two maps out


def test_quantized_layers_run_as_the_integers_that_they_are() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    model = tw.calibrate(tw.convert(Net(lambda n, y: n.b(y)).eval(), {"*": tw.Winograd("F4")}), [x])
    torch.testing.assert_close(tw.accelerate(model, x)(x), tw.compile(model, x)(x), atol=0, rtol=0)
    odd = tw.calibrate(tw.convert(Net(lambda n, y: n.b(filtered(y))).eval(), {"*": tw.Direct()}), [x])
    torch.testing.assert_close(tw.accelerate(odd, x)(x), odd(x).detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_what_no_engine_takes_runs_too() -> None:
    net = Net(lambda n, y: n.b(y) * 2 if n.training else n.b(y)).eval()
    fast = tw.accelerate(net, torch.randn(1, 3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(fast(x), net(x).detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(fast(x[0]), net(x[0]).detach(), atol=1e-5, rtol=1e-4)  # an image without a batch


def test_compile_lists_all_that_the_engine_lacks() -> None:
    net = Net(lambda n, x: torch.cumsum(filtered(n.body(x)), 1).logcumsumexp(1))
    with pytest.raises(UnsupportedError, match="the engine lacks 5 things") as refused:
        tw.compile(net.eval(), torch.zeros(1, 3, 8, 8))
    lines = str(refused.value).splitlines()
    for line, name in zip(lines[1:], ("fft_fft2", "fft_ifft2", "real", "cumsum", "logcumsumexp"), strict=True):
        assert line.startswith(f"{name} in the model's forward (test_accelerate.py:")
    assert "; supported are: " in lines[-1]
    assert "; supported are: " not in "".join(lines[:-1])
