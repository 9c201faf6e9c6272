"""Four promises for one network: what each keeps of the float network's output."""

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
quick = tw.CalibrationConfig(reconstruct=30)  # 300 steps a layer are usual


def kept(name: str, spec: tw.Direct | tw.Winograd | tw.Exact, config: tw.CalibrationConfig | None = None) -> Tensor:
    """Convert, calibrate and compile; print how much of the output's energy is kept, and return the output."""
    model = tw.calibrate(tw.convert(net, {"*": spec}, skips="quantized"), [shown], config)
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
kept("post-training, F4", tw.Winograd("F4"))
kept("refined, F4", tw.Winograd("F4", transforms="learned"), quick)
