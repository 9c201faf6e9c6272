from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tilewise.zoo.ncnn import read_ncnn_chain

PARAM = """7767517
6 7
Input                    input.1                  0 1 data
Split                    splitncnn_input0         1 2 data a b
Convolution              Conv_0                   1 1 b 54 0=3 1=3 4=1 5=1 6=27
PReLU                    PRelu_1                  1 1 54 56 0=3
Convolution              Conv_2                   1 1 56 57 0=2 1=3 4=1 5=1 6=54
PixelShuffle             DepthToSpace_35          1 1 57 58 0=4
"""


def chain() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Module()
    net.body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.PReLU(3), nn.Conv2d(3, 2, 3))
    return net.half().float()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write the chain as ncnn does: halves padded to whole words behind a tag; floats."""
    body = chain().body
    content = b""
    for layer in body:
        if isinstance(layer, nn.PReLU):
            content += layer.weight.detach().numpy().tobytes()
            continue
        halves = layer.weight.detach().numpy().astype("<f2").tobytes()
        content += np.uint32(0x01306B47).tobytes() + halves + b"\0" * (len(halves) % 4)
        content += layer.bias.detach().numpy().tobytes()
    (tmp_path / "net.param").write_text(PARAM)
    (tmp_path / "net.bin").write_bytes(content)
    return tmp_path / "net.param"


def test_a_chain_is_read_as_it_was_written(files: Path) -> None:
    found, wanted = read_ncnn_chain(files), chain().state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_damaged_files_are_refused(files: Path) -> None:
    weights = files.with_suffix(".bin")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"ends after {len(content) - 1} bytes"):
        read_ncnn_chain(files)
    weights.write_bytes(content + b"1234")
    with pytest.raises(ValueError, match=f"has {len(content) + 4} bytes; the layers need {len(content)}"):
        read_ncnn_chain(files)
    weights.write_bytes(b"\1" + content[1:])
    with pytest.raises(ValueError, match="the tag 0x1306b01; allowed"):
        read_ncnn_chain(files)
    weights.write_bytes(content)
    files.write_text(PARAM.replace("6=27", "6=28"))
    with pytest.raises(ValueError, match="Conv_0 has 28 weights for 3 outputs of 3x3"):
        read_ncnn_chain(files)
    files.write_text("ncnn")
    with pytest.raises(ValueError, match="does not begin with 7767517"):
        read_ncnn_chain(files)
