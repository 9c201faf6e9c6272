"""Train the codec on crops of a folder's images, and write its compiled networks and tables.

    python examples/codec/train.py IMAGES FOLDER --tradeoff 0.01

A larger tradeoff gives better images of more bytes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from coder import LARGEST, NETWORKS, TABLES, UNIT
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transforms import LIGHT, SMALLEST, Transforms

import tilewise as tw
from tilewise.nn import Quantize

CROP = 96
BATCH = 8
LEARNING_RATE = 1e-3
WIDTHS = {"analysis": 8, "levels": 8, "synthesis": 10}
"""Bits of weights and activations; 8 would cost the image some hundredths of a dB."""
TABLE_BITS = 6
"""Of a table's number."""
OCCURRENCES = 2**20
"""Of all symbols of a table."""


def images_of(folder: Path) -> list[Tensor]:
    """Return the images of a folder that a crop fits into, as (3, H, W)."""
    found = [np.array(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())]
    return [torch.from_numpy(image).permute(2, 0, 1) for image in found if min(image.shape[:2]) >= CROP]


def crop(image: Tensor) -> Tensor:
    """Return a part of an image, turned over at random."""
    top, left = (int(torch.randint(extent - CROP + 1, ())) for extent in image.shape[1:])
    part = image[:, top : top + CROP, left : left + CROP]
    return part.flip(2) if torch.rand(()) < 0.5 else part


def train(images: list[Tensor], tradeoff: float, steps: int) -> Transforms:
    """Return networks that were trained for so many steps."""
    net = Transforms()
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * max(0.02, min(1.0, 3 * (1 - step / steps)))
        batch = torch.stack([crop(images[i]) for i in torch.randint(len(images), (BATCH,))])
        rate, error = net(batch.float())
        optimizer.zero_grad()
        (rate + tradeoff * error).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            psnr = 10 * math.log10(255**2 / float(error.detach()))
            print(f"step {step}  {float(rate.detach()):.3f} bits per pixel, {psnr:.2f} dB", flush=True)
    return net.eval()


@torch.no_grad()
def compile_all(net: Transforms, images: list[Tensor], folder: Path, widths: dict[str, int] = WIDTHS) -> None:
    """Quantize the networks, and write them and the tables to a folder."""
    parts = [image[:, : image.shape[1] // UNIT * UNIT, : image.shape[2] // UNIT * UNIT] for image in images]
    pixels = [part[None].float() / LIGHT for part in parts]
    symbols = [{name: x.round() for name, x in net.analysis(image).items()} for image in pixels]
    symbols[0]["y"][0, 0, 0, 0] = LARGEST  # so that the steps of their grid are 1
    counted = Quantize(TABLE_BITS)
    networks: dict[str, tuple[nn.Module, list[Tensor]]] = {
        "analysis": (net.analysis, pixels),
        "levels": (nn.Sequential(*net.levels, counted), [found["z"] for found in symbols]),
        "synthesis": (net.synthesis, [found["y"] for found in symbols]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    step = 1.0
    for name in NETWORKS:
        network, inputs = networks[name]
        model = tw.convert(network, {"*": tw.Direct(bits=widths[name])}, skips="quantized")
        tw.calibrate(model, inputs)
        bytes_are_pixels = tw.Normalization(mean=[0.0] * 3, deviation=[LIGHT] * 3) if name == "analysis" else None
        engine = tw.compile(model, inputs[0], normalization=bytes_are_pixels)
        engine.save(folder / f"{name}.tilewise")
        step = engine.outputs[0].step if name == "levels" else step
    tables = [table(SMALLEST * 2 ** (step * number)) for number in range(2**TABLE_BITS)]
    side_tables = [table(SMALLEST * 2**level) for level in net.side_levels.flatten().tolist()]
    np.savez(folder / TABLES, tables=np.stack(tables), side_tables=np.stack(side_tables))


def table(deviation: float) -> NDArray[np.uint32]:
    """Return how often each symbol occurs in a normal distribution around 0."""
    edges = [math.erf((edge - LARGEST - 0.5) / (deviation * 2**0.5)) / 2 for edge in range(2 * LARGEST + 2)]
    return np.maximum(1, np.rint(np.diff(edges) * OCCURRENCES)).astype(np.uint32)


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description="train a small image codec")
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("folder", type=Path, help="where the codec goes")
    parser.add_argument("--tradeoff", type=float, default=0.01, help="what square errors weigh against bits")
    parser.add_argument("--steps", type=int, default=800, help="of training; 100 take some 20 seconds of a core")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images = images_of(options.images)
    net = train(images, options.tradeoff, options.steps)
    compile_all(net, images, options.folder)
    torch.save(net.state_dict(), options.folder / "float.pt")


if __name__ == "__main__":
    main()
