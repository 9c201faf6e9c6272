"""Certificates: what a compiled network gives, as digests that every kernel set and machine must give again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tilewise.engine.engine import Engine
from tilewise.engine.ports import Input
from tilewise.engine.program import Program, read_program

VERSION = 1
SIZES = ((32, 32), (45, 37))
"""Heights and widths of noise, brought to what the network takes."""
LARGEST_SIZE = 1024
COUNTS = (1, 3)
"""Images of a call."""
BATCHES = (1, 16)
"""How many go through at once, at most."""

NOISE = "noise"

Digests: TypeAlias = dict[str, dict[str, Any]]
"""Shape and SHA-256 of arrays by name."""


@dataclass(frozen=True)
class Way:
    """One way to compute: kernel set, threads, images that go through at once."""

    kernel_set: str
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.kernel_set}, {self.threads} threads, {self.batch} images at once"


@dataclass(frozen=True)
class Case:
    """Images for each input of a network, by its name."""

    name: str
    images: dict[str, NDArray[Any]]


def digest(values: NDArray[Any]) -> dict[str, Any]:
    """Return shape and SHA-256 of an array's little-endian bytes."""
    stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {"shape": list(values.shape), "sha256": hashlib.sha256(stored.tobytes()).hexdigest()}


def integers(seed: int, *shape: int, limit: int) -> NDArray[np.int64]:
    """Return whole numbers from -limit to limit, by splitmix64: the same on every machine."""
    z = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(seed) << np.uint64(32)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z % np.uint64(2 * limit + 1)).astype(np.int64).reshape(shape) - limit


def noise(content: bytes, sizes: Iterable[tuple[int, int]] = SIZES) -> list[Case]:
    """Return cases of noise for a network.

    Parameters
    ----------
    content : bytes
        A ``.tilewise`` file.
    sizes : iterable of (int, int)
        Heights and widths, which grow where the network asks for more, or for multiples.
    """
    engine, program = Engine(content), read_program(content)
    cases = [noise_case(program, _shapes(engine, size, count)) for size in sizes for count in COUNTS]
    return list({case.name: case for case in cases}.values())


def noise_case(program: Program, shapes: Mapping[str, Sequence[int]]) -> Case:
    """Return the case of noise of these shapes: uint8 where mean and deviation are in the file, else from -2 to 2."""
    own = {operation["name"] for i, operation in enumerate(program.operations) if f"{i}.mean" in program.arrays}
    name = " ".join([NOISE, *("x".join(map(str, shape)) for shape in shapes.values())])
    images: dict[str, NDArray[Any]] = {}
    for seed, (x, shape) in enumerate(shapes.items()):
        if x in own:
            images[x] = (integers(seed, *shape, limit=127) + 128).astype(np.uint8)
        else:
            images[x] = (integers(seed, *shape, limit=128) / 64).astype(np.float32)
    return Case(name, images)


def case_of(engine: Engine, name: str, pixels: NDArray[np.uint8]) -> Case:
    """Return the case of one decoded image, cut to the size that the network takes.

    Parameters
    ----------
    engine : Engine
        With one input, of one or three channels.
    name : str
        Of the case.
    pixels : uint8 array of shape (H, W, 3)
        Networks without mean and deviation of their own get them divided by 255; those of one channel get the green.

    Raises
    ------
    ValueError
        If the network takes other inputs, or only larger images.
    """
    if len(engine.inputs) != 1 or engine.inputs[0].channels not in (1, 3):
        raise ValueError(f"images are for networks of one input with 1 or 3 channels; {name} has no place here")
    (entry,) = engine.inputs
    size = [_cut(there, entry, axis) for axis, there in enumerate(pixels.shape[:2])]
    if min(size) < 1:
        raise ValueError(f"{name} is {pixels.shape[0]}x{pixels.shape[1]}; the network takes larger images only")
    chosen = pixels[: size[0], : size[1], 1:2] if entry.channels == 1 else pixels[: size[0], : size[1]]
    image = np.ascontiguousarray(chosen.transpose(2, 0, 1)[None])
    own = any(key.endswith(".mean") for key in engine.program.arrays)
    return Case(name, {entry.name: image if own else image.astype(np.float32) / np.float32(255)})


def without_promise(program: Program) -> str | None:
    """Name the first operation that may round differently on another kernel set; None if all give the same bits."""
    for i, operation in enumerate(program.operations):
        weights = [str(program.arrays[key].dtype) for key in (f"{i}.weight", f"{i}.u") if key in program.arrays]
        if "uint16" in weights or ("y" in operation and program.tensors[operation["y"]]["dtype"] == "bfloat16"):
            return f"{operation['name']} computes in bfloat16"
        if "float32" in weights and not operation.get("ordered", False):
            return f"{operation['name']} adds floats in the order that suits each kernel set"
    return None


def certify(content: bytes, cases: Sequence[Case], ways: Sequence[Way], *, tensors: bool = False) -> dict[str, Any]:
    """Run a network in several ways, and return its certificate.

    Parameters
    ----------
    content : bytes
        A ``.tilewise`` file.
    cases : sequence of Case
        On what.
    ways : sequence of Way
        Of which all must give the same bits.
    tensors : bool
        Keep the digests of all tensors too.

    Returns
    -------
    dict
        Digests of the file and of its operations; of images, results and tensors of each case.

    Raises
    ------
    ValueError
        If the network has operations that promise no bits, or two ways differ, naming the first operation that does.
    """
    program = read_program(content)
    if (reason := without_promise(program)) is not None:
        raise ValueError(f"there is nothing to certify: {reason}; docs/contracts/certificates.md says what is promised")
    entries = [
        {"case": case.name, "images": {name: digest(x) for name, x in case.images.items()},
         "results": _agreed(content, case, ways, content)}
        | ({"tensors": _agreed(_opened(program), case, ways, content)} if tensors else {})
        for case in cases
    ]  # fmt: skip
    return {
        "certificate": VERSION,
        "network": hashlib.sha256(content).hexdigest(),
        "operations": [{"name": o["name"], "op": o["op"], "sha256": _operation(program, i)}
                       for i, o in enumerate(program.operations)],
        "cases": entries,
    }  # fmt: skip


