"""A layer's ranges, balance and bias, fitted to what it reads and what it should give."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tilewise.calibration.config import CalibrationConfig
from tilewise.engine.layerwise import native_layer
from tilewise.nn import Linear, QuantizedConv, WinogradConv2d
from tilewise.nn.stages import input_transform, weight_transform
from tilewise.quant.fake import FixedRange, Range
from tilewise.quant.rounding import round_half_up_

FACTORS = [1 - 0.02 * i for i in range(41)]
"""Shares of the largest value at which a range may end."""
CLIPPED_SHARE = 1e-4
"""Share of the values that a percentile range leaves out."""
BALANCES = (0.5, 0.75, 1.0)
"""Exponents that the search of a balance tries; no balance is tried too."""
QUIET = 1 / 16
"""Share of a tap's largest value that balance takes a channel to have at least."""


class LayerPairs(NamedTuple):
    """What a layer reads, and what it should give, batch by batch."""

    inputs: list[Tensor]
    wanted: list[Tensor]

    def parted(self, count: int) -> tuple[LayerPairs, LayerPairs]:
        """Return the first batches and the rest."""
        first, rest = (LayerPairs(self.inputs[part], self.wanted[part]) for part in (slice(count), slice(count, None)))
        return first, rest


@torch.no_grad()
def error(layer: QuantizedConv, sample: LayerPairs) -> float:
    """Return the mean square error of the layer's output, as a share of the wanted output's mean square."""
    run = native_layer(layer)
    noise = sum(float(F.mse_loss(run(x), y, reduction="sum")) for x, y in zip(*sample, strict=True))
    return noise / max(sum(float(y.square().sum()) for y in sample.wanted), 1e-30)


@torch.no_grad()
def fit_ranges(layer: QuantizedConv, sample: LayerPairs, held: LayerPairs, config: CalibrationConfig) -> None:
    """Measure a layer's ranges on its inputs, clip them, and balance V against U: as images held back gain by it."""
    if isinstance(layer, WinogradConv2d):
        layer.balance.fill_(1)
    _measure(layer, sample.inputs)
    if config.ranges != "max" and not layer.input_is_quantized:
        _clip_input(layer, sample.inputs, config.ranges)
    if not isinstance(layer, WinogradConv2d):
        return
    if config.balance:
        _search_balance(layer, held)
    if config.ranges != "max":
        _clip_v(layer, sample.inputs, config.ranges)


