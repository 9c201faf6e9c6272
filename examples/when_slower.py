"""Where fast algorithms gain, and where they lose: each layer's time, direct and fast, on this machine."""

from __future__ import annotations

import torch
from torch import nn

import tilewise as tw

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(),  # few channels
    nn.Conv2d(8, 64, 3, padding=1), nn.ReLU(),
    nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(8),  # many channels, large maps
    nn.Conv2d(64, 128, 3, padding=1),  # small maps
).eval()  # fmt: skip
x = torch.rand(1, 3, 32, 32)


def times(spec: tw.Direct | tw.Winograd) -> dict[str, float]:
    """Return the seconds of each operation."""
    model = tw.calibrate(tw.convert(net, {"*": spec}, skips="quantized"), [x])
    return {row["name"]: row["seconds"] for row in tw.compile(model, x).profile(x, repeats=20)}


direct, fast = times(tw.Direct()), times(tw.Winograd("F4"))
for report in tw.describe(tw.convert(net, {"*": tw.Winograd("F4")})):
    share = 100 * fast[report.name] / direct[report.name]
    why = f" ({report.reason})" if report.reason else ""
    print(f"layer {report.name}, {report.shape}: {report.algorithm}{why} takes {share:.0f} % of direct's time")
