"""Encode on one kernel set, decode on all others; rate and quality beside JPEG and torch; what floats do elsewhere.

    python examples/codec/measure.py FOLDER... [--emulated "qemu-aarch64 tilewise-run"] [--out docs/results/codec.json]

Each FOLDER is what train.py wrote. Images are the two photographs of scikit-learn. Every coding is a process of its
own.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import coder
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

import tilewise as tw
from tilewise import _native

SETS = [str(found["name"]) for found in _native.kernel_sets() if found["supported"]]
HERE = Path(__file__).parent
ELSEWHERE: dict[str, tuple[list[str], dict[str, str]]] = {
    "the same again": ([], {}),
    "2 threads": (["threads=2"], {}),
    "2 images at once": (["batch=2"], {}),
    "channels last": (["layout=last"], {}),
    "without oneDNN": (["onednn=0"], {}),
    "oneDNN for AVX2": ([], {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
}
"""Ways of torch to decode, beside the encoder's: options and environment."""
EMULATED_SETS = ("neon", "dotprod", "i8mm")


def psnr(image: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Return the quality of a decoded image, in dB."""
    return float(-10 * np.log10(max(1e-9, np.square(image.astype(np.float64) - decoded).mean() / 255**2)))


def jpeg(image: NDArray[np.uint8], most: int) -> tuple[int, float]:
    """Return bytes and quality of the best JPEG that takes at most so many bytes, with colours whole or halved."""
    found: list[tuple[float, int]] = []
    for subsampling in ("4:4:4", "4:2:0"):
        for quality in range(1, 96):
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "JPEG", quality=quality, optimize=True, subsampling=subsampling)
            if found and len(stream.getvalue()) > most:
                break
            found.append((psnr(image, np.asarray(Image.open(stream))), len(stream.getvalue())))
    quality_found, size = max(found)
    return size, quality_found


def call(program: str, *arguments: Any, **environment: str) -> bool:
    """Run a program of this folder; return whether it came to its end."""
    command = [sys.executable, str(HERE / program), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False).returncode == 0


def emulated(folder: Path, command: str) -> coder.Codec:
    """Return the codec of a folder with its networks run by another program (native/tools/run.c)."""
    codec = coder.load(folder)

    def network(name: str) -> Any:
        output = tw.load(folder / f"{name}.tilewise").outputs[0]

        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            size = f"{x.shape[2]}x{x.shape[3]}"
            done = subprocess.run([*shlex.split(command), folder / f"{name}.tilewise", "1", size], input=x.tobytes(),
                                  capture_output=True, check=True)  # fmt: skip
            factor = 8 if name == "synthesis" else 4
            shape = (1, output.channels, factor * x.shape[2], factor * x.shape[3])
            return np.frombuffer(done.stdout, np.float32).reshape(shape)

        return run

    levels, step = network("levels"), np.float32(tw.load(folder / "levels.tilewise").outputs[0].step)
    codec.levels = lambda z: np.rint(levels(z) / step).astype(np.uint8)
    codec.synthesis = network("synthesis")
    return codec


def measure_engine(folder: Path, source: Path, work: Path, command: str | None) -> dict[str, Any]:
    """Encode on each kernel set and decode on each; all streams and all decoded images must be the same bytes."""
    streams, images = [], []
    for name in SETS:
        assert call("coder.py", "encode", folder, source, work / "stream", TILEWISE_ISA=name)
        streams.append((work / "stream").read_bytes())
    for name in SETS:
        assert call("coder.py", "decode", folder, work / "stream", work / "decoded.png", TILEWISE_ISA=name)
        images.append(np.asarray(Image.open(work / "decoded.png")))
    for name in EMULATED_SETS if command else ():
        os.environ["TILEWISE_ISA"] = name
        codec = emulated(folder, str(command))
        images.append(codec.decode(streams[0]))
    os.environ.pop("TILEWISE_ISA", None)
    image = np.asarray(Image.open(source))
    return {
        "encoded on": SETS,
        "decoded on": [*SETS, *(EMULATED_SETS if command else ())],
        "different streams": len(set(streams)),
        "different images": len({i.tobytes() for i in images}),
        "stream sha256": hashlib.sha256(streams[0]).hexdigest(),
        "bytes": len(streams[0]),
        "psnr": psnr(image, images[0]),
    }


def measure_float(folder: Path, source: Path, work: Path) -> dict[str, Any]:
    """Encode in torch's floats, and decode in several ways."""
    assert call("float_codec.py", "encode", folder, source, work / "stream")
    sent, image = np.load(work / "stream.npy"), np.asarray(Image.open(source))
    step = np.float32(tw.load(folder / "levels.tilewise").outputs[0].step)
    ways: dict[str, dict[str, Any]] = {}
    for name, (options, environment) in ELSEWHERE.items():
        arguments = ("decode", folder, work / "stream", work / "decoded.png", *options)
        whole = call("float_codec.py", *arguments, **environment)
        found = np.load(work / "decoded.png.npy")
        ways[name] = {
            "levels that differ": int((found != sent).sum()),
            "largest difference": float(np.abs(found - sent).max()),
            "tables that differ": int((np.rint(found / step) != np.rint(sent / step)).sum()),
            "psnr": psnr(image, np.asarray(Image.open(work / "decoded.png"))) if whole else None,
        }
    return {"levels": sent.size, "bytes": (work / "stream").stat().st_size, "decoded": ways}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description="measure the codec")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--emulated", help="the command of tilewise-run (native/tools/run.c) for another machine")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    photographs = load_sample_images()
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        for folder in options.folders:
            for path, image in zip(photographs.filenames, photographs.images, strict=True):
                source = work / "image.png"
                Image.fromarray(image).save(source)
                engine = measure_engine(folder, source, work, options.emulated)
                size, quality = jpeg(image, engine["bytes"])
                row = {
                    "codec": folder.name, "image": Path(path).stem, "pixels": image[..., 0].size, "engine": engine,
                    "jpeg": {"bytes": size, "psnr": quality}, "float": measure_float(folder, source, work),
                }  # fmt: skip
                rows.append(row)
                print(json.dumps(row, indent=1), flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
