"""Images of few channels lie close together in memory: what reads and writes them gives the simulation's numbers."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tilewise as tw
from tilewise import _native
from tilewise.engine import Engine
from tilewise.engine.compiler import Simulation, make_program

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]


class Tail(nn.Module):
    """Ends as upscalers and image filters do, with every operation that may read or write few channels."""

    def __init__(self, channels: int, inputs: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(inputs, 4 * channels, 3, padding=1)
        self.skip = nn.Conv2d(inputs, channels, 1)
        self.slopes = nn.PReLU(channels)
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, channels)[:, None, None])
        self.last = nn.Conv2d(channels, 2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        fine = F.pixel_shuffle(self.body(x), 2)
        near = F.interpolate(self.skip(x), scale_factor=2)
        smooth = F.interpolate(x, scale_factor=2, mode="bilinear")
        added = self.slopes(fine + near) * self.gain + 0.25
        cut = F.pad(added, (1, 0, 2, 1))[:, :, ::2, 1:].clamp(0.125, 3)
        gate = torch.sigmoid(fine) * near - smooth[:, :1]
        return added, cut, gate, F.interpolate(gate, scale_factor=0.5, mode="bicubic"), smooth, self.last(gate)


@settings(max_examples=8)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.integers(3, 9), st.sampled_from((8, 12)))
def test_tails_give_the_simulations_numbers(channels: int, inputs: int, images: int, width: int, bits: int) -> None:
    torch.manual_seed(channels)
    x = torch.randn(images, inputs, 6, width)
    network = tw.convert(Tail(channels, inputs).eval(), {"*": tw.Direct(bits=bits)})
    tw.calibrate(network, [x])
    expected, content = Simulation(network, x)(x), make_program(network, x).to_bytes()
    for kernel_set in KERNEL_SETS:
        found = Engine(content, batch=2, threads=2, kernel_set=kernel_set)(x.numpy())
        for result, wanted in zip(found.values(), expected.values(), strict=True):
            np.testing.assert_array_equal(result, wanted.numpy(), err_msg=kernel_set)
