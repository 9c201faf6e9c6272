"""All that ``tilewise optimize`` tried on the compact upscaler, scored on Set14 at a quarter of its size.

    python benchmarks/upscaler_front.py --root data [--folder runs/reports/upscaler-0]

The folder is that of benchmarks/optimize_networks.py, with times in turns. Scores are the mean over the 14 pictures of
the peak signal-to-noise ratio to the float network's output. Networks of several algorithms that were not refined are
refined here too, on the same pictures, and have the times that they had: refinement changes numbers only. The table
goes to docs/results/upscaler.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.common.progress import track
from tilewise.data import load_own
from tilewise.experiments.untrained import pictures
from tilewise.experiments.upscaling import upscaler
from tilewise.latency import layer_shapes
from tilewise.optimization.metrics import make_judge
from tilewise.optimization.sample import Sample
from tilewise.optimization.training import Trainer
from tilewise.quant import spec_from_dict

SIDE = 96
RESULTS = Path(__file__).resolve().parent.parent / "docs/results/upscaler.md"


@torch.no_grad()
def main() -> None:
    """Score and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("runs/reports/upscaler-0"))
    options = parser.parse_args()
    summary = json.loads((options.folder / "summary.json").read_bytes())
    model, lows = upscaler().eval(), [low for low, _ in pictures(options.root, "Set14")]
    wanted = [model(low) for low in lows]
    zero, one = (0.0,) * 3, (1.0,) * 3
    shown = load_own(str(options.folder.parent / "pictures/given"), "train", size=SIDE, mean=zero, std=one)
    given = torch.cat([x for x, _ in shown.scoring()])
    direct = summary["direct"]["milliseconds"]
    peer = min((other for other in summary["others"]), key=lambda other: other["milliseconds"])
    lines = [
        "# The compact upscaler: speed and likeness", "",
        "*`python benchmarks/upscaler_front.py --root data` writes this page, and says what is scored.*", "",
        f"{summary['machine']}. The fastest other: {peer['name']}, {peer['milliseconds']:.2f} ms for",
        f"96x96; tilewise's direct int8 {direct:.2f} ms.", "",
        "| network | promise | x direct int8 | x fastest other | Set14, dB | worst picture, dB |",
        "|---|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for entry in track(sorted(summary["tried"], key=lambda entry: -entry["speedup"]), "score", enabled=True):
        engines = {entry["promise"]: tw.load(options.folder / "steps" / f"{entry['key']}.tilewise", threads=1)}
        if entry["promise"] == "post-training" and entry["key"].startswith("mixed"):
            engines["refined here"] = tw.compile(refined(model, entry["specs"], given), lows[0], threads=1)
        ratio = peer["milliseconds"] / direct * entry["speedup"]
        for promise, engine in engines.items():
            found = [decibels(torch.as_tensor(engine(low.numpy())), y) for low, y in zip(lows, wanted, strict=True)]
            lines.append(
                f"| {entry['name']} | {promise} | {entry['speedup']:.2f} | {ratio:.2f} | "
                f"{sum(found) / len(found):.2f} | {min(found):.1f} |"
            )
    RESULTS.write_text("\n".join(lines) + "\n")


@torch.enable_grad()
def refined(model: nn.Module, specs: Mapping[str, Any], images: Tensor) -> nn.Module:
    """Calibrate and refine a network of these specs, as the command does."""
    judge = make_judge("psnr", model(images[:1]).detach(), None, 3)
    operations = sum(shape.operations for shape in layer_shapes(model, images[:1]).values())
    trainer = Trainer(model, Sample.of([images]), judge, operations, 0)
    plan = {name: spec_from_dict(spec) for name, spec in specs.items()}
    return trainer.refined(tw.convert(model, plan, skips="quantized"))


def decibels(found: Tensor, wanted: Tensor) -> float:
    """Return the peak signal-to-noise ratio of two pictures from 0 to 1."""
    return float(-10 * torch.log10((found.clamp(0, 1) - wanted.clamp(0, 1)).square().mean()))


if __name__ == "__main__":
    main()
