"""Tilewise: each algorithm for every layer that it serves, and mixtures of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch

import tilewise as tw
from peers.net import INPUT, Net, Sample
from peers.registry import LEARNED
from peers.runner import Runner, Variant
from peers.torch_net import NetModule
from tilewise.engine import Engine
from tilewise.nn import Quantize
from tilewise.quant import Spec

FORCED_BY = "TILEWISE_ISA"
DIRECT = "direct"
MIXTURE = "F4, F2 up to 4x4"
FASTEST = "fastest per layer"
EXACT = "exact"
"""Direct int8's numbers by ``tw.Exact()``; where that expects no gain it is direct."""


class Serves(NamedTuple):
    """What we have for a data type: bits, algorithms, those that ``fastest per layer`` chooses from, precision."""

    bits: int
    algorithms: tuple[str, ...]
    choices: tuple[str, ...]
    precision: Literal["float32", "bf16"] = "float32"


# F6 at 8 bits does not keep a network's accuracy without training (docs/results/accuracy.md).
DTYPES = {
    "fp32": Serves(32, ("F2", "F4", "F6"), ("F2", "F4", "F6")),
    "int8": Serves(8, ("F2", "F4", "F6", "SFC6", "F4 learned", EXACT), ("F2", "F4", "SFC6")),
    "bf16": Serves(32, ("F2", "F4"), ("F2", "F4"), precision="bf16"),
    "int16": Serves(10, ("F2", "F4"), ("F2", "F4")),
}
CONVOLUTIONS = ("direct", "fast", "exact", "residue")

VARIANTS = tuple(
    variant
    for dtype, serves in DTYPES.items()
    for variant in (
        Variant(DIRECT, dtype),
        *(Variant(name, dtype, fast=True, networks=name in ("F2", "F4", EXACT)) for name in serves.algorithms),
        Variant(MIXTURE, dtype, fast=True, layers=False),
        Variant(FASTEST, dtype, fast=True, layers=False),
    )
)


def version() -> str:
    """Give our own version."""
    return tw.__version__


def spec(algorithm: str, dtype: str) -> Spec:
    """Give an algorithm at the data type's bits."""
    bits = DTYPES[dtype].bits
    if algorithm == DIRECT:
        return tw.Direct(bits=bits)
    if algorithm == EXACT:
        return tw.Exact()
    transforms: Literal["learned", "static"] = "learned" if algorithm.endswith(LEARNED) else "static"
    return tw.Winograd(algorithm.removesuffix(LEARNED), bits=bits, transforms=transforms)


def make_dense(model: torch.nn.Module) -> None:
    """Move learned transforms off the algorithm's own integers, as training does, but not off the convolution.

    ``B^T`` times 17/16 still lies on its grid and ``G`` takes the factor back; ``A^T`` has no zeros any more.
    """
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, tw.nn.WinogradConv2d) and layer.spec.transforms == "learned":
                layer.BT.mul_(17 / 16)
                layer.G.mul_(16 / 17)
                layer.AT.add_(1e-4)


def compiled(sample: Sample, algorithms: dict[str, str], dtype: str, threads: int) -> Engine:
    """Convert, calibrate on the sample's input, and compile; algorithms go by layer."""
    x = torch.from_numpy(sample.x)
    bits, quantized = DTYPES[dtype].bits, DTYPES[dtype].bits <= 8
    net = linear_as_convolutions(sample.net) if quantized else sample.net
    specs = {name: spec(algorithms.get(name, DIRECT), dtype) for name in convolutions(net)}
    model = tw.convert(NetModule(net), specs, skips="quantized" if quantized else "float").eval()
    make_dense(model)
    if bits < 32:
        if quantized and sample.net.is_layer:  # what a layer in a network does at its end
            model = torch.nn.Sequential(model, Quantize())
        tw.calibrate(model, [x])
    if sample.net.is_layer:
        _check_served(model)
    return tw.compile(model, x, threads=threads, precision=DTYPES[dtype].precision)


def _check_served(model: torch.nn.Module) -> None:
    """Refuse a layer that a fast algorithm does not serve: it would be measured as direct."""
    for report in tw.describe(model):
        if report.reason:
            raise ValueError(f"{report.name} stays direct: {report.reason}")


def convolutions(net: Net) -> list[str]:
    """Names of the convolutions."""
    return [node.name for node in net.nodes if node.op == "conv"]


def linear_as_convolutions(net: Net) -> Net:
    """Give linear layers behind a flattening as convolutions over the whole map, which tilewise quantizes.

    A linear layer behind a mean stays in float: that of ResNets, a small part of their work.
    """
    shapes, alias, nodes, maps = net.shapes, {INPUT: INPUT}, [], set()
    for node in net.nodes:
        inputs = tuple(alias[name] for name in node.inputs)
        alias[node.name] = node.name
        if node.op == "flatten":
            alias[node.name] = inputs[0]
            maps.add(node.name)
            continue
        changed = replace(node, inputs=inputs)
        if node.op == "linear" and node.inputs[0] in maps:
            weight, _ = node.parameters
            size = 1 if node.inputs[0] == inputs[0] else shapes[inputs[0]][-1]
            weight = weight.reshape(len(weight), -1, size, size)
            changed = replace(changed, op="conv", weight=weight, kernel=size)
            maps.add(node.name)
        nodes.append(changed)
    return Net(tuple(nodes), net.input_shape)


def mixture(net: Net) -> dict[str, str]:
    """F4, but F2 where maps are at most 4x4: one tile of F4, with four times the weights of direct."""
    shapes = net.shapes
    return {name: "F2" if max(shapes[name][1:]) <= 4 else "F4" for name in convolutions(net)}


def fastest(sample: Sample, dtype: str, threads: int) -> dict[str, str]:
    """Measure each convolution within the network with each algorithm, and take the fastest."""
    best: dict[str, tuple[float, str]] = {}
    x = torch.from_numpy(sample.x)
    for algorithm in (DIRECT, *DTYPES[dtype].choices):
        engine = compiled(sample, dict.fromkeys(convolutions(sample.net), algorithm), dtype, threads)
        for row in engine.profile(x, repeats=5):
            if str(row["op"]).startswith(CONVOLUTIONS):
                name = str(row["name"])
                best[name] = min(best.get(name, (float("inf"), "")), (float(row["seconds"]), algorithm))
    return {name: best[name][1] for name in convolutions(sample.net)}


def build(variant: Variant, sample: Sample, threads: int) -> Runner:
    """Compile; a layer's own time is that of the convolution with bias, ReLU and store."""
    torch.set_num_threads(1)
    names = convolutions(sample.net)
    if variant.name == MIXTURE:
        algorithms = mixture(sample.net)
        if "F2" not in algorithms.values():
            raise ValueError("no map is that small: it would be F4")
    elif variant.name == FASTEST:
        algorithms = fastest(sample, variant.dtype, threads)
    else:
        algorithms = dict.fromkeys(names, variant.name)
    engine = compiled(sample, algorithms, variant.dtype, threads)

    def node(repeats: int) -> float:
        rows: list[dict[str, Any]] = engine.profile(sample.x, repeats=repeats)
        return sum(float(row["seconds"]) for row in rows if str(row["op"]).startswith(CONVOLUTIONS))

    counts = {a: list(algorithms.values()).count(a) for a in dict.fromkeys(algorithms.values())}
    note = f"{engine.kernel_set}: " + ", ".join(f"{algorithm} {count}" for algorithm, count in counts.items())
    return Runner(lambda: engine(sample.x), lambda: engine(sample.x), node if sample.net.is_layer else None, note)
