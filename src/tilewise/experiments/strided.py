"""What decomposition into pieces costs and gains: layers of stride 2, and of 5x5 and 7x7 kernels, by every algorithm.

    python -m tilewise.experiments.strided [--rounds 15] [--threads 1] [--json docs/results/strided.json]

For each layer and algorithm: products per output of a direct layer over its own, the simulated SQNR at 8 bits
(docs/results/algorithms.md), and the median over rounds, in which algorithms take turns, of the convolution's own time
within an int8 network, with the times of its stages. Algorithms are forced: what ``convert`` would leave direct is
measured too.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from tilewise.common.turns import in_turns

ALGORITHMS = ("direct", "F2", "F4", "F6", "SFC6")
STAGES = ("input_transform", "requantize", "multiply", "output_transform")


class Layer(NamedTuple):
    """Kernel, stride, channels in and out, height and width of the input."""

    r: int
    stride: int
    inputs: int
    outputs: int
    size: int

    def __str__(self) -> str:
        """Say it in short."""
        return f"{self.r}x{self.r}/{self.stride}, {self.inputs} to {self.outputs} channels, {self.size}x{self.size}"


LAYERS = (
    *(Layer(3, 2, *sizes) for sizes in ((64, 128, 56), (128, 256, 28), (256, 512, 14))),  # ResNet-18 at 224x224
    *(Layer(3, 2, *sizes) for sizes in ((128, 128, 56), (256, 256, 28), (512, 512, 14))),  # ResNet-50
    *(Layer(3, 2, *sizes) for sizes in ((16, 32, 32), (32, 64, 16))),  # ResNet-20 at 32x32
    *(Layer(3, 2, c, c, size) for c in (32, 64, 96, 128) for size in (16, 32, 112)),
    Layer(7, 2, 3, 64, 224),  # the stem of ResNets
    *(Layer(r, 2, c, c, 28) for r in (5, 7) for c in (32, 64, 128)),
    Layer(5, 1, 32, 96, 28), Layer(5, 1, 48, 128, 14), Layer(5, 1, 48, 64, 35),  # GoogLeNet, Inception v3
    *(Layer(7, 1, c, c, size) for c, size in ((64, 28), (128, 14))),
)  # fmt: skip


def convolution(layer: Layer, name: str) -> Any:
    """Give the layer by an algorithm."""
    from torch import nn

    from tilewise.nn import Conv2d, WinogradConv2d
    from tilewise.quant import Direct, Winograd

    plain = nn.Conv2d(layer.inputs, layer.outputs, layer.r, layer.stride, layer.r // 2)
    if name == "direct":
        return Conv2d.from_conv(plain, Direct())
    return WinogradConv2d.from_conv(plain, Winograd(name))


def engine(layer: Layer, name: str, threads: int) -> Any:
    """Compile the layer between a ReLU and a 1x1 layer that reads bytes."""
    import torch
    from torch import nn

    import tilewise as tw

    torch.manual_seed(0)
    after = tw.convert(nn.Sequential(nn.Conv2d(layer.outputs, 16, 1)), {"*": tw.Direct()})
    net = nn.Sequential(nn.ReLU(), convolution(layer, name), nn.ReLU(), after).eval()
    x = torch.randn(1, layer.inputs, layer.size, layer.size)
    return tw.compile(tw.calibrate(net, [x]), x, threads=threads), x.numpy()


def fidelity(layer: Layer, name: str) -> tuple[str, float, float]:
    """Give the algorithm's own name, how many times fewer its products are, and its SQNR in dB."""
    from tilewise.algebra import algorithm
    from tilewise.discovery.simulation import Precision, Sample, Simulation

    a = algorithm(name, layer.r, layer.stride)
    simulation = Simulation(Sample.gaussian(layer.r), a.m, Precision(), layer.stride)
    return a.name, float(a.multiplication_ratio()), simulation.sqnr(a)


def layer_row(engine: Any, x: Any) -> dict[str, Any]:
    """Profile an engine, and return the row of its first convolution, which is the layer."""
    rows: list[dict[str, Any]] = engine.profile(x, repeats=3)
    return next(row for row in rows if row["op"].startswith(("direct", "fast")))


def measure(layer: Layer, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Measure all algorithms of a layer, in turns."""
    engines = {name: engine(layer, name, threads) for name in ALGORITHMS}
    found = in_turns({name: functools.partial(layer_row, *engines[name]) for name in ALGORITHMS}, rounds)
    rows = []
    for name in ALGORITHMS:
        own, ratio, sqnr = fidelity(layer, name)
        seconds = statistics.median(row["seconds"] for row in found[name])
        stages = {stage: statistics.median(row[stage] for row in found[name]) for stage in STAGES}
        rows.append(
            {**layer._asdict(), "algorithm": own, "ratio": ratio, "sqnr": sqnr, "seconds": seconds, "stages": stages}
        )
    return rows


def main() -> None:
    """Measure all layers, print and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("docs/results/strided.json"))
    options = parser.parse_args()

    import torch

    from tilewise.latency.machine import Machine

    torch.set_num_threads(1)
    rows = []
    for layer in LAYERS:
        rows += (measured := measure(layer, options.rounds, options.threads))
        direct = measured[0]["seconds"]
        cells = [
            f"{row['algorithm']} {1e6 * row['seconds']:.0f} us, {direct / row['seconds']:.2f}x" for row in measured
        ]
        print(f"{layer}: {'; '.join(cells)}", flush=True)
    result = {"machine": vars(Machine.here(options.threads)), "rounds": options.rounds, "rows": rows}
    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
