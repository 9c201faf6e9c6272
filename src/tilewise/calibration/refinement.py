"""Post-training quantization one layer after another, each against what the float network gives.

A layer reads what the already refined layers before it give, and is measured by how far its output is from the float
network's. A part of the images is held back: what brings the layer no nearer on them is taken back. No label is used.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tilewise.calibration.config import CalibrationConfig
from tilewise.calibration.fitting import LayerPairs, correct_bias, error, fit_ranges, widen
from tilewise.calibration.passes import in_order, inputs_of, outputs_of
from tilewise.calibration.reconstruction import reconstruct
from tilewise.common.progress import track
from tilewise.conversion import convert
from tilewise.engine.layerwise import natively
from tilewise.nn import QuantizedConv, WinogradConv2d, convolutions
from tilewise.quant import FLOAT_BITS, Direct

HELD_BACK = 4
"""One image of so many is held back."""


@dataclass(frozen=True, kw_only=True)
class LayerRefinement:
    """What refinement came to in one layer.

    Parameters
    ----------
    name : str
        Dotted name.
    before, after : float
        Mean square error of its output on the images held back, as a share of the wanted output's mean square.
    left : str
        Why its weights are what they were; empty if they are not, or were not to be learned.
    """

    name: str
    before: float
    after: float
    left: str = ""


@dataclass(kw_only=True)
class Refinement:
    """What refinement came to.

    Parameters
    ----------
    images, held : int
        Learned from, and held back.
    layers : list of LayerRefinement
        In the order in which they run.
    before, after : float
        The same share, of the network's outputs; NaN where nothing could be held back.
    """

    images: int
    held: int
    layers: list[LayerRefinement] = field(default_factory=list)
    before: float = math.nan
    after: float = math.nan

    @property
    def in_vain(self) -> bool:
        """Whether the network is what it was."""
        return bool(self.layers) and not self.after < self.before

    def complaint(self) -> str:
        """Say what could not be fitted, and why; empty if all could."""
        left = [layer for layer in self.layers if layer.left]
        reasons = {reason: [x.name for x in left if x.left == reason] for reason in dict.fromkeys(x.left for x in left)}
        parts = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
        count = f"{len(left)} of {len(self.layers)}"
        return f"refinement left the weights of {count} layers as they were ({parts})" if left else ""


def refine(model: nn.Module, batches: Sequence[Tensor], config: CalibrationConfig, *, progress: bool) -> Refinement:
    """Refine every quantized convolution of a calibrated model in place, in the order in which they run.

    Keeps the inputs of one layer at a time, and outputs of the float network as far as memory allows.
    """
    layers = {n: m for n, m in convolutions(model).items() if isinstance(m, QuantizedConv) and _is_quantized(m)}
    shown, held = held_back(batches)
    found = Refinement(images=sum(map(len, shown)), held=sum(map(len, held)))
    if not layers:
        return found
    if not held:
        alone = "there are not two images that differ and are not of one colour"
        found.layers += [LayerRefinement(name=name, before=math.nan, after=math.nan, left=alone) for name in layers]
        return found
    network = _Network(model, convert(model, {"*": Direct(bits=FLOAT_BITS)}).eval(), shown, held)
    found.before = network.error()
    _refine_layers(network, layers, config, found, progress=progress)
    found.after = network.error()
    return found


def _refine_layers(
    network: _Network, layers: Mapping[str, QuantizedConv], config: CalibrationConfig, found: Refinement, *,
    progress: bool,
) -> None:  # fmt: skip
    """Refine one layer after another; all of it is taken back if the network comes no nearer by it."""
    batches, plain = network.shown + network.held, convolutions(network.reference)
    names = [name for name in in_order(network.reference, batches[0][:1]) if name in layers]
    wanted = outputs_of(network.reference, [plain[name] for name in names], batches)
    before = _state(network.model)
    for name in track(names, "refine layers", enabled=progress):
        layer = layers[name]
        inputs, (_, outputs) = inputs_of(network.model, layer, batches), next(wanted)
        norm, layer.norm = layer.norm, ()  # so that it gives what its float convolution gives
        try:
            pairs = LayerPairs(inputs, outputs).parted(len(network.shown))
            found.layers.append(refine_layer(name, layer, *pairs, config))
        finally:
            layer.norm = norm
    if not network.error() < found.before:
        _restore(network.model, before)
        worse = f"the network comes no nearer to float on the {found.held} images held back"
        found.layers = [replace(layer, after=layer.before, left=worse) for layer in found.layers]


def refine_layer(
    name: str, layer: QuantizedConv, shown: LayerPairs, held: LayerPairs, config: CalibrationConfig
) -> LayerRefinement:
    """Set a layer's ranges and balance; reconstruct it; correct its bias: each as far as images held back gain by it.

    Parameters
    ----------
    name : str
        What reports call it.
    layer : QuantizedConv
        Calibrated, in evaluation mode; changed in place.
    shown, held : LayerPairs
        To learn from, and to judge by.
    config : CalibrationConfig
        What to do.
    """

    def far() -> float:
        return error(layer, held)

    def learn() -> None:
        assert isinstance(layer, WinogradConv2d)
        reconstruct(layer, shown, config.reconstruct, config.seed)
        fit_ranges(layer, shown, held, config)

    before, left = far(), ""
    now = _kept(layer, before, far, lambda: fit_ranges(layer, shown, held, config))
    if config.reconstruct and isinstance(layer, WinogradConv2d):
        learned = _kept(layer, now, far, learn)
        left = "" if learned < now else f"no nearer on the {sum(map(len, held.inputs))} images held back"
        now = learned
    if config.correct_bias:
        now = _kept(layer, now, far, lambda: correct_bias(layer, shown))
    if config.ranges == "max":
        widen(layer, held.inputs)
    return LayerRefinement(name=name, before=before, after=now, left=left)


def held_back(batches: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Part images into those to learn from and those to judge by: one of four is held back, or one of fewer.

    Images that were there before, and those of one colour, tell nothing, and are left out.
    """
    telling = _telling(batches)
    every = min(HELD_BACK, sum(map(len, telling)))
    shown: list[Tensor] = []
    held: list[Tensor] = []
    place = 0
    for batch in telling:
        chosen = [every > 1 and (place + i) % every == every - 1 for i in range(len(batch))]
        place += len(batch)
        for taken, part in ((shown, False), (held, True)):
            images = [x for x, is_held in zip(batch, chosen, strict=True) if is_held is part]
            taken.extend([torch.stack(images)] if images else [])
    return shown, held


