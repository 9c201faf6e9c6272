"""Make a network fast within a loss that you allow, from images alone; then run the compiled file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import tilewise as tw

torch.manual_seed(0)
# Your trained network stands here; this one is small, and has never seen an image.
net = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
).eval()  # fmt: skip
batches = [torch.rand(8, 3, 24, 24) for _ in range(4)]  # your images, as the network takes them; no label

with tempfile.TemporaryDirectory() as folder:
    # Ten minutes are usual; ten points and seconds are for this example.
    found = tw.optimize(net, batches, out=folder, max_drop=10, minutes=0.05)
    engine = tw.load(Path(folder) / "model.tilewise")
    result, judged = found.summary["result"], found.summary["judged"]

images = torch.rand(64, 3, 24, 24)
with torch.no_grad():
    same = engine(images.numpy()).argmax(1) == net(images).argmax(1).numpy()
drop = result["drop"]
print(f"{result['name']}: {result['speedup']:.2f} times as fast as direct int8")
print(f"differs on {drop['value']:.1f} % of {judged['held_back']} images ({drop['low']:.1f} to {drop['high']:.1f})")
print(f"on new images it agrees on {100 * np.mean(same):.1f} %")
