"""Post-training quantization one layer after another, each against what the float network gives.

A layer reads what the already refined layers before it give, and is measured by how far its output is from the float
network's. No label is used.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tilewise.calibration.config import CalibrationConfig
from tilewise.common.progress import track
from tilewise.conversion import convert
from tilewise.nn import Linear, QuantizedConv, WinogradConv2d, convolutions
from tilewise.nn.stages import input_transform, weight_transform
from tilewise.quant import FLOAT_BITS, Direct
from tilewise.quant.fake import FixedRange, Range
from tilewise.quant.rounding import round_half_up_

FACTORS = [1 - 0.02 * i for i in range(41)]
"""Shares of the largest value at which a range may end."""
CLIPPED_SHARE = 1e-4
"""Share of the values that a percentile range leaves out."""
BALANCES = (0.5, 0.75, 1.0)
"""Exponents that the search of a balance tries; no balance is tried too."""
IMAGES_PER_STEP = 32
QUIET = 1 / 16
"""Share of a tap's largest value that balance takes a channel to have at least."""
WEIGHT_RATE, TRANSFORM_RATE = 1e-2, 4e-2
"""Peak rates of reconstruction: what a step moves, in units of what is moved."""


class LayerPairs(NamedTuple):
    """What a layer reads, and what it should give, batch by batch."""

    inputs: list[Tensor]
    wanted: list[Tensor]


def refine(model: nn.Module, batches: Sequence[Tensor], config: CalibrationConfig, *, progress: bool) -> None:
    """Refine every quantized convolution of a calibrated model in place, in the order in which they run.

    Keeps the inputs and outputs of one layer at a time.
    """
    batches = [x for x in batches if len(x)]
    if not any(_is_quantized(m) for m in model.modules()):
        return
    reference = convert(model, {"*": Direct(bits=FLOAT_BITS)}).eval()
    layers, plain = convolutions(model), convolutions(reference)
    names = [name for name in _in_order(reference, batches[0][:1]) if _is_quantized(layers[name])]
    for name in track(names, "refine layers", enabled=progress):
        layer = layers[name]
        assert isinstance(layer, QuantizedConv)
        inputs, wanted = _inputs(model, layer, batches), _outputs(reference, plain[name], batches)
        with _without_norm(layer):
            refine_layer(layer, LayerPairs(inputs, wanted), config)


def refine_layer(layer: QuantizedConv, sample: LayerPairs, config: CalibrationConfig) -> None:
    """Set a layer's ranges and balance; then reconstruct it, and correct its bias."""
    fit_ranges(layer, sample, config)
    if config.reconstruct and isinstance(layer, WinogradConv2d):
        before, state = error(layer, sample), copy.deepcopy(layer.state_dict())
        _descend(layer, sample, config)
        fit_ranges(layer, sample, config)
        if error(layer, sample) > before:
            layer.load_state_dict(state)
    if config.correct_bias:
        correct_bias(layer, sample)


@torch.no_grad()
def fit_ranges(layer: QuantizedConv, sample: LayerPairs, config: CalibrationConfig) -> None:
    """Measure a layer's ranges on its inputs, clip them, and balance V against U."""
    if isinstance(layer, WinogradConv2d):
        layer.balance.fill_(1)
    _measure(layer, sample.inputs)
    if config.ranges != "max" and not layer.input_is_quantized:
        _clip_input(layer, sample.inputs, config.ranges)
    if not isinstance(layer, WinogradConv2d):
        return
    if config.balance:
        _search_balance(layer, sample)
    if config.ranges != "max":
        _clip_v(layer, sample.inputs, config.ranges)


def _measure(layer: QuantizedConv, inputs: Sequence[Tensor]) -> None:
    """Take the largest values seen for a layer's ranges; one that it shares stays as the whole network has it."""
    for name, child in layer.named_children():
        if isinstance(child, Range) and not (layer.input_is_quantized and name == "input_range"):
            child.reset()
    layer.calibrating = True
    try:
        for x in inputs:
            layer(x)
    finally:
        layer.calibrating = False


@torch.no_grad()
def error(layer: QuantizedConv, sample: LayerPairs) -> float:
    """Return the mean square error of the layer's output, as a share of the wanted output's mean square."""
    noise = sum(float(F.mse_loss(layer(x), y, reduction="sum")) for x, y in zip(*sample, strict=True))
    return noise / max(sum(float(y.square().sum()) for y in sample.wanted), 1e-30)


