"""Training step of ResNet-18: time and peak memory of each kind of layer, as ratios in one run.

    python -m tilewise.experiments.training_steps [--widths 0.25 1.0] [--batches 16 64] [--formula 0.25x64]
                                                  [--threads 2] [--json FILE] [--figure PNG]
    python -m tilewise.experiments.training_steps --device cuda --batches 64 256

For each width and batch all networks live in one process and take turns, step by step; the ratio is the median over
rounds of a network's step time divided by the direct int8 network's in the same round, the spread its quartiles. All
take images channels last, with which torch's own convolutions are fastest too. Peak memory is measured apart, each
network in a process of its own: the high-water mark after three steps, less what was resident before the first (on a
GPU: the most that torch's allocator gave out). The share of the data is the time to load and augment a batch, as the
training loop does, over that of the fastest int8 one. "Formula" is the published formula written plainly, the broadcast
product of shape (N, K, C, tiles, n, n) included. Every network's first output is checked against the direct float
network before it is timed. What a file given by --json holds already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import tilewise as tw
from tilewise import zoo
from tilewise.common.picture import save_picture
from tilewise.common.turns import in_turns
from tilewise.data.batches import Batches
from tilewise.data.images import Images

BASELINE = "direct int8"
FORMULA = "F4 formula, float"
# How far a network's first output may be from the float one's, relative: about twice what 8 bits cost each algorithm on
# these untrained networks. All are below 1, the error of an output of zeros.
FLOAT_TOLERANCE = 1e-4
INT8_TOLERANCE = {"direct": 0.1, "F2": 0.2, "F4": 0.4, "F6": 0.7}


class PlainWinograd(nn.Module):
    """The formula as papers write it: unfold, transform, broadcast product, sum, transform back. F4, float."""

    def __init__(self, conv: nn.Conv2d, device: str) -> None:
        super().__init__()
        self.weight, self.padding = conv.weight, conv.kernel_size[0] // 2
        matrices = tw.algorithm("F4").to_float()
        self.at, self.g, self.bt = (torch.tensor(x, dtype=torch.float32, device=device) for x in matrices)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, keeping every intermediate tensor for the backward pass."""
        m, t = 4, 6
        n, _, h, w = x.shape
        rows, cols = -(-h // m), -(-w // m)
        p = self.padding
        x = F.pad(x, (p, cols * m - w + p, p, rows * m - h + p))
        tiles = x.unfold(2, t, m).unfold(3, t, m)
        v = self.bt @ tiles @ self.bt.T
        u = self.g @ self.weight @ self.g.T
        product = (u[None, :, :, None, None] * v[:, None]).sum(2)
        y = (self.at @ product @ self.at.T).permute(0, 1, 2, 4, 3, 5)
        return y.reshape(n, len(u), rows * m, cols * m)[:, :, :h, :w]


def formula(model: nn.Module, device: str) -> nn.Module:
    """Swap every 3x3 layer with enough channels for the plain formula."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.kernel_size == (3, 3) and child.in_channels >= 4:
                setattr(parent, name, PlainWinograd(child, device))
    return model


def networks(width: float, device: str) -> dict[str, Callable[[], nn.Module]]:
    """Builders of the networks by name, all with the same weights."""

    def converted(spec: tw.Winograd | tw.Direct) -> Callable[[], nn.Module]:
        return lambda: tw.convert(plain(), {"*": spec})

    def plain() -> nn.Module:
        torch.manual_seed(0)
        return zoo.resnet18(width=width)

    result: dict[str, Callable[[], nn.Module]] = {"direct float": plain, BASELINE: converted(tw.Direct())}
    for name in ("F2", "F4", "F6"):
        result[f"{name} static int8"] = converted(tw.Winograd(name))
        result[f"{name} learned int8"] = converted(tw.Winograd(name, transforms="learned"))
    result["F4 float"] = converted(tw.Winograd("F4", bits=32))
    result[FORMULA] = lambda: formula(plain(), device)
    return result


class Step:
    """One network's training step on a fixed batch."""

    def __init__(self, build: Callable[[], nn.Module], batch: int, device: str) -> None:
        torch.manual_seed(1)
        self.x = torch.randn(batch, 3, 32, 32).to(device).contiguous(memory_format=torch.channels_last)
        self.y = torch.randint(0, 10, (batch,)).to(device)
        self.model = build().train().to(device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-5)

    def __call__(self) -> float:
        """Take a step; give its seconds."""
        began = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began


def check(steps: dict[str, Step]) -> None:
    """Refuse to time a network that computes something else."""
    with torch.no_grad():
        wanted = steps["direct float"].model(steps["direct float"].x)
        for name, step in steps.items():
            error = float((step.model(step.x) - wanted).norm() / wanted.norm())
            allowed = FLOAT_TOLERANCE if name.endswith("float") else INT8_TOLERANCE[name.split()[0]]
            if not error <= allowed:
                raise SystemExit(f"{name} is off by {error:.2f} of the output")


def resident(field: str) -> int:
    """A line of the kernel's memory report, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def memory_of(name: str, width: float, batch: int, device: str) -> int:
    """Peak memory of three steps, less what was there before; in this process."""
    step = Step(networks(width, device)[name], batch, device)
    if device != "cpu":
        for _ in range(3):
            step()
        return int(torch.cuda.max_memory_allocated())
    before = resident("VmRSS:")
    for _ in range(3):
        step()
    return resident("VmHWM:") - before


def data_seconds(batch: int) -> float:
    """Median time to load and augment a batch of 32x32 images, as the training loop does."""
    count = 50 * batch
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    half = (0.5, 0.5, 0.5)
    images = Images(
        name="noise", images=pixels, labels=torch.arange(count) % 10, classes=10, mean=half, std=half, flips=True
    )
    times = []
    began = time.perf_counter()
    for _ in Batches(images, batch, shuffle=True, augment=True):
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
    return statistics.median(times)


def measure(arguments: argparse.Namespace, width: float, batch: int) -> dict[str, Any]:
    """All networks at one width and batch."""
    builders = networks(width, arguments.device)
    if f"{width}x{batch}" not in arguments.formula:
        del builders[FORMULA]
    steps = {name: Step(build, batch, arguments.device) for name, build in builders.items()}
    check(steps)
    for step in steps.values():
        step()
    seconds = in_turns(steps, arguments.rounds)
    memory = {name: memory_apart(arguments, name, width, batch) for name in steps}
    rows: list[dict[str, Any]] = []
    for name in steps:
        ratios = [own / base for own, base in zip(seconds[name], seconds[BASELINE], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        rows.append(
            {
                "network": name,
                "milliseconds": round(1e3 * statistics.median(seconds[name]), 1),
                "time_ratio": round(middle, 3),
                "time_quartiles": [round(low, 3), round(high, 3)],
                "peak_bytes": memory[name],
                "memory_ratio": round(memory[name] / memory[BASELINE], 3),
            }
        )
    fastest = min(row["milliseconds"] for row in rows if row["network"].endswith("int8"))
    share = round(1e3 * data_seconds(batch) / fastest, 4)
    return {"width": width, "batch": batch, "rounds": arguments.rounds, "rows": rows, "data_share": share}


def memory_apart(arguments: argparse.Namespace, name: str, width: float, batch: int) -> int:
    """Let :func:`memory_of` run in a process of its own."""
    command = [sys.executable, "-m", "tilewise.experiments.training_steps"]
    command += ["--widths", str(width), "--batches", str(batch)]
    command += ["--threads", str(arguments.threads), "--device", arguments.device, "--memory-of", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def table(result: dict[str, Any], threads: int) -> Table:
    """Tabulate one width and batch."""
    title = f"ResNet-18 width {result['width']}, batch {result['batch']}, {threads} threads"
    title += f"; data {100 * result['data_share']:.1f} % of a step"
    found = Table(title=title)
    for column in ("network", "ms", f"time / {BASELINE}", "quartiles", "peak MB", f"memory / {BASELINE}"):
        found.add_column(column, justify="left" if column == "network" else "right")
    for row in result["rows"]:
        low, high = row["time_quartiles"]
        found.add_row(
            row["network"], f"{row['milliseconds']}", f"{row['time_ratio']:.2f}", f"{low:.2f} to {high:.2f}",
            f"{row['peak_bytes'] / 1e6:.0f}", f"{row['memory_ratio']:.2f}",
        )  # fmt: skip
    return found


def figure(results: list[dict[str, Any]], machine: str, path: Path) -> None:
    """Draw ratios on a logarithmic scale: bars are time, diamonds memory; a panel for each width and batch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    fig = Figure(figsize=(1.6 + 3.2 * columns, 0.6 + 3.2 * rows), layout="constrained")
    FigureCanvasAgg(fig)
    fig.suptitle(f"Training step of ResNet-18, ratios to {BASELINE}: bars time, diamonds memory; {machine}", fontsize=9)
    names = list(dict.fromkeys(row["network"] for result in results for row in result["rows"]))
    names = [name for name in names if name != FORMULA] + [name for name in names if name == FORMULA]
    largest = max(row["time_ratio"] for result in results for row in result["rows"])
    panels = fig.subplots(rows, columns, squeeze=False, sharey=True).flat
    for axis, result in zip(panels, results, strict=False):
        found = {row["network"]: row for row in result["rows"]}
        for place, name in enumerate(reversed(names)):
            if name not in found:
                axis.text(0.22, place, "not measured", va="center", color="#999999", fontsize=7)
                continue
            colour = "#999999" if "int8" not in name or name == BASELINE else "#0072B2"
            axis.barh(place, found[name]["time_ratio"] - 0.2, left=0.2, color=colour)
            axis.text(0.22, place, f"{found[name]['time_ratio']:.2f}", va="center", color="white", fontsize=8)
            axis.plot(found[name]["memory_ratio"], place, "D", color="#D55E00", markersize=4)
        axis.axvline(1, color="black", linewidth=0.8, linestyle="--")
        axis.set_xscale("log")
        axis.set_xlim(0.2, 1.2 * largest)
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_yticks(range(len(names)), names[::-1], fontsize=8)
        axis.set_title(f"width {result['width']}, batch {result['batch']}", fontsize=9)
    save_picture(fig, path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--widths", type=float, nargs="+", default=[0.25])
    parser.add_argument("--batches", type=int, nargs="+", default=[64])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--formula", nargs="*", default=[], metavar="WIDTHxBATCH", help="where to time the plain formula too (slow)"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        print(memory_of(arguments.memory_of, arguments.widths[0], arguments.batches[0], arguments.device))
        return

    where = processor() if arguments.device == "cpu" else torch.cuda.get_device_name()
    settings = {
        "threads": arguments.threads, "processor": where, "torch": torch.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    results = measured_before(arguments.json, settings)
    for width in arguments.widths:
        for batch in arguments.batches:
            if not any((result["width"], result["batch"]) == (width, batch) for result in results):
                results.append(measure(arguments, width, batch))
                results.sort(key=lambda result: (result["width"], result["batch"]))
                if arguments.json:
                    arguments.json.write_text(json.dumps({**settings, "results": results}, indent=1) + "\n")
    for result in results:
        Console(width=110).print(table(result, arguments.threads))
    if arguments.figure:
        figure(results, f"{settings['threads']} threads, {settings['processor']}", arguments.figure)


def measured_before(path: Path | None, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Results that a file holds, which have to be of this machine and these versions."""
    if path is None or not path.exists():
        return []
    found: dict[str, Any] = json.loads(path.read_text())
    for name, value in settings.items():
        if found[name] != value:
            raise SystemExit(f"{path} has {name} = {found[name]}, not {value}; choose another file")
    results: list[dict[str, Any]] = found["results"]
    return results


def processor() -> str:
    """Name of the processor and its vector extensions that matter here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {k.strip(): v.strip() for k, v in fields.items()}
    flags = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if f in fields.get("flags", "").split()]
    return f"{fields.get('model name', platform.processor())} ({', '.join(flags)})"


if __name__ == "__main__":
    main()
