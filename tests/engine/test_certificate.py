"""Certificates: what they hold, what they promise, and how they name what differs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn

import tilewise as tw
from tilewise.commands.certify import ways_here
from tilewise.engine import certificate
from tilewise.engine.certificate import Way, case_of, certify, changed_operation, first_difference, noise
from tilewise.engine.engine import Engine
from tilewise.engine.program import Program, read_program

sys.path.insert(0, str(Path(__file__).parent))
from golden_networks import conv, converted, images

PLAIN = [Way("portable", 1, 16)]


class Eights(nn.Module):
    """Takes grey images of heights and widths that are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 8 or x.shape[3] % 8:
            raise ValueError("multiples of 8")
        y: Tensor = self.conv(x)
        return y


@pytest.fixture(scope="module")
def file() -> bytes:
    """A network of three convolutions, the second of them fast."""
    model = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8), nn.ReLU(), conv(8, 4))
    layers = converted(model, {"0": tw.Direct(), "2": tw.Winograd("F4"), "4": tw.Direct()})
    return tw.compile(layers, images(1, 3, 16, 16)).content()


def changed(file: bytes, place: int, field: str, change: Callable[[Any], Any]) -> bytes:
    """Return the file with another field of an operation."""
    program = read_program(file)
    arrays, key = dict(program.arrays), f"{place}.{field}"
    if key in arrays:
        arrays[key] = change(arrays[key].copy())
        return Program(tensors=program.tensors, operations=program.operations, arrays=arrays).to_bytes()
    operations = [dict(operation) for operation in program.operations]
    operations[place][field] = change(operations[place][field])
    return replace(program, operations=tuple(operations)).to_bytes()


def place_of(file: bytes, op: str) -> int:
    return [operation["op"] for operation in read_program(file).operations].index(op)


def test_every_way_of_this_machine_gives_the_same_bits(file: bytes) -> None:
    ways = ways_here(None)
    assert {way.kernel_set for way in ways} >= {"reference", "portable"}
    cases = noise(file, [(16, 16), (9, 13)])
    assert [case.name for case in cases] == [
        "noise 1x3x16x16", "noise 3x3x16x16", "noise 1x3x9x13", "noise 3x3x9x13",
    ]  # fmt: skip
    found = certify(file, cases, ways, tensors=True)
    program = read_program(file)
    assert [(o["name"], o["op"]) for o in found["operations"]] == [(o["name"], o["op"]) for o in program.operations]
    for case in found["cases"]:
        assert list(map(int, case["tensors"])) == [i for i, o in enumerate(program.operations) if "y" in o]
        last = max(case["tensors"], key=int)
        assert list(case["results"].values()) == [case["tensors"][last]]
    assert json.loads(json.dumps(found)) == found
    assert first_difference(found, certify(file, cases, PLAIN, tensors=True)) is None


@pytest.mark.parametrize("tensors", [True, False])
def test_a_changed_weight_is_named(file: bytes, tensors: bool) -> None:
    place = place_of(file, "fast")
    other = changed(file, place, "bias", lambda bias: bias + 1)
    cases = noise(file, [(9, 13)])
    was, now = (certify(content, cases, PLAIN, tensors=tensors) for content in (file, other))
    difference = first_difference(was, now)
    assert difference is not None
    assert "noise 1x3x9x13: the result" in difference
    assert f"the first operation that differs is operation {place}, 2 (fast)" in difference
    assert was["network"] != now["network"]


def test_another_file_may_give_the_same_results(file: bytes) -> None:
    place = place_of(file, "fast")
    cases = noise(file, [(9, 13)])
    was, now = (certify(c, cases, PLAIN) for c in (file, changed(file, place, "block", lambda _: 3)))
    assert first_difference(was, now) is None
    assert changed_operation(was, now) == f"operation {place}, 2 (fast)"
    assert changed_operation(was, was) is None


