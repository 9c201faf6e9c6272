"""Which of timm's convolutional networks the engine serves, and how exactly: ``python benchmarks/architectures.py``.

Weights are random, and so are the moments of batch norms. Each network is converted to direct int8, calibrated,
compiled whole and run, in a process of its own; the engine must give its simulation's bits. What does not compile whole
runs by ``tw.accelerate``. The table goes to docs/results, the figures beside it.

timm is no dependency: ``pip install --no-deps timm`` into the environment, or into a folder that ``--packages`` names.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results" / "architectures.json"
NETWORKS = {
    line.split()[0]: int(line.split()[1])
    for line in Path(__file__).with_suffix(".txt").read_text().splitlines()
    if not line.startswith("#")
}
"""Names, and the side of their images."""
CLEAR = 25
"""Decibels that a network should keep."""


def main() -> int:
    """Measure the networks that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks, with * and ?; all by default")
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help="where timm is, if not in the environment")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for each network")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="what is known; the table beside it")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.packages)))
        return 0
    chosen = [
        name for name in NETWORKS if not arguments.names or any(fnmatch.fnmatch(name, p) for p in arguments.names)
    ]
    if not chosen:
        parser.error(f"no network is called {' '.join(arguments.names)}; such as {next(iter(NETWORKS))}")
    known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    for name in chosen:
        known[name] = in_process(name, arguments)
        print(row(name, known[name]), flush=True)
        arguments.json.write_text(json.dumps({n: known[n] for n in NETWORKS if n in known}, indent=1) + "\n")
    arguments.json.with_suffix(".md").write_text(page(known))
    whole = sum(record["whole"] for record in known.values())
    print(f"{whole} of {len(known)} compile whole")
    return 0


def in_process(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure a network in a process of its own."""
    command = [sys.executable, __file__, "--one", name]
    command += ["--packages", str(arguments.packages)] if arguments.packages else []
    start = time.monotonic()
    record: dict[str, Any] = {"whole": False, "runs": False}
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout, check=False)
    except subprocess.TimeoutExpired:
        record["why"] = f"no answer in {arguments.timeout:.0f} s"
    else:
        last = (ended.stderr.strip().splitlines() or [""])[-1]
        record["why"] = f"exit status {ended.returncode}: {last}"
        if ended.returncode == 0:
            record = json.loads(ended.stdout.strip().splitlines()[-1])
    return {**record, "seconds": round(time.monotonic() - start, 1)}


def measure(name: str, packages: Path | None) -> dict[str, Any]:
    """Return what a network comes to: whether it compiles whole, its distance from float, or why it does not."""
    if packages:
        sys.path.append(str(packages))
    if find_spec("torchvision") is None:
        sys.meta_path.append(Hollow())
    warnings.simplefilter("ignore")
    import timm  # type: ignore[import-not-found, unused-ignore]
    import torch

    import tilewise as tw
    from tilewise.engine.compiler import Simulation

    torch.set_num_threads(1)
    torch.manual_seed(0)
    side = NETWORKS[name]
    images = torch.randn(8, 3, side, side)
    model, x = settled(timm.create_model(name, pretrained=False)), images[:1]
    record: dict[str, Any] = {"whole": False, "runs": False}
    with torch.no_grad():
        wanted = model(x)
        try:
            network = tw.calibrate(tw.convert(model, {"*": tw.Direct(bits=8)}), [images[:4], images[4:]])
            engine = tw.compile(network, x)
            result = torch.from_numpy(engine(x.numpy()))
            same = torch.equal(result, Simulation(network, x)(x))
            record |= {"whole": True, "runs": True, "same": same, "decibels": decibels(wanted, result)}
        except (ValueError, TypeError, RuntimeError) as error:
            record["why"] = " ".join(str(error).split())[:1000]
        if not record["runs"]:
            try:
                record |= {"decibels": decibels(wanted, tw.accelerate(network, x)(x)), "runs": True}
            except (ValueError, TypeError, RuntimeError, AttributeError, UnboundLocalError) as error:
                record["why"] += f"; tw.accelerate: {' '.join(str(error).split())[:300]}"
    return record


def settled(model: nn.Module) -> nn.Module:
    """Return the model in evaluation mode with batch norms that do something, as after training.

    Moments of the images themselves would be nearer to training, but a network of random weights then amplifies any
    rounding: lcnet_050 ends 4 dB below the noise here, and 1 dB below it in ONNX Runtime's int8.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
                for moment, (low, high) in {
                    module.running_mean: (-0.2, 0.2), module.running_var: (0.5, 1.5), module.weight: (0.75, 1.25),
                    module.bias: (-0.2, 0.2),
                }.items():  # fmt: skip
                    if moment is not None:
                        moment.uniform_(low, high, generator=generator)
    return model.eval()


def decibels(wanted: Tensor, found: Tensor) -> float:
    """Return the ratio of signal to noise."""
    noise = float((wanted - found).double().square().sum())
    signal = float(wanted.double().square().sum())
    return 999.0 if noise == 0 else round(10 * math.log10(signal / noise), 1)


def row(name: str, record: dict[str, Any]) -> str:
    """Return a network's line for the terminal."""
    if not record["runs"]:
        return f"{name:24} fails  {record['why']}"
    how = "whole" if record["whole"] else "parts"
    bits = "" if record.get("same", True) else ", NOT its simulation's bits"
    return f"{name:24} {how}  {record['decibels']:.1f} dB{bits}  {record.get('why', '')[:120]}"


def page(known: dict[str, Any]) -> str:
    """Return the table in Markdown."""
    whole, runs = (sum(record[key] for record in known.values()) for key in ("whole", "runs"))
    clear = sum(record.get("decibels", 0) >= CLEAR for record in known.values())
    lines = [
        "# Networks of timm", "",
        f"{whole} of {len(known)} networks compile whole, {runs} run; {len(NETWORKS)} are on the list. Direct int8,",
        f"no training, random weights and moments of batch norms. {clear} keep {CLEAR} dB or more.",
        "`python benchmarks/architectures.py` makes this page.", "",
        "With the images' own moments in batch norms, a network of random weights amplifies any rounding:",
        "lcnet_050 then ends at -4.0 dB here, and at -0.8 dB in ONNX Runtime's int8 (static, per channel).",
        f"Networks below {CLEAR} dB are deep, and their random residual branches add up: in",
        "efficientnetv2_rw_t numbers grow from 2.7 after the stem, where 39 dB are left, to 2,000,000 at the",
        "end, through gates that amplify every error.", "",
        "| network | engine | equals its simulation | signal to noise against float, dB |", "|---|---|---|---:|",
    ]  # fmt: skip
    for name in (name for name in NETWORKS if name in known):
        record = known[name]
        how = "whole" if record["whole"] else "in parts" if record["runs"] else "refused"
        same = {True: "yes", False: "no"}.get(record.get("same"), "")
        lines.append(f"| {name} | {how} | {same} | {record.get('decibels', '')} |")
    return "\n".join(lines) + "\n"


class Hollow(MetaPathFinder, Loader):
    """Stands for torchvision, which timm imports for its data sets: modules in which every name is an empty class."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        """Return where torchvision is: here."""
        return ModuleSpec(name, self, is_package=True) if name.split(".", maxsplit=1)[0] == "torchvision" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty module."""
        module = ModuleType(spec.name)
        module.__getattr__ = lambda name: getattr(Name("Name", (), {}), name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing."""


class Name(type):
    """A class that has every attribute."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(name, (), {})

    def __iter__(cls) -> Iterator[Any]:
        return iter(())


if __name__ == "__main__":
    sys.exit(main())
