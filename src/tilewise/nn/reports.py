"""What a model consists of, as its users read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from torch import nn

from tilewise.nn.base import QuantizedConv
from tilewise.nn.linear import Linear
from tilewise.nn.lossless import LosslessConv2d
from tilewise.nn.plain import unwrapped
from tilewise.nn.surrounded import convolutions, is_plain
from tilewise.nn.winograd import WinogradConv2d
from tilewise.quant import Spec

Report = TypeVar("Report")
"""What a model says of one of its parts."""


class Reporting(nn.Module, Generic[Report]):
    """A model that says itself what its parts are."""

    def report(self) -> list[Report]:
        """Return its parts, in the order in which they run."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """One convolution of a converted model.

    Parameters
    ----------
    name : str
        Dotted name in the model.
    shape : str
        Channels, kernel and stride, such as ``"16 -> 32, 3x3, stride 2"``.
    algorithm : str
        What it computes with: an algorithm's name, or ``"direct"``. For lossless layers ``"lossless: "`` and the
        algorithm that their weights and input range allow, or the kind of their spec as long as they have no range.
    bits : int
        Its width; 32 is float.
    spec : Spec or None
        Its spec; None for a convolution that no pattern matched.
    reason : str
        Why it is direct although a fast algorithm was asked, or stays in float, or empty.
    """

    name: str
    shape: str
    algorithm: str
    bits: int
    spec: Spec | None
    reason: str


@overload
def describe(model: Reporting[Report]) -> list[Report]: ...  # type: ignore[overload-overlap]
@overload
def describe(model: nn.Module) -> list[LayerReport]: ...
def describe(model: nn.Module) -> list[Any]:
    """List a model's convolutions: what each computes with, and why some are direct.

    Parameters
    ----------
    model : torch.nn.Module
        Converted or not. Of what :func:`tilewise.accelerate` gives, the parts are listed: what runs natively, what in
        torch, and what crossing between the two costs.
    """
    if isinstance(model, Reporting):
        found: list[Any] = model.report()
        return found
    return [_report(name, conv) for name, conv in convolutions(unwrapped(model)).items()]


def _report(name: str, conv: nn.Conv2d) -> LayerReport:
    kernel = "linear" if isinstance(conv, Linear) else "x".join(map(str, conv.kernel_size))
    shape = f"{conv.in_channels} -> {conv.out_channels}, {kernel}"
    if tuple(conv.stride) != (1, 1):
        high, wide = conv.stride
        shape += f", stride {high}" if high == wide else f", stride {high}x{wide}"
    if conv.groups != 1:
        shape += f", {conv.groups} groups"
    spec = conv.spec if isinstance(conv, QuantizedConv) else None
    return LayerReport(
        name=name,
        shape=shape,
        algorithm=_algorithm(conv),
        bits=spec.bits if spec else 32,
        spec=spec,
        reason=_reason(conv),
    )


def _reason(conv: nn.Conv2d) -> str:
    if isinstance(conv, QuantizedConv):
        return conv.fallback.reason if conv.fallback else ""
    return "" if is_plain(conv) else f"its class {type(conv).__name__} has code of its own"


def _algorithm(conv: nn.Conv2d) -> str:
    if isinstance(conv, LosslessConv2d):  # which one follows from weights and input range
        return f"lossless: {conv.choice().name}" if conv.get_range("input_range").ready else conv.spec.kind
    return conv.algorithm.name if isinstance(conv, WinogradConv2d) else "direct"