@torch.no_grad()
def correct_bias(layer: QuantizedConv, sample: LayerPairs) -> None:
    """Move the bias by the mean error of each output channel; a layer without a bias gets one."""
    pairs = list(zip(*sample, strict=True))
    channels = -1 if isinstance(layer, Linear) else 1
    axes = [axis for axis in range(pairs[0][1].ndim) if axis != channels % pairs[0][1].ndim]
    total = torch.stack([(y - layer(x)).double().sum(axes) for x, y in pairs]).sum(0)
    values = sum(y.numel() // layer.out_channels for y in sample.wanted)
    bias = torch.zeros_like(layer.weight[:, 0, 0, 0]) if layer.bias is None else layer.bias
    layer.bias = nn.Parameter(bias + (total / values).to(bias.dtype))


def _clip_input(layer: QuantizedConv, inputs: Sequence[Tensor], ranges: str) -> None:
    chosen = layer.get_range("input_range")
    if isinstance(chosen, FixedRange):
        return
    step, low, high = chosen.grid()
    errors = torch.zeros(len(FACTORS), 1, dtype=torch.float64, device=step.device)
    for x in inputs:
        errors += _clipping_errors((layer.scaled(x) / step).view(1, -1), float(low), float(high), ranges)
    chosen.absmax.mul_(_choose(errors, sum(x.numel() for x in inputs), ranges).view(()))


def _clip_v(layer: WinogradConv2d, inputs: Sequence[Tensor], ranges: str) -> None:
    """Shrink the range of V by one factor per tap, in units in which balanced channels count alike."""
    chosen, (_, _, bt) = layer.get_range("v_range"), layer.transforms()
    step, _, _ = layer.get_range("input_range").grid()
    mult = layer.v_multiplier(step)
    low, high = layer.spec.rules.limits(layer.spec.bits)
    errors, values = torch.zeros(len(FACTORS), len(chosen.absmax), dtype=torch.float64, device=step.device), 0
    for x in inputs:
        q, _ = layer.quantized("input_range", x)
        v = (input_transform(q, bt, layer.tiling(x)) * mult).flatten(1)
        errors += _clipping_errors(v, low, high, ranges)
        values += v.shape[1]
    chosen.absmax.mul_(_choose(errors, values, ranges)[:, None])


def _clipping_errors(values: Tensor, low: float, high: float, ranges: str) -> Tensor:
    """What each factor on the step costs each row of ``values``, which are in steps: (factors, rows)."""
    costs = []
    for factor in FACTORS:
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


def _descend(layer: WinogradConv2d, sample: LayerPairs, config: CalibrationConfig) -> None:
    """Learn weights and, where they are learned, transforms, through the layer's own quantization; ranges stay.

    Weights are measured in units of their output channel's size, and transforms in units of their tap's, which every
    algorithm is free to scale: so one rate suits all.
    """
    rates: dict[str, tuple[float, tuple[int, ...]]] = {"weight": (WEIGHT_RATE, (1, 2, 3))}
    if layer.spec.transforms == "learned":
        rates |= {"AT": (TRANSFORM_RATE, (0,)), "G": (TRANSFORM_RATE, (1,)), "BT": (TRANSFORM_RATE, (1,))}
    start = {name: getattr(layer, name).detach().clone() for name in rates}
    units = {name: rate * start[name].abs().mean(dims, keepdim=True) for name, (rate, dims) in rates.items()}
    moves = {name: torch.zeros_like(value, requires_grad=True) for name, value in start.items()}
    scale = sum(float(y.square().mean()) for y in sample.wanted) / len(sample.wanted)
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.Adam(moves.values(), lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / config.reconstruct)
    )
    with _training_with_fixed_ranges(layer):
        for _ in range(config.reconstruct):
            x, y = _draw(sample, generator)
            moved = {name: start[name] + units[name] * move for name, move in moves.items()}
            optimizer.zero_grad()
            (F.mse_loss(functional_call(layer, moved, (x,)), y) / scale).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        for name, move in moves.items():
            getattr(layer, name).copy_(start[name] + units[name] * move)


def _draw(sample: LayerPairs, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw images of one batch."""
    batch = int(torch.randint(len(sample.inputs), (), generator=generator))
    x, y = sample.inputs[batch], sample.wanted[batch]
    images = torch.randperm(len(x), generator=generator)[:IMAGES_PER_STEP].to(x.device)
    return x[images], y[images]


@contextmanager
def _training_with_fixed_ranges(layer: QuantizedConv) -> Iterator[None]:
    """Put a layer in training mode, its ranges where they are."""
    ranges = [m for m in layer.children() if isinstance(m, Range)]
    rules = [r.quantizer for r in ranges]
    for chosen, rule in zip(ranges, rules, strict=True):
        chosen.quantizer = replace(rule, momentum=0.0)
    layer.train()
    try:
        yield
    finally:
        layer.eval()
        for chosen, rule in zip(ranges, rules, strict=True):
            chosen.quantizer = rule


@contextmanager
def _without_norm(layer: QuantizedConv) -> Iterator[None]:
    """Let a layer leave the batch norm after it alone, so that it gives what its float convolution gives."""
    norm, layer.norm = layer.norm, ()
    try:
        yield
    finally:
        layer.norm = norm


class _Reached(Exception):  # noqa: N818 - no error
    """Ends a run of a model at the layer that was asked for."""


def _inputs(model: nn.Module, layer: nn.Module, batches: Sequence[Tensor]) -> list[Tensor]:
    """Return what a layer reads for every batch, running nothing after it."""
    taken: list[Tensor] = []

    def take(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        taken.append(inputs[0])
        raise _Reached

    _run(model, batches, layer.register_forward_pre_hook(take))
    return taken


def _outputs(model: nn.Module, layer: nn.Module, batches: Sequence[Tensor]) -> list[Tensor]:
    """Return what a layer gives for every batch, running nothing after it."""
    taken: list[Tensor] = []

    def take(_: nn.Module, __: tuple[Tensor, ...], y: Tensor) -> None:
        taken.append(y)
        raise _Reached

    _run(model, batches, layer.register_forward_hook(take))
    return taken


@torch.no_grad()
def _run(model: nn.Module, batches: Sequence[Tensor], hook: torch.utils.hooks.RemovableHandle) -> None:
    try:
        for x in batches:
            with suppress(_Reached):
                model(x)
    finally:
        hook.remove()


@torch.no_grad()
def _in_order(model: nn.Module, x: Tensor) -> list[str]:
    """Names of the convolutions in the order in which they run."""
    order: dict[str, None] = {}
    hooks = [
        m.register_forward_pre_hook(lambda _, __, name=name: order.update({name: None}))
        for name, m in convolutions(model).items()
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return list(order)


def _is_quantized(layer: nn.Module) -> bool:
    return isinstance(layer, QuantizedConv) and layer.spec.bits != FLOAT_BITS
