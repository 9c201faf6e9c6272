"""Write a compiled network that wheels are tried with: int8, with fast, lossless and direct layers."""

from __future__ import annotations

import sys

import torch

import tilewise as tw

torch.manual_seed(0)
x = torch.randn(4, 1, 8, 8)
specs = {"convs.1": tw.Winograd("F4"), "convs.2": tw.Winograd("SFC6"), "convs.3": tw.Exact(), "*": tw.Direct()}
model = tw.convert(tw.zoo.small_cnn(), specs, skips="quantized")
tw.compile(tw.calibrate(model, [x]), x).save(sys.argv[1])
