"""Whole networks, of the zoo and of more_networks.py, by Tilewise, torch, ONNX Runtime and OpenVINO, in turns.

    python benchmarks/networks.py [--networks unet compact ...] [--threads 1] [--rounds 15] [--json FILE]

Weights are random and ranges are measured on noise, so only times mean anything. Others get the same network as an ONNX
file, in float and as ONNX Runtime's own tool quantizes it (QDQ, per channel). Results go to the JSON file network by
network; a Markdown table is written beside it.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import tilewise as tw
from more_networks import RRDB, Detector, Dilated, efficientnet_b0, repvgg_a0
from tilewise.common.files import write_json
from tilewise.common.turns import in_turns, stopwatch
from tilewise.engine import Engine
from tilewise.engine.compiler import Simulation
from tilewise.latency import Machine
from tilewise.optimization.peers import peers
from tilewise.quant import Spec
from tilewise.zoo import build

ROOT = Path(__file__).resolve().parent.parent


def zoo(name: str, **settings: Any) -> Callable[[], nn.Module]:
    """Return what builds a network of the zoo."""
    return functools.partial(build, name, **settings)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "unet": (zoo("unet", width=2.0, classes=11, channels=3), (1, 3, 256, 256)),
    "compact": (zoo("compact", scale=4), (1, 3, 180, 320)),
    "dncnn": (zoo("dncnn"), (1, 1, 256, 256)),
    "edsr": (zoo("edsr", scale=2), (1, 1, 180, 320)),
    "edsr_64": (zoo("edsr", scale=2, width=2.0), (1, 1, 180, 320)),
    "rrdb": (RRDB, (1, 3, 90, 160)),
    "resnet18_224": (zoo("resnet18_224"), (1, 3, 224, 224)),
    "resnet50": (zoo("resnet50"), (1, 3, 224, 224)),
    "vgg16": (zoo("vgg16"), (1, 3, 224, 224)),
    "repvgg_a0": (repvgg_a0, (1, 3, 224, 224)),
    "mobilenet_v2": (zoo("mobilenet_v2"), (1, 3, 224, 224)),
    "efficientnet_b0": (efficientnet_b0, (1, 3, 224, 224)),
    "detector": (Detector, (1, 3, 320, 320)),
    "dilated": (Dilated, (1, 3, 256, 256)),
    "resnet18": (zoo("resnet18"), (1, 3, 32, 32)),
    "resnet20": (zoo("resnet20"), (1, 3, 32, 32)),
    "squeezenet": (zoo("squeezenet"), (1, 3, 32, 32)),
}
"""By name: what builds it, and N, C, H, W of its images."""
SPECS: dict[str, Spec] = {
    "direct": tw.Direct(), "lossless": tw.Exact(), "SFC6": tw.Winograd("SFC6"),
    "SFC6-planar": tw.Winograd("SFC6-planar"), "F4": tw.Winograd("F4"),
}  # fmt: skip
ENVIRONMENT = ("TILEWISE_ISA", "ONEDNN_MAX_CPU_ISA")
"""What may hold the libraries to fewer instructions than the machine has."""
SECONDS = 0.05
PROFILES = 7


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, default=ROOT / "docs/results/networks.json")
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    for name in options.networks:
        rows[name] = measure(name, options.threads, options.rounds)
        result = {
            "machine": str(Machine.here(options.threads)), "rounds": options.rounds,
            "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}, "networks": rows,
        }  # fmt: skip
        write_json(options.json, result)
        options.json.with_suffix(".md").write_text(table(result))
        print(table({**result, "networks": {name: rows[name]}}))


def measure(name: str, threads: int, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each library and algorithm, round by round."""
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    model, x = make().eval(), torch.randn(shape)
    engines = {title: engine(model, {"*": spec}, x, threads) for title, spec in SPECS.items()}
    layers = tw.describe(tw.convert(model, {"*": SPECS["direct"]}))
    engines["per layer"] = engine(model, fastest(engines, [layer.name for layer in layers], x), x, threads)
    images = x.numpy()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        calls: dict[str, Callable[[], object]] = {
            f"tilewise {title}": functools.partial(compiled, images) for title, compiled in engines.items()
        }
        for peer in peers(model, x, [x], threads, Path(folder)):
            calls[peer.name] = functools.partial(peer.call, x)
        watches = {title: stopwatch(call, SECONDS) for title, call in calls.items()}
        found = in_turns(watches, rounds, progress=name)
    return {title: [round(seconds * 1e3, 4) for seconds in times] for title, times in found.items()}


def engine(model: nn.Module, specs: Mapping[str, Spec], x: Tensor, threads: int) -> Engine:
    """Return a network's engine with quantized skip connections, once it gives what its simulation gives."""
    network = tw.calibrate(tw.convert(model, specs, skips="quantized"), [x])
    compiled = tw.compile(network, x, threads=threads)
    given, wanted = compiled(x.numpy()), Simulation(network, x)(x)
    for name in given if isinstance(given, dict) else ():
        np.testing.assert_array_equal(given[name], wanted[name].numpy())
    if isinstance(wanted, Tensor):
        np.testing.assert_array_equal(given, wanted.numpy())
    return compiled


def fastest(engines: Mapping[str, Engine], layers: list[str], x: Tensor) -> dict[str, Spec]:
    """Return for each layer the spec whose operation took least time in profiles of the networks of one algorithm."""
    times: dict[str, dict[str, float]] = {}
    for title, compiled in engines.items():
        for rows in zip(*(compiled.profile(x.numpy(), repeats=1) for _ in range(PROFILES)), strict=True):
            times.setdefault(rows[0]["name"], {})[title] = min(row["seconds"] for row in rows)
    best = {name: SPECS[min(of, key=of.__getitem__)] for name in layers if (of := times.get(name))}
    return best | {"*": SPECS["direct"]}


def table(result: dict[str, Any]) -> str:
    """Return the medians as Markdown, and how much faster the best of ours is than the best of others."""
    titles = list(dict.fromkeys(title for times in result["networks"].values() for title in times))
    short = [title.replace(" float32", " f32").replace("ONNX Runtime", "ORT") for title in titles]
    settings = [f"{name}={value}" for name, value in result["environment"].items()]
    lines = [
        "# Whole networks", "",
        *textwrap.wrap(
            f"Median milliseconds of {result['rounds']} rounds in turns, one image, {result['machine']}. Ratio: the "
            "best of others over the best of ours, median over rounds (first and third quartile). Skip connections of "
            "ours are quantized; per layer: what was fastest in each layer alone. Command:", 100,
        ), "",
        f"    {' '.join([*settings, 'python benchmarks/networks.py'])}", "",
        f"| network | {' | '.join(short)} | ratio |", f"|---|{'---:|' * (len(titles) + 1)}",
    ]  # fmt: skip
    for name, times in result["networks"].items():
        cells = [f"{statistics.median(times[title]):.2f}" if title in times else "" for title in titles]
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio(times)} |")
    return "\n".join(lines) + "\n"


def ratio(times: dict[str, list[float]]) -> str:
    """Return the best of others over the best of ours."""
    ours = min((t for t in times if t.startswith("tilewise")), key=lambda t: statistics.median(times[t]))
    other = min((t for t in times if not t.startswith("tilewise")), key=lambda t: statistics.median(times[t]))
    ratios = [b / a for a, b in zip(times[ours], times[other], strict=True)]
    first, middle, third = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({first:.2f} to {third:.2f}), {ours.removeprefix('tilewise ')}"


if __name__ == "__main__":
    main()
