"""Single layers on one thread: our kernels against each other and against onnxruntime, in one run.

    python benchmarks/layers.py [--rounds 15] [--json FILE] [--picture FILE] [--layers NAME ...]

Contenders take turns, round by round; a ratio is the median over rounds of two times of the same round, the spread its
quartiles. Times: ours of the convolution with bias, ReLU and its store in 8 bits (fp32: in float), as Engine.profile
gives them; onnxruntime's of a session of one QLinearConv (fp32: Conv and Relu) with bound inputs and outputs, its call
included, which is some microseconds. GOP/s count two for each multiply-add of a direct convolution.

Checked before anything is timed: our direct int8 against onnxruntime's, to one step (it rounds halves to even); fast
ones against the float convolution. Needs onnx and onnxruntime: pip install -c constraints.txt -e ".[train,bench]".
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

import tilewise as tw
from tilewise import _native
from tilewise.engine import Engine
from tilewise.nn import Quantize, QuantizedConv
from tilewise.studies.speed import machine

LAYERS = {
    "64 ch, 32x32": (64, 32), "128 ch, 16x16": (128, 16), "256 ch, 8x8": (256, 8), "512 ch, 4x4": (512, 4),
    "64 ch, 56x56": (64, 56), "128 ch, 28x28": (128, 28), "256 ch, 14x14": (256, 14), "512 ch, 7x7": (512, 7),
    "64 ch, 224x224": (64, 224), "256 ch, 56x56": (256, 56), "512 ch, 28x28": (512, 28),
}  # fmt: skip
FAST = ("F2", "F4", "F6", "SFC6")
DIRECT, ORT, FLOAT, ORT_FLOAT = "direct int8", "onnxruntime int8", "direct fp32", "onnxruntime fp32"
# Relative error of the output, root mean square, on random data and weights: about twice what each algorithm has.
TOLERANCE = {DIRECT: 0.03, "F2 int8": 0.05, "F4 int8": 0.12, "F6 int8": 0.4, "SFC6 int8": 0.05}


@dataclass
class Contender:
    """Something that computes the layer: ``seconds()`` runs it and tells its time, ``output()`` gives the result."""

    seconds: Callable[[], float]
    output: Callable[[], NDArray[np.float32]]


def ours(model: nn.Module, x: torch.Tensor) -> Contender:
    """Compile a layer; its time is that of the convolution."""
    engine: Engine = tw.compile(model, x)

    def seconds() -> float:
        rows = engine.profile(x, repeats=3)
        return float(next(row["seconds"] for row in rows if row["op"].startswith(("direct", "fast"))))

    return Contender(seconds, lambda: engine(x).numpy())


def onnx_session(model: Any) -> Any:
    """Open a session on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_contender(model: Any, x: NDArray[Any], step: float) -> Contender:
    """Run a model with bound input and output, three times for one figure."""
    import time

    import onnxruntime as ort

    session = onnx_session(model)
    binding = session.io_binding()
    source = ort.OrtValue.ortvalue_from_numpy(x)
    target = ort.OrtValue.ortvalue_from_numpy(np.empty_like(x))
    binding.bind_ortvalue_input("x", source)
    binding.bind_ortvalue_output("y", target)

    def seconds() -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            session.run_with_iobinding(binding)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def output() -> NDArray[np.float32]:
        session.run_with_iobinding(binding)
        return np.asarray(target.numpy().astype(np.float32) * np.float32(step))

    return Contender(seconds, output)


