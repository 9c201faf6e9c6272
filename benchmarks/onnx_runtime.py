"""A pipeline within ONNX Runtime, with Tilewise programs and without: ``benchmarks/onnx_runtime.py A.onnx B.onnx``.

The files have the same inputs (``tw.accelerate_onnx`` wrote one from the other). Sessions on as many threads take
turns, and the figures are milliseconds of a whole ``Run``: median, quartiles, and the fastest.

Without files it makes a pipeline of its own for each of ``--networks``: bytes (N, H, W, 3) become floats, which are
normalized and moved; a network of the zoo with random weights; a softmax over the channels. There are three files: in
float, as ONNX Runtime's own tool quantizes it (QDQ, per channel), and with the network as a Tilewise program (F4).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NETWORKS = {"resnet18_224": (224, 224), "unet": (256, 256)}
"""By name in the zoo: height and width of the images."""

TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def open_session(path: Path, threads: int) -> Any:
    """Open a file with so many threads, for ONNX Runtime's own operations and for programs."""
    import onnxruntime

    import tilewise as tw

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("tilewise.threads", str(threads))
    options.register_custom_ops_library(tw.onnx_runtime_library())
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def images_for(session: Any, batch: int, size: tuple[int, int]) -> dict[str, Any]:
    """Return noise of the inputs' shapes: open extents are the batch, 3 channels, or the size."""
    random, given = np.random.default_rng(0), {}
    for entry in session.get_inputs():
        last = isinstance(entry.shape[-1], int) and entry.shape[-1] <= 4
        wanted = (batch, *size, 3) if last else (batch, 3, *size)
        shape = [have if isinstance(have, int) else want for have, want in zip(entry.shape, wanted, strict=True)]
        given[entry.name] = random.integers(0, 256, shape).astype(TYPES[entry.type])
    return given


def write_pipelines(network: str, size: tuple[int, int], folder: Path) -> list[Path]:
    """Write a pipeline in float, with ONNX Runtime's 8 bits, and with a Tilewise program; return the files."""
    import onnx
    import torch
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    import tilewise as tw

    class Images(CalibrationDataReader):  # type: ignore[misc]
        left = 4

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            self.left -= 1
            if self.left < 0:
                return None
            return {"pixels": np.random.default_rng(self.left).integers(0, 256, (1, *size, 3), np.uint8)}

    torch.manual_seed(0)
    settings: dict[str, Any] = {"channels": 3} if network == "unet" else {}
    net, x = tw.zoo.build(network, **settings).eval(), torch.randn(1, 3, *size)
    plain, quantized, fast = (folder / f"{network}-{kind}.onnx" for kind in ("float32", "int8", "tilewise"))
    tw.to_onnx(net, x, plain)
    model = onnx.load(plain)
    image, result = model.graph.input[0].name, model.graph.output[0].name
    enclose(model, image, result, size)
    onnx.save(model, plain)
    quantize_static(
        plain, quantized, Images(), quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8
    )
    part = tw.from_onnx(plain, inputs=[image], outputs=[result])
    calibrated = tw.calibrate(tw.convert(part, {"*": tw.Winograd("F4")}, skips="quantized"), [x])
    tw.accelerate_onnx(calibrated, x, plain, fast)
    return [plain, quantized, fast]


def enclose(model: Any, image: str, result: str, size: tuple[int, int]) -> None:
    """Put what comes before and after a network into its file: from bytes on, and to probabilities."""
    import onnx
    from onnx import TensorProto, helper

    graph = model.graph
    before = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "mean"], ["moved"]),
        helper.make_node("Div", ["moved", "deviation"], ["normalized"]),
        helper.make_node("Transpose", ["normalized"], [image], perm=[0, 3, 1, 2]),
    ]
    for place, node in enumerate(before):
        graph.node.insert(place, node)
    graph.node.append(helper.make_node("Softmax", [result], ["probabilities"], axis=1))
    for name, values in (("mean", [123.675, 116.28, 103.53]), ("deviation", [58.395, 57.12, 57.375])):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(values, np.float32), name))
    graph.input[0].CopyFrom(helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", *size, 3]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None))


def main() -> None:
    """Time the files in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", default="224x224", help="of images, where the file leaves it open")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    if options.files:
        height, width = (int(extent) for extent in options.size.split("x"))
        rows = timed(options.files, options.threads, options.batch, (height, width), options.repeats)
    for network in () if options.files else options.networks:
        with tempfile.TemporaryDirectory() as folder:
            files = write_pipelines(network, NETWORKS[network], Path(folder))
            rows |= timed(files, options.threads, options.batch, NETWORKS[network], options.repeats)
    if options.json:
        from tilewise.latency import Machine

        found = {"machine": str(Machine.here(options.threads)), "batch": options.batch, "files": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(table(found))


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "# Within ONNX Runtime", "",
        "*`python benchmarks/onnx_runtime.py --json docs/results/onnx-runtime.json` writes this page, and",
        "says what the pipelines are.*", "",
        f"Milliseconds of a whole `Run`, batch {found['batch']}, files in turns: median (first to third quartile).",
        f"{found['machine']}.", "", "| pipeline | ms |", "|---|---:|",
    ]  # fmt: skip
    for name, row in found["files"].items():
        lines.append(
            f"| {name.removesuffix('.onnx')} | {row['median_ms']:.2f} "
            f"({row['first_quartile_ms']:.2f} to {row['third_quartile_ms']:.2f}) |"
        )
    return "\n".join(lines) + "\n"


def timed(
    files: list[Path], threads: int, batch: int, size: tuple[int, int], repeats: int
) -> dict[str, dict[str, float]]:
    """Return and print the milliseconds of each file, in turns."""
    sessions = {path.name: open_session(path, threads) for path in files}
    given = images_for(next(iter(sessions.values())), batch, size)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(repeats + 3):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, given)
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - start))
    rows = {}
    for name, own in times.items():
        first, median, third = statistics.quantiles(own, n=4)
        rows[name] = {
            "median_ms": median,
            "first_quartile_ms": first,
            "third_quartile_ms": third,
            "fastest_ms": min(own),
        }
        print(f"{name}: {median:.3f} ms ({first:.3f} to {third:.3f}), fastest {min(own):.3f} ms", flush=True)
    return rows


if __name__ == "__main__":
    main()
