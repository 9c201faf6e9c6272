"""What each algorithm would do to each layer of a network, before anybody meets a silent collapse.

One layer at a time is quantized, all others stay in float: the error of its stages on real activations, and what the
network then answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from tilewise.calibration.ranges import calibrate
from tilewise.common.progress import bar
from tilewise.conversion import convert
from tilewise.engine.layerwise import native_layer
from tilewise.nn import QuantizedConv, WinogradConv2d, convolutions
from tilewise.nn.stages import input_transform, requantize_, weight_transform
from tilewise.quant import FLOAT_BITS, Direct, Spec, Winograd

Verdict: TypeAlias = Literal["safe", "needs refinement", "collapses"]
ALGORITHMS = ("direct", "F2", "SFC6", "SFC6-planar", "F4", "F6", "F4-textbook/tensor")
"""Looked at by default; the last is what a textbook does, and what collapses."""
SAFE_DB, COLLAPSED_DB = 22.0, 8.0
"""Of a layer's output. Measured on ResNet-20 (docs/results/calibration.md): layers of 8 to 19 dB together cost 8 points
of accuracy, such of 16 to 27 dB together 0.8; what is below 8 dB is mostly noise."""
SAFE_AGREEMENT, COLLAPSED_AGREEMENT = 99.0, 90.0
"""Percent of the images that the network still answers as in float when this layer alone is quantized."""


@dataclass(frozen=True, kw_only=True)
class LayerFinding:
    """One layer by one algorithm.

    Parameters
    ----------
    layer, algorithm : str
        Dotted name in the model; algorithm, with ``"/tensor"`` where scales are per tensor.
    v_db, u_db : float or None
        Signal-to-quantization-noise ratio of the transformed input and weights; None of a direct layer.
    output_db : float
        That of the layer's output, against float.
    agreement : float
        Percent of the images whose largest logit stays the float network's.
    accuracy : float or None
        Percent of the images answered by their label, if there are labels.
    verdict : {"safe", "needs refinement", "collapses"}
        ``"needs refinement"``: calibrate with a config, or adapt by training.
    """

    layer: str
    algorithm: str
    v_db: float | None
    u_db: float | None
    output_db: float
    agreement: float
    accuracy: float | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings, and the specs that follow from them.

    Parameters
    ----------
    findings : list of LayerFinding
        By layer, then by algorithm. Layers that an algorithm can not serve have none for it.
    specs : dict of str to Spec
        By layer, every convolution: of the safe algorithms the one of fewest multiplications, else direct. What
        :func:`tilewise.convert` takes.
    images : int
        Images looked at.
    float_accuracy : float or None
        Accuracy of the float network on them, if there are labels.
    """

    findings: list[LayerFinding]
    specs: dict[str, Spec]
    images: int
    float_accuracy: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form; its ``specs`` are what ``--specs`` reads."""
        return {
            "images": self.images,
            "float_accuracy": self.float_accuracy,
            "findings": [asdict(finding) for finding in self.findings],
            "specs": {name: spec.to_dict() for name, spec in self.specs.items()},
        }


def doctor(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor] | Tensor],
    *,
    algorithms: Sequence[str] = ALGORITHMS,
    bits: int = 8,
    progress: bool = False,
) -> Diagnosis:
    """Examine every convolution of a float network by every algorithm.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits of shape (N, classes); it is not changed.
    batches : iterable of (x, y) or of x
        A few hundred images, all kept in memory; ranges are measured on the same.
    algorithms : sequence of str
        Names of algorithms, ``"direct"``, or a name and ``"/tensor"`` for one scale for all taps.
    bits : int
        2 to 16.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ValueError
        If there are no images or convolutions, or a value is not allowed.
    """
    if bits == FLOAT_BITS:
        raise ValueError(f"bits is {bits}; allowed: 2 to 16")
    specs = {name: _spec(name, bits) for name in dict.fromkeys(algorithms)}
    kept = [(x, None) if isinstance(x, Tensor) else (x[0], x[1]) for x in batches]
    images, labels = [x for x, _ in kept if len(x)], [y for _, y in kept if y is not None and len(y)]
    if not images:
        raise ValueError("no images to examine the network on")
    if not any(isinstance(m, nn.Conv2d) for m in model.modules()):
        raise ValueError("the model has no convolution to examine")
    plain = convert(model, {"*": Direct(bits=FLOAT_BITS)}).eval()
    examination = _Examination(plain, images, labels)
    convs = convolutions(plain)
    findings = []
    with bar(enabled=progress) as display:
        for name, conv in display.track(convs.items(), description="examine"):
            pairs = examination.capture(conv)
            found = (examination.look(name, conv, pairs, algorithm, spec) for algorithm, spec in specs.items())
            findings += [finding for finding in found if finding is not None]
    chosen = {name: _choose(name, conv, findings, specs, bits) for name, conv in convs.items()}
    return Diagnosis(
        findings=findings, specs=chosen, images=sum(map(len, images)), float_accuracy=examination.float_accuracy
    )


def _spec(name: str, bits: int) -> Spec:
    if name == "direct":
        return Direct(bits=bits)
    algorithm, slash, scales = name.partition("/")
    if slash and scales != "tensor":
        raise ValueError(f"algorithm is {name!r}; allowed after a slash: tensor")
    return Winograd(algorithm, bits=bits, scales="tensor" if slash else "tap")


class _Examination:
    """The float network's answers, and how they change with one layer."""

    def __init__(self, plain: nn.Module, images: list[Tensor], labels: list[Tensor]) -> None:
        self.plain, self.images = plain, images
        self.labels = torch.cat(labels) if labels else None
        self.answers = self._answer()

    @property
    def float_accuracy(self) -> float | None:
        return None if self.labels is None else _percent(self.answers == self.labels)

    @torch.no_grad()
    def _answer(self) -> Tensor:
        logits = torch.cat([self.plain(x) for x in self.images])
        if not torch.isfinite(logits).all():
            raise ValueError("the network's logits are not finite: weights or images contain NaN or infinity")
        return logits.argmax(1)

    def capture(self, conv: nn.Conv2d) -> list[tuple[Tensor, Tensor]]:
        """Return what a layer reads and gives in float, batch by batch."""
        pairs: list[tuple[Tensor, Tensor]] = []
        hook = conv.register_forward_hook(lambda _, inputs, y: pairs.append((inputs[0], y)))
        self._answer()
        hook.remove()
        return pairs

    @torch.no_grad()
    def look(
        self, name: str, conv: nn.Conv2d, pairs: Sequence[tuple[Tensor, Tensor]], algorithm: str, spec: Spec
    ) -> LayerFinding | None:
        """Quantize one layer; None if the algorithm does not serve it."""
        layer = convert(conv, {"*": spec}).eval()
        assert isinstance(layer, QuantizedConv)
        if layer.fallback is not None:
            return None
        calibrate(layer, [x for x, _ in pairs])
        run = native_layer(layer)
        output_db = _decibels([(y, run(x) - y) for x, y in pairs])
        v_db, u_db = _stages(layer, [x for x, _ in pairs]) if isinstance(layer, WinogradConv2d) else (None, None)
        hook = conv.register_forward_hook(lambda _, inputs, __: run(inputs[0]))
        answers = self._answer()
        hook.remove()
        agreement = _percent(answers == self.answers)
        return LayerFinding(
            layer=name,
            algorithm=algorithm,
            v_db=v_db,
            u_db=u_db,
            output_db=output_db,
            agreement=agreement,
            accuracy=None if self.labels is None else _percent(answers == self.labels),
            verdict=verdict(output_db, agreement),
        )


