"""Tables and pictures from docs/results/tasks/*.json and the networks that tasks.sh, beside this file, trained.

python -m tilewise.experiments.task_tables DATA_ROOT --runs runs/tasks

It writes the tables of docs/results/tasks.md and docs/results/tasks/*.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

import tilewise as tw
from tilewise.common.picture import save_picture
from tilewise.data import PAIRS, load_pairs, load_scenes
from tilewise.data.pairs import bicubic
from tilewise.zoo import build

PAGE = Path("docs/results/tasks.md")
RESULTS = PAGE.with_suffix("")
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
SCALES = {"espcn": 3, "edsr": 2}
CASES = {
    "float": "float", "direct": "direct, int8", "F2": "F2, int8", "F4": "F4, int8",
    "F4-inner": "F4, int8, first and last layer direct", "F6": "F6, int8", "SFC6": "SFC6, int8",
}  # fmt: skip
KINDS = {"ranges only": "", "refined": "-refined", "adapted": "-adapted"}
"""Columns, and how the names of their files end."""
CROPS = {"butterfly": (2, 60, 90), "baby": (0, 180, 160), "bird": (1, 90, 100)}
"""Of Set5: place in the set, top and left of what is shown, in pixels of the original."""
SIDE = 84
SHOWN = (20, 110, 200)
"""Test images of CamVid in the picture."""
COLOURS = np.array(
    [
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0), (192, 128, 128),
        (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 0),
    ],
    np.uint8,
)  # fmt: skip
"""Of CamVid's classes, as SegNet's authors draw them; void is black."""


def enlarged(low: Tensor, height: int, width: int) -> Tensor:
    """Bicubic enlarging, as an output of a network."""
    return torch.from_numpy(bicubic(low.numpy(), height, width))[None, None] / 255


def baseline(root: Path, name: str, scale: int) -> float:
    """PSNR of bicubic enlarging."""
    pairs = load_pairs(name, "test", root, scale=scale)
    counts = torch.zeros(2, dtype=torch.float64)
    for low, high in zip(pairs.low, pairs.high, strict=True):
        counts += pairs.task.counts(enlarged(low, *high.shape), high[None, None] / 255)
    return pairs.task.score(counts)


def cell(results: dict[str, dict[str, Any]], name: str, metric: str) -> str:
    """A score, or nothing where it was not measured."""
    return f"{results[name][metric]:.2f}" if name in results else ""


def table(results: dict[str, dict[str, Any]], network: str, sets: dict[str, str], metric: str, unit: str) -> list[str]:
    """One line for each case: with ranges only, refined, and adapted from there, on each set."""
    heads = [f"{title}, {kind}" for title in sets.values() for kind in KINDS]
    lines = [f"| {network}, {unit} | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for case, title in CASES.items():
        cells = []
        for name in sets:
            cells += [cell(results, f"{network}-{name}-{case}{suffix}", metric) for suffix in KINDS.values()]
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return [*lines, ""] if len(lines) > 2 else []


def tables(results: dict[str, dict[str, Any]], root: Path) -> list[str]:
    """All of them."""
    lines = []
    for network, scale in SCALES.items():
        found = table(results, network, {"set5": "Set5", "set14": "Set14"}, "psnr", f"x{scale}, PSNR in dB")
        if found:
            figures = " and ".join(f"{baseline(root, name, scale):.2f} dB ({name.capitalize()})" for name in PAIRS)
            lines += [*found, f"Bicubic enlarging, x{scale}: {figures}.", ""]
    return lines + table(results, "unet", {"camvid": "CamVid"}, "miou", "mIoU in %")


@torch.no_grad()
def enlargements(root: Path, runs: Path, network: str) -> Figure | None:
    """Details of Set5: the original, bicubic, the float network, and it adapted to direct and to F4 int8."""
    folders = {"float": network, "direct int8": f"{network}-direct", "F4 int8": f"{network}-F4"}
    files = {title: runs / folder / "last.safetensors" for title, folder in folders.items()}
    if not all(file.exists() for file in files.values()):
        return None
    scale = SCALES[network]
    models = {title: tw.load_weights(build(network, scale=scale), file).eval() for title, file in files.items()}
    pairs = load_pairs("set5", "test", root, scale=scale)
    fig, axes = grid(len(CROPS), 2 + len(models), f"{network}, x{scale}: PSNR of the whole image, luma")
    for row, (i, top, left) in zip(axes, CROPS.values(), strict=True):
        low, high = pairs.low[i], pairs.high[i]
        truth, x = high[None, None] / 255, low[None, None] / 255
        shown = {"original": truth, "bicubic": enlarged(low, *high.shape)} | {t: m(x) for t, m in models.items()}
        for axis, (title, image) in zip(row, shown.items(), strict=True):
            axis.imshow(image[0, 0, top : top + SIDE, left : left + SIDE], cmap="gray", vmin=0.06, vmax=0.92)
            value = pairs.task.score(pairs.task.counts(image, truth))
            axis.set_title(title if title == "original" else f"{title}, {value:.2f} dB", fontsize=9)
    return fig


def segmentations(root: Path, runs: Path) -> Figure | None:
    """Three test images: the image, its labels, the float network's, those of F4 int8 and their differences."""
    engines = {"float": runs / "unet-camvid-float.tilewise", "F4 int8": runs / "unet-camvid-F4-adapted.tilewise"}
    if not all(file.exists() for file in engines.values()):
        return None
    scenes = load_scenes("camvid", "test", root)
    fig, axes = grid(len(SHOWN), 5, "CamVid, test images: U-Net in the engine; F4 adapted")
    batches = list(scenes.scoring())
    for row, i in zip(axes, SHOWN, strict=True):
        size = batches[0][0].shape[0]
        x = batches[i // size][0][i % size][None]
        labels = {title: np.asarray(tw.load(file)(x).argmax(1)[0]) for title, file in engines.items()}
        image, truth = scenes.images[i].permute(1, 2, 0), scenes.maps[i].numpy()
        differ = np.where(labels["float"] == labels["F4 int8"], 255, 0).astype(np.uint8)
        pictures = [image, COLOURS[truth], *(COLOURS[found] for found in labels.values()), differ]
        titles = ["image", "truth (black: void)", *labels, f"float, F4 differ: {(differ == 0).mean():.1%}"]
        for axis, title, picture in zip(row, titles, pictures, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_title(title, fontsize=9)
    return fig


def grid(rows: int, columns: int, title: str) -> tuple[Figure, Any]:
    """Make axes without ticks."""
    fig = Figure(figsize=(2.3 * columns, 2.2 * rows + 0.4), layout="constrained")
    FigureCanvasAgg(fig)
    fig.suptitle(title, fontsize=11)
    axes = fig.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return fig, axes


def main() -> None:
    """Write tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/tasks"))
    arguments = parser.parse_args()
    results = {p.stem: json.loads(p.read_text()) for p in sorted(RESULTS.glob("*.json"))}
    lines = tables(results, arguments.root)
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n{END}{rest.split(END)[1]}")
    figures = {name: enlargements(arguments.root, arguments.runs, name) for name in SCALES}
    figures["unet"] = segmentations(arguments.root, arguments.runs)
    for name, figure in figures.items():
        if figure is not None:
            save_picture(figure, RESULTS / f"{name}.png", dpi=110)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