def onnx_int8(conv: QuantizedConv, last: Quantize, x: torch.Tensor) -> Contender:
    """The same integers through QLinearConv; the ReLU is the unsigned output grid."""
    from onnx import TensorProto, helper, numpy_helper

    numbers = conv.frozen()
    grid, out = numbers.grid, float(last.range.grid()[0])
    assert grid is not None
    assert numbers.scale is not None
    constants: dict[str, Any] = {
        "xs": np.float32(grid.step),
        "zero": np.uint8(0),
        "w": numbers.weight.transpose(0, 3, 1, 2),
        "ws": (numbers.scale / np.float32(grid.step)).astype(np.float32),
        "wz": np.zeros(len(numbers.bias), np.int8),
        "ys": np.float32(out),
        "b": np.round(numbers.bias / numbers.scale).astype(np.int32),
    }
    node = helper.make_node(
        "QLinearConv", ["x", "xs", "zero", "w", "ws", "wz", "ys", "zero", "b"], ["y"], pads=[1, 1, 1, 1]
    )
    shape = list(x.shape)
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, shape)],
        [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    q = np.clip(np.floor(x.numpy() * np.float32(grid.factor) + np.float32(0.5)), 0, 255).astype(np.uint8)
    return onnx_contender(model, q, out)


def onnx_float(conv: nn.Conv2d, x: torch.Tensor) -> Contender:
    """Conv and Relu in float32."""
    from onnx import TensorProto, helper, numpy_helper

    assert conv.bias is not None
    shape = list(x.shape)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(conv.weight.detach().numpy(), "w"),
            numpy_helper.from_array(conv.bias.detach().numpy(), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return onnx_contender(model, x.numpy(), 1.0)


def contenders(channels: int, size: int) -> dict[str, Contender]:
    """All of them for one layer, their results checked."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
    x = torch.randn(1, channels, size, size).relu()
    found = {FLOAT: ours(plain, x), "F4 fp32": ours(tw.convert(plain, {"*": tw.Winograd("F4", bits=32)}), x)}
    conv = plain[0]
    assert isinstance(conv, nn.Conv2d)
    found[ORT_FLOAT] = onnx_float(conv, x)
    specs: dict[str, tw.Direct | tw.Winograd] = {
        DIRECT: tw.Direct(),
        **{f"{name} int8": tw.Winograd(name) for name in FAST},
    }
    for case, spec in specs.items():
        model = nn.Sequential(*tw.convert(plain, {"*": spec}).children(), Quantize())
        tw.calibrate(model, [x])
        found[case] = ours(model, x)
        if case == DIRECT:
            first, last = model[0], model[2]
            assert isinstance(first, QuantizedConv)
            assert isinstance(last, Quantize)
            found[ORT] = onnx_int8(first, last, x)
            step = float(last.range.grid()[0])
            if np.abs(found[ORT].output() - found[DIRECT].output()).max() > 1.001 * step:
                raise ValueError(f"{channels} channels, {size}x{size}: {DIRECT} is not what {ORT} computes")
    with torch.no_grad():
        exact = plain(x).numpy()
    for case, contender in found.items():
        error = float(np.sqrt(np.square(contender.output() - exact).mean() / np.square(exact).mean()))
        if not error < TOLERANCE.get(case, 0.03 if "int8" in case else 1e-4):
            raise ValueError(f"{channels} channels, {size}x{size}: {case} has an error of {error:.3f}")
    return found


def quartiles(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": middle, "low": low, "high": high}


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Time one layer."""
    channels, size = LAYERS[name]
    found = contenders(channels, size)
    times: dict[str, list[float]] = {case: [] for case in found}
    for contender in found.values():
        contender.seconds()
    for _ in track(range(rounds), name):
        for case, contender in found.items():
            times[case].append(contender.seconds())
    operations = 2 * 9 * channels * channels * size * size

    def against(base: str) -> dict[str, Any]:
        return {
            case: quartiles([b / t for b, t in zip(times[base], values, strict=True)])
            for case, values in times.items()
        }  # fmt: skip

    return {
        "layer": name,
        "microseconds": {case: quartiles([t * 1e6 for t in values]) for case, values in times.items()},
        "gops": {case: operations / statistics.median(values) / 1e9 for case, values in times.items()},
        "against_direct": against(DIRECT),
        "against_onnxruntime": against(ORT),
    }


def geometric_mean(values: list[float]) -> float:
    """Mean of ratios."""
    return float(np.exp(np.mean(np.log(values))))


def show(results: list[dict[str, Any]], peaks: Mapping[str, Any]) -> None:
    """Print GOP/s, and the ratios that the goals are about."""
    cases = list(results[0]["gops"])
    table = Table("layer", *cases, title=f"GOP/s, one thread; int8 peak {peaks['int8_operations'] / 1e9:.0f}")
    for result in results:
        table.add_row(result["layer"], *(f"{result['gops'][case]:.0f}" for case in cases))
    for base in ("against_direct", "against_onnxruntime"):
        means = [geometric_mean([r[base][case]["median"] for r in results]) for case in cases]
        table.add_row(base.replace("_", " "), *(f"{mean:.2f}x" for mean in means), style="bold")
    Console(width=180).print(table)


def picture(results: list[dict[str, Any]], peaks: Mapping[str, Any], path: Path) -> None:
    """Draw GOP/s per layer with the ceiling of any direct convolution."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(fig)
    axis = fig.subplots()
    colours = {
        ORT: "#999999", DIRECT: "#000000", "F2 int8": "#56B4E9", "F4 int8": "#0072B2", "F6 int8": "#CC79A7",
        "SFC6 int8": "#009E73", ORT_FLOAT: "#F0E442", FLOAT: "#E69F00", "F4 fp32": "#D55E00",
    }  # fmt: skip
    for place, (case, colour) in enumerate(colours.items()):
        x = [i + (place - 4) * 0.09 for i in range(len(results))]
        axis.bar(x, [r["gops"][case] for r in results], width=0.09, color=colour, label=case)
    peak = peaks["int8_operations"] / 1e9
    label = f"int8 peak of the core, {peak:.0f}: no direct convolution passes it"
    axis.axhline(peak, color="black", linestyle="--", linewidth=1, label=label)
    axis.set_xticks(range(len(results)), [r["layer"] for r in results], rotation=20, fontsize=8)
    axis.set_ylabel("GOP/s of a direct convolution's operations")
    axis.set_title("3x3 convolution, batch 1, one thread", fontsize=10)
    axis.set_ylim(0, 1.35 * max(max(r["gops"].values()) for r in results))  # room for the legend
    axis.legend(fontsize=8, ncols=4, loc="upper left")
    fig.savefig(path, dpi=120)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", choices=list(LAYERS), default=list(LAYERS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    import onnxruntime

    peaks = _native.measure_peaks()
    results = [measure(name, options.rounds) for name in options.layers]
    show(results, peaks)
    if options.json:
        about = {
            "machine": machine(1),
            "onnxruntime": onnxruntime.__version__, "tilewise": tw.__version__, "rounds": options.rounds,
        }  # fmt: skip
        options.json.write_text(json.dumps({"about": about, "peaks": peaks, "results": results}, indent=1) + "\n")
    if options.picture:
        picture(results, peaks, options.picture)


if __name__ == "__main__":
    main()