def verdict(output_db: float, agreement: float) -> Verdict:
    """Judge a layer by its output's error and by what the network then answers."""
    if output_db < COLLAPSED_DB or agreement < COLLAPSED_AGREEMENT:
        return "collapses"
    return "safe" if output_db >= SAFE_DB and agreement >= SAFE_AGREEMENT else "needs refinement"


def _stages(layer: WinogradConv2d, inputs: Sequence[Tensor]) -> tuple[float, float]:
    """Ratios of V and U to their rounding, in decibels."""
    _, g, bt = layer.transforms()
    step, (low, high) = layer.get_range("input_range").grid()[0], layer.spec.rules.limits(layer.spec.bits)
    mult = layer.v_multiplier(step)
    v_pairs = []
    for x in inputs:
        v = input_transform(layer.quantized("input_range", x)[0], bt, layer.tiling(x))
        v_pairs.append((v, requantize_(v.clone(), mult, low, high) / mult - v))
    q, scale = layer.policy.transformed_weights(layer, g, step / mult)
    u = weight_transform(layer.of_all_inputs(layer.weight), g) * (step / mult).transpose(1, 2)
    return _tapwise(v_pairs), _tapwise([(u, q * scale - u)])


def _tapwise(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Ratio over taps of equal weight: their sizes differ by more than errors do."""
    signal = torch.stack([s.double().square().sum((1, 2)) for s, _ in pairs]).sum(0)
    noise = torch.stack([n.double().square().sum((1, 2)) for _, n in pairs]).sum(0)
    return float(-10 * torch.log10((noise / signal.clamp_min(1e-30)).mean().clamp_min(1e-30)))


def _decibels(pairs: list[tuple[Tensor, Tensor]]) -> float:
    signal = sum(float(s.double().square().sum()) for s, _ in pairs)
    noise = sum(float(n.double().square().sum()) for _, n in pairs)
    return float(10 * torch.log10(torch.tensor(max(signal, 1e-30) / max(noise, 1e-30))))


def _percent(hits: Tensor) -> float:
    return 100 * float(hits.double().mean())


def _choose(name: str, conv: nn.Conv2d, findings: Sequence[LayerFinding], specs: dict[str, Spec], bits: int) -> Spec:
    """Return the safe spec of fewest multiplications."""
    safe = [specs[f.algorithm] for f in findings if f.layer == name and f.verdict == "safe"]
    fast = [spec for spec in safe if isinstance(spec, Winograd)]
    r, stride = conv.kernel_size[0], conv.stride[0]
    return max(fast, key=lambda spec: spec.resolve(r, stride).multiplication_ratio(), default=Direct(bits=bits))
