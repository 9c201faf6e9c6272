"""Read what an optimization found: its page, and the same numbers from Python."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from torch import nn

import tilewise as tw

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2)
).eval()  # fmt: skip

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    page = tw.optimize(net, [torch.rand(6, 3, 24, 24)], out=folder, minutes=0.02).page
    print(f"{page.name}: {page.stat().st_size // 1024} KiB, opens without a network")
    summary = json.loads((folder / "summary.json").read_text())

for attempt in summary["tried"]:
    drop = attempt["drop"]
    print(f"{attempt['name']:25} {attempt['speedup']:5.2f}x, loses {drop['value']:6.2f} {summary['judged']['unit']}")
total = sum(layer["milliseconds"] for layer in summary["layers"])
for layer in summary["layers"]:
    share = 100 * layer["milliseconds"] / total
    print(f"layer {layer['name']}: {layer['algorithm']}, {share:.0f} % of the convolutions' time")