def first_difference(certificate: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Say what differs first between two certificates of one set of cases; None if all results are equal.

    Raises
    ------
    ValueError
        If they are not of the same images.
    """
    for was, now in zip(certificate["cases"], found["cases"], strict=True):
        if was["images"] != now["images"]:
            raise ValueError(f"{was['case']} is another image than the certificate's, or is decoded to other pixels")
        if was["results"] != now["results"]:
            name = next(iter(n for n in was["results"] if was["results"][n] != now["results"].get(n)), "none")
            return f"{was['case']}: the result {name} differs; {_first_operation(certificate, found, was, now)}"
    return None


def changed_operation(certificate: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Name the first operation in which two files differ; None if all are the same."""
    pairs = zip(certificate["operations"], found["operations"], strict=False)
    for place, (was, now) in enumerate(pairs):
        if was != now:
            return f"operation {place}, {now['name']} ({now['op']})"
    if len(certificate["operations"]) != len(found["operations"]):
        return f"the number of operations, {len(found['operations'])} for {len(certificate['operations'])}"
    return None


def _first_operation(
    certificate: Mapping[str, Any], found: Mapping[str, Any], was: Mapping[str, Any], now: Mapping[str, Any]
) -> str:
    if changed := changed_operation(certificate, found):
        return f"the file is another one: the first operation that differs is {changed}"
    if "tensors" not in was:
        return "a certificate made with --tensors would name the first operation that differs"
    place = next(place for place, entry in was["tensors"].items() if entry != now["tensors"][place])
    operation = found["operations"][int(place)]
    return f"the first operation that differs is operation {place}, {operation['name']} ({operation['op']})"


def _agreed(content: bytes, case: Case, ways: Sequence[Way], network: bytes) -> Digests:
    """Return the digests that all ways give."""
    first, *others = ways
    wanted = _digests(content, case, first)
    for way in others:
        if _digests(content, case, way) != wanted:
            opened, operations = _opened(read_program(network)), read_program(network).operations
            was, now = (_digests(opened, case, each) for each in (first, way))
            place = next((int(place) for place in was if was[place] != now[place]), None)
            where = "none alone" if place is None else f"operation {place}, {operations[place]['name']}"
            raise ValueError(f"{case.name}: {way} gives other bits than {first}; the first that differs is {where}")
    return wanted


def _digests(content: bytes, case: Case, way: Way) -> Digests:
    engine = Engine(content, threads=way.threads, batch=way.batch, kernel_set=way.kernel_set)
    found = engine(case.images)
    named = found if isinstance(found, dict) else {engine.outputs[0].name: found}
    return {name: digest(values) for name, values in named.items()}


def _opened(program: Program) -> bytes:
    """Return the file of a network that gives out every tensor, under the place of the operation that writes it."""
    results = tuple(
        {"op": "output", "name": str(place), "x": operation["y"], "channels_last": False, "values": 0}
        for place, operation in enumerate(program.operations)
        if "y" in operation
    )
    kept = [(i, operation) for i, operation in enumerate(program.operations) if operation["op"] != "output"]
    arrays = {
        f"{new}.{key.partition('.')[2]}": values
        for new, (old, _) in enumerate(kept)
        for key, values in program.arrays.items()
        if key.partition(".")[0] == str(old)
    }
    operations = (*(operation for _, operation in kept), *results)
    return Program(tensors=program.tensors, operations=operations, arrays=arrays).to_bytes()


def _operation(program: Program, place: int) -> str:
    """Return the digest of all fields of an operation and of the tensors that it reads and writes."""
    total = hashlib.sha256()
    for name, value in sorted(program.fields(place).items()):
        if isinstance(value, np.ndarray):
            total.update(json.dumps([name, str(value.dtype), value.shape]).encode() + value.tobytes())
        else:
            total.update(json.dumps([name, value]).encode())
    if "y" in program.operations[place]:
        total.update(json.dumps(program.tensors[program.operations[place]["y"]], sort_keys=True).encode())
    return total.hexdigest()[:16]


def _shapes(engine: Engine, wanted: tuple[int, int], count: int) -> dict[str, tuple[int, int, int, int]]:
    """Return shapes of inputs that a network takes, as near to a size as it allows from there upwards."""
    height, width = wanted
    while True:
        shapes = {
            entry.name: (count, entry.channels, _fitting(height, entry, 0), _fitting(width, entry, 1))
            for entry in engine.inputs
        }
        try:
            engine.prepare(*shapes.values())
        except ValueError:
            if min(height, width) > LARGEST_SIZE:
                raise
            height, width = 2 * height, 2 * width
        else:
            return shapes


def _fitting(size: int, entry: Input, axis: int) -> int:
    return entry.size[axis] or -(-size // entry.multiple[axis]) * entry.multiple[axis]


def _cut(there: int, entry: Input, axis: int) -> int:
    wanted = entry.size[axis] or there // entry.multiple[axis] * entry.multiple[axis]
    return wanted if wanted <= there else 0