def test_an_engine_that_differs_is_caught_at_its_first_operation(file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another engine is played: from the fast convolution on, one kernel set gives other numbers."""
    place, right = place_of(file, "fast"), certificate._digests
    wrong = {"sha256": "0", "shape": []}

    def digests(content: bytes, case: certificate.Case, way: Way) -> certificate.Digests:
        found = right(content, case, Way("portable", 1, way.batch))
        late = {name for name in found if not name.isdigit() or int(name) >= place}
        return {name: wrong if way.kernel_set == "wrong" and name in late else entry for name, entry in found.items()}

    monkeypatch.setattr(certificate, "_digests", digests)
    cases = noise(file, [(9, 13)])[:1]
    with pytest.raises(ValueError, match=f"wrong, 1 threads.*other bits than portable.*operation {place}, 2"):
        certify(file, cases, [*PLAIN, Way("wrong", 1, 16)])
    was, now = (certify(file, cases, [Way(name, 1, 16)], tensors=True) for name in ("portable", "wrong"))
    assert f"the first operation that differs is operation {place}, 2 (fast)" in str(first_difference(was, now))
    was, now = (
        {**c, "cases": [{k: v for k, v in e.items() if k != "tensors"} for e in c["cases"]]} for c in (was, now)
    )
    assert "made with --tensors would name" in str(first_difference(was, now))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_what_promises_nothing_is_not_certified(precision: Any) -> None:
    model = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8)).eval()
    content = tw.compile(model, images(1, 3, 16, 16), precision=precision).content()
    with pytest.raises(ValueError, match=r"nothing to certify: \w+ (adds floats|computes in bfloat16)"):
        certify(content, noise(content), PLAIN)


def test_images_are_cut_to_what_the_network_takes(file: bytes) -> None:
    engine, pixels = Engine(file), np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    (image,) = case_of(engine, "a.png", pixels).images.values()
    assert image.shape == (1, 3, 5, 7)
    np.testing.assert_array_equal(image[0, 2] * 255, pixels[..., 2])
    one = Engine(tw.compile(Eights(), images(1, 1, 8, 8)).content())
    with pytest.raises(ValueError, match=r"a\.png is 5x7; the network takes larger images only"):
        case_of(one, "a.png", pixels)
    (image,) = case_of(one, "b.png", np.full((9, 17, 3), (1, 255, 2), np.uint8)).images.values()
    assert (image.shape, image.max(), image.min()) == ((1, 1, 8, 16), 1, 1)


def test_the_command(
    file: bytes, cli: Any, refusal: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, kept, pictures = tmp_path / "a.tilewise", tmp_path / "a.json", tmp_path / "pictures"
    network.write_bytes(file)
    pictures.mkdir()
    Image.fromarray(np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)).save(pictures / "a.png")
    certify_it = ("certify", network, "--threads", 1)
    found = cli(*certify_it, "--images", pictures, "--tensors", "--out", kept)
    assert found == json.loads(kept.read_text())
    assert [case["case"] for case in found["cases"]] == ["a.png"]
    assert "reference, portable" in capsys.readouterr().out
    cli(*certify_it, "--images", pictures, "--against", kept)
    assert "\nequal\n" in capsys.readouterr().out
    assert "is of the image a.png; give its folder: --images" in refusal(*certify_it, "--against", kept)

    Image.fromarray(np.zeros((12, 10, 3), np.uint8)).save(pictures / "a.png")
    against = (*certify_it, "--images", pictures, "--against", kept)
    assert "a.png is another image than the certificate's" in refusal(*against)
    place = place_of(file, "fast")
    Image.fromarray(np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)).save(pictures / "a.png")
    network.write_bytes(changed(file, place, "bias", lambda bias: -bias))
    assert f"the first operation that differs is operation {place}, 2 (fast)" in refusal(*against)
    for damaged in ("[]", "{", '{"certificate": 2}', '{"certificate": 1, "cases": [{"case": 1}]}'):
        kept.write_text(damaged)
        assert f"{kept} is no certificate" in refusal(*against)
