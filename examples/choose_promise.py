"""What the promises that need no training keep of a network's output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import tilewise as tw

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
    nn.Conv2d(16, 3, 3, padding=1),
).eval()  # fmt: skip
shown, new = torch.rand(16, 3, 24, 24), torch.rand(8, 3, 24, 24)


def kept(name: str, spec: tw.Direct | tw.Winograd | tw.Exact) -> Tensor:
    """Convert, calibrate and compile; print how much of the output's energy is kept, and return the output."""
    model = tw.calibrate(tw.convert(net, {"*": spec}, skips="quantized"), [shown])
    output: Tensor = tw.compile(model, new[:1])(new)
    with torch.no_grad():
        wanted = net(new)
    error = float((output - wanted).square().sum() / wanted.square().sum())
    print(f"{name:24} {100 * (1 - error):8.4f} %")
    return output


direct = kept("direct int8", tw.Direct())
lossless = kept("lossless", tw.Exact())
assert torch.equal(direct, lossless)  # bit for bit
kept("post-training, SFC6", tw.Winograd("SFC6"))
kept("post-training, F2", tw.Winograd("F2"))
kept("post-training, F4", tw.Winograd("F4"))  # refine it: tw.calibrate(model, images, tw.CalibrationConfig())