def _telling(batches: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return the images that differ from those before them and are not of one colour, batch by batch."""
    seen: set[bytes] = set()
    found: list[list[Tensor]] = []
    for batch in batches:
        found.append([])
        for x in batch:
            channels, key = x.flatten(1), hashlib.sha256(x.detach().cpu().numpy().tobytes()).digest()
            if key not in seen and bool((channels != channels[:, :1]).any()):
                found[-1].append(x)
            seen.add(key)
    return found


class _Network:
    """A quantized network beside the float one, and the images to learn from and to judge by."""

    def __init__(self, model: nn.Module, reference: nn.Module, shown: list[Tensor], held: list[Tensor]) -> None:
        self.model, self.reference, self.shown, self.held = model, reference, shown, held
        self.wanted = [_outputs(reference, x) for x in held]
        self.signal = max(1e-30, sum(float(y.double().square().sum()) for outputs in self.wanted for y in outputs))

    def error(self) -> float:
        """Return the mean square error of the outputs on the images held back, as a share of their mean square."""
        with natively(self.model):
            found = [_outputs(self.model, x) for x in self.held]
        pairs = (pair for outputs in zip(found, self.wanted, strict=True) for pair in zip(*outputs, strict=True))
        return sum(float((y - wanted).double().square().sum()) for y, wanted in pairs) / self.signal


@torch.no_grad()
def _outputs(model: nn.Module, x: Tensor) -> list[Tensor]:
    return [y for y in tree_leaves(model(x)) if isinstance(y, Tensor) and y.is_floating_point()]


def _kept(module: nn.Module, before: float, far: Callable[[], float], change: Callable[[], None]) -> float:
    """Change a module, and take that back unless it is nearer then; return how far it is."""
    state = _state(module)
    change()
    after = far()
    if after < before:
        return after
    _restore(module, state)
    return before


_State: TypeAlias = tuple[dict[str, Tensor], dict[QuantizedConv, Any]]


def _state(module: nn.Module) -> _State:
    """Return all numbers of a module; a bias that a layer has not is one of them."""
    biases = {m: m.bias for m in module.modules() if isinstance(m, QuantizedConv)}
    return copy.deepcopy(module.state_dict()), biases


def _restore(module: nn.Module, state: _State) -> None:
    numbers, biases = state
    for layer, bias in biases.items():
        layer.bias = bias
    module.load_state_dict(numbers)


def _is_quantized(layer: QuantizedConv) -> bool:
    return layer.spec.bits != FLOAT_BITS