@torch.no_grad()
def correct_bias(layer: QuantizedConv, sample: LayerPairs) -> None:
    """Move the bias by the mean error of each output channel; a layer without a bias gets one."""
    run, pairs = native_layer(layer), list(zip(*sample, strict=True))
    channels = -1 if isinstance(layer, Linear) else 1
    axes = [axis for axis in range(pairs[0][1].ndim) if axis != channels % pairs[0][1].ndim]
    total = torch.stack([(y - run(x)).double().sum(axes) for x, y in pairs]).sum(0)
    values = sum(y.numel() // layer.out_channels for y in sample.wanted)
    bias = torch.zeros_like(layer.weight[:, 0, 0, 0]) if layer.bias is None else layer.bias
    layer.bias = nn.Parameter(bias + (total / values).to(bias.dtype))


def _measure(layer: QuantizedConv, inputs: Sequence[Tensor]) -> None:
    """Take the largest values seen for a layer's ranges; one that it shares stays as the whole network has it."""
    for name, child in layer.named_children():
        if isinstance(child, Range) and not (layer.input_is_quantized and name == "input_range"):
            child.reset()
    widen(layer, inputs)


@torch.no_grad()
def widen(layer: QuantizedConv, inputs: Sequence[Tensor]) -> None:
    """Let a layer's ranges reach the largest values of more inputs."""
    layer.calibrating = True
    try:
        for x in inputs:
            layer.observe(x)
    finally:
        layer.calibrating = False


def _clip_input(layer: QuantizedConv, inputs: Sequence[Tensor], ranges: str) -> None:
    chosen = layer.get_range("input_range")
    if isinstance(chosen, FixedRange):
        return
    step, grids = chosen.grid()[0], _shorter(chosen)
    errors = torch.zeros(len(grids), 1, dtype=torch.float64, device=step.device)
    for x in inputs:
        errors += _clipping_errors((layer.scaled(x) / step).view(1, -1), grids, ranges)
    chosen.absmax.mul_(_choose(errors, sum(x.numel() for x in inputs), ranges).view(()))


def _shorter(chosen: Range) -> list[tuple[float, float, float]]:
    """Return the grid for each factor on a range's largest value: its step beside the present one, and its limits."""
    step, low, high = (float(number) for number in chosen.grid())
    if low in (0, -high):
        return [(factor, low, high) for factor in FACTORS]
    grids = []
    for factor in FACTORS:
        shorter = copy.deepcopy(chosen)
        shorter.absmax.mul_(factor)
        finer, lowest, highest = (float(number) for number in shorter.grid())
        grids.append((finer / step, lowest, highest))
    return grids


def _clip_v(layer: WinogradConv2d, inputs: Sequence[Tensor], ranges: str) -> None:
    """Shrink the range of V by one factor per tap, in units in which balanced channels count alike."""
    chosen, (_, _, bt) = layer.get_range("v_range"), layer.transforms()
    step, _, _ = layer.get_range("input_range").grid()
    mult = layer.v_multiplier(step)
    grids = [(factor, *layer.spec.rules.limits(layer.spec.bits)) for factor in FACTORS]
    errors, values = torch.zeros(len(grids), len(chosen.absmax), dtype=torch.float64, device=step.device), 0
    for x in inputs:
        q, _ = layer.quantized("input_range", x)
        v = (input_transform(q, bt, layer.tiling(x)) * mult).flatten(1)
        errors += _clipping_errors(v, grids, ranges)
        values += v.shape[1]
    chosen.absmax.mul_(_choose(errors, values, ranges)[:, None])


def _clipping_errors(values: Tensor, grids: Sequence[tuple[float, float, float]], ranges: str) -> Tensor:
    """What each grid costs each row of ``values``, which are in the steps that the grids' are beside: (grids, rows)."""
    costs = []
    for factor, low, high in grids:
        scaled = values / factor
        if ranges == "mse":
            noise = round_half_up_(scaled.clone()).clamp_(low, high).sub_(scaled)
            cost = noise.square_().sum(1, dtype=torch.float64) * factor**2
        else:
            cost = (scaled > high).logical_or_(scaled < low).sum(1, dtype=torch.float64)
        costs.append(cost)
    return torch.stack(costs)


def _choose(errors: Tensor, values: int, ranges: str) -> Tensor:
    """Return the factor of each row: of the least error, or the smallest that clips few enough."""
    if ranges == "mse":
        index = errors.argmin(0)
    else:
        index = (errors <= CLIPPED_SHARE * values).long().sum(0).sub(1).clamp_min(0)
    return errors.new_tensor(FACTORS)[index].float()


def _search_balance(layer: WinogradConv2d, sample: LayerPairs) -> None:
    """Keep the balance with which the layer's output is nearest to what is wanted.

    ``V**a / U**(1 - a)`` of the largest values per tap and input channel: with a = 1/2 V and U spread their channels
    alike (Chikin and Kryzhanovskiy, CVPR 2022), with a = 1 each channel of V has its own range and U carries the rest.
    """
    if layer.spec.scales == "tensor":
        return
    largest_v = _lifted(layer.get_range("v_range").absmax)
    largest_u = _lifted(weight_transform(layer.of_all_inputs(layer.weight), layer.transforms()[1]).abs().amax(1))
    candidates = [torch.ones_like(largest_v)] + [largest_v**a / largest_u ** (1 - a) for a in BALANCES]
    errors = []
    for balance in candidates:
        layer.balance.copy_(balance)
        errors.append(error(layer, sample))
    layer.balance.copy_(candidates[errors.index(min(errors))])


def _lifted(x: Tensor) -> Tensor:
    """Lift values that are little next to the largest of their row: channels without a signal on these images.

    With a grid made for nothing such a channel, once training or other images wake it, would widen the grids of all.
    """
    return x.maximum(x.amax(1, keepdim=True).clamp_min(1e-30) * QUIET)
