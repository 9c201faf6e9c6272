"""What a network costs beside its time: ``python benchmarks/footprint.py [--json docs/results/footprint.json]``.

Size on the disk, seconds to import the library, to load the network and to its first answer, and memory, beside ONNX
Runtime and OpenVINO. All get the same int8 network: ours as F4, theirs as the ONNX file of ``tw.to_onnx``. Each launch
is a process of its own on one thread; libraries take turns, and figures are medians. Tables go beside the JSON file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

NETWORKS = {"resnet20": (1, 3, 32, 32), "resnet18_224": (1, 3, 224, 224), "unet": (1, 3, 128, 128)}
LIBRARIES = ("tilewise", "onnxruntime", "openvino")
FIGURES = ("import_ms", "load_ms", "first_ms", "second_ms", "memory_mib")
TITLES = ("import", "load", "first answer", "second answer", "memory, MiB")


def write_networks(folder: Path, names: list[str]) -> None:
    """Write each network as a Tilewise file and as an ONNX file."""
    import torch

    import tilewise as tw

    for name in names:
        torch.manual_seed(0)
        x = torch.randn(NETWORKS[name])
        net = tw.zoo.MODELS[name]().eval()
        model = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}, skips="quantized"), [x])
        tw.compile(model, x).save(folder / f"{name}.tilewise")
        tw.to_onnx(model, x, folder / f"{name}.onnx")


def launch(library: str, file: Path, shape: tuple[int, ...]) -> None:
    """Import, load and answer twice in this process; print what each took."""
    import numpy as np

    x = np.zeros(shape, np.float32)
    before, start = _memory(), time.perf_counter()
    times = [start]
    call = LOADERS[library](file, lambda: times.append(time.perf_counter()))
    times.append(time.perf_counter())
    for _ in range(2):
        call(x)
        times.append(time.perf_counter())
    spans = [1e3 * (end - begin) for begin, end in itertools.pairwise(times)]
    print(json.dumps(dict(zip(FIGURES, [*spans, (_memory() - before) / 2**20], strict=True))))


def _tilewise(file: Path, imported: Callable[[], None]) -> Callable[[Any], Any]:
    import tilewise

    load = tilewise.load
    imported()
    return load(file)


def _onnxruntime(file: Path, imported: Callable[[], None]) -> Callable[[Any], Any]:
    import onnxruntime

    imported()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})


def _openvino(file: Path, imported: Callable[[], None]) -> Callable[[Any], Any]:
    import openvino

    imported()
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_NUM_THREADS": 1})
    return lambda x: compiled([x])


LOADERS = {"tilewise": _tilewise, "onnxruntime": _onnxruntime, "openvino": _openvino}


def _memory() -> int:
    """Return the most bytes that this process has had in memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def installed_bytes(library: str) -> int:
    """Return what a library takes on the disk, without what it depends on."""
    if library == "tilewise":
        import tilewise

        folder = Path(tilewise.__file__).parent
        return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return sum(Path(p.locate()).stat().st_size for p in metadata.files(library) or [] if Path(p.locate()).is_file())


def measure(names: list[str], launches: int) -> dict[str, Any]:
    """Launch every library with every network, in turns."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_networks(Path(folder), names)
        for name in names:
            files = {lib: Path(folder) / f"{name}.{'tilewise' if lib == 'tilewise' else 'onnx'}" for lib in LIBRARIES}
            found: dict[str, list[dict[str, float]]] = {library: [] for library in LIBRARIES}
            for _ in range(launches):
                for library, file in files.items():
                    command = [sys.executable, __file__, "--launch", library, str(file), name]
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    found[library].append(json.loads(done.stdout.splitlines()[-1]))
            for library, runs in found.items():
                medians = {figure: statistics.median(run[figure] for run in runs) for figure in FIGURES}
                rows.append(
                    {"network": name, "library": library, "file_bytes": files[library].stat().st_size, **medians}
                )
    versions = {library: metadata.version(library) for library in LIBRARIES if library != "tilewise"}
    sizes = {library: installed_bytes(library) for library in LIBRARIES}
    return {"launches": launches, "versions": versions, "installed_bytes": sizes, "rows": rows}


def tables(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    lines = [
        "# Size, start and memory",
        "",
        f"`python benchmarks/footprint.py`: medians of {result['launches']} launches on one thread, in ms",
        "unless the column says else. Memory is the most that the process had, less what Python with",
        "NumPy takes.",
        "",
        f"| network | library | file, MiB | {' | '.join(TITLES)} |",
        f"|---|---|{'---:|' * (1 + len(FIGURES))}",
    ]
    for row in result["rows"]:
        figures = " | ".join(f"{row[figure]:.1f}" for figure in FIGURES)
        lines.append(f"| {row['network']} | {row['library']} | {row['file_bytes'] / 2**20:.2f} | {figures} |")
    lines += ["", "| library | installed, MiB |", "|---|---:|"]
    lines += [f"| {library} | {size / 2**20:.0f} |" for library, size in result["installed_bytes"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--launches", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--launch", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.launch:
        library, file, name = options.launch
        launch(library, Path(file), NETWORKS[name])
        return
    if options.launches < 1:
        parser.error(f"launches is {options.launches}; allowed: 1 or more")
    result = measure(options.networks, options.launches)
    print(tables(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(tables(result))


if __name__ == "__main__":
    main()
