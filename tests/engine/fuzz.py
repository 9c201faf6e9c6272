"""Mutated compiled networks: each must load and run, or end in one ValueError. Never a crash.

    python tests/engine/fuzz.py make DIR       # small real files (needs torch)
    python tests/engine/fuzz.py run DIR --mutations 100000 [--seed 0] [--native FILE]     # needs numpy only

`make fuzz` runs it with the native part built under the address and undefined-behaviour sanitizers (--native).
A failing file is kept in DIR, and named with its seed.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Sizes and positions worth trying: limits, their neighbours, and what overflows when multiplied.
NUMBERS = [
    0, 1, 2, 3, 7, 63, 64, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**40, 2**48, 2**63, 2**64,
]  # fmt: skip
OTHERS = [
    None, True, False, "", "x", 0.5, -0.0, 1e-45, 1e38, 1e300, [], [1], [1, 1], {}, "uint8", "int16", "bfloat16",
    "float32",
]  # fmt: skip
TYPES = ["int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"]
# Runs of larger networks would take the time of thousands of mutations.
MAX_RUN = 2**22


def make(folder: Path) -> None:
    """Compile small networks that use every operation."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    import tilewise as tw
    from tilewise.nn import WinogradConv2d

    class Everything(nn.Module):
        def __init__(self, r: int) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, r, padding=r // 2)
            self.body = nn.Conv2d(8, 8, r, padding=r // 2)
            self.norm = nn.BatchNorm2d(8)
            self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
            self.up = nn.Conv2d(24, 8, r, padding=r // 2)
            self.last = nn.Linear(2 * 12 * 12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.stem(x))
            y = torch.relu(self.norm(self.body(x)) + x)
            z = F.max_pool2d(torch.relu(self.down(y)), 3, 1, 1)
            z = self.up(torch.cat([y, F.interpolate(z, scale_factor=2.0, mode="nearest")], 1))
            z = F.interpolate(F.pixel_shuffle(z, 2), size=(12, 12), mode="bilinear")
            out: torch.Tensor = self.last(F.avg_pool2d(z, 2, 1, padding=1)[:, :, 1:, 1:].flatten(1))
            return out

    torch.manual_seed(0)
    x = torch.randn(4, 3, 12, 12)
    folder.mkdir(parents=True, exist_ok=True)
    tw.compile(Everything(3).eval(), x[:2]).save(folder / "float.tilewise")
    halves = tw.convert(Everything(3).eval(), {"body": tw.Winograd("F2", bits=32)})
    tw.compile(halves, x[:2], precision="bf16").save(folder / "bf16.tilewise")
    for algorithm, r, transforms, skips, bits in [
        ("F4", 3, "static", "quantized", 8),
        ("F2", 5, "learned", "float", 8),
        ("F6", 3, "static", "float", 8),
        ("SFC4", 3, "static", "quantized", 11),
    ]:
        spec: Any = tw.Winograd(algorithm, transforms=transforms, bits=bits)  # type: ignore[arg-type]
        net = Everything(r)
        net.down = WinogradConv2d.from_conv(net.down, spec)  # type: ignore[assignment] - convert would not, it is small
        model = tw.calibrate(tw.convert(net, {"[!d]*": spec}, skips=skips), [x])  # type: ignore[arg-type]
        tw.compile(model, x[:2]).save(folder / f"{algorithm}.tilewise")
    for name, r, exact in [
        ("exact", 3, tw.Exact("F4")),
        ("exact-5", 5, tw.Exact("SFC6(5)")),
        ("residue", 3, tw.Residue(tile=4, residue_bits=8)),
        ("residue-5", 5, tw.Residue(tile=6, residue_bits=13)),
    ]:
        model = tw.calibrate(tw.convert(Everything(r), {"*": exact}, skips="quantized"), [x])
        engine = tw.compile(model, x[:2])
        if not {"exact", "residue"} & {node["op"] for node in engine.plan.nodes}:
            raise RuntimeError(f"{name} has no exact layer: nothing of it would be tried")
        engine.save(folder / f"{name}.tilewise")


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give the places of all values in a tree of JSON."""
    found = [place] if place else []
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(inner, (*place, key))
    return found


def mutate_plan(plan: Any, rng: random.Random) -> None:
    """Change one value, key or item of the plan."""
    *path, key = rng.choice(places(plan))
    parent = plan
    for step in path:
        parent = parent[step]
    old = parent[key]
    match rng.randrange(7):
        case 0:
            parent[key] = rng.choice(OTHERS)
        case 1:
            del parent[key]
        case 2 if isinstance(parent, list):
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(old))
        case 3 if isinstance(parent, list):
            other = rng.randrange(len(parent))
            parent[key], parent[other] = parent[other], parent[key]
        case 4 | 5 if isinstance(old, int):
            parent[key] = old + rng.choice([-64, -16, -4, -1, 1, 4, 16, 64, old])
        case _:
            parent[key] = rng.choice(NUMBERS) * rng.choice([1, 1, -1])


def mutate_arrays(arrays: dict[str, Any], rng: random.Random) -> None:
    """Change values, type or shape of one array, or take it away."""
    name = rng.choice(list(arrays))
    array = arrays[name]
    match rng.randrange(6):
        case 0:
            del arrays[name]
            return
        case 1:
            with np.errstate(invalid="ignore"):
                array = array.astype(rng.choice(TYPES))
        case 2:
            array = np.repeat(array, rng.choice([0, 2]), axis=rng.randrange(array.ndim))
        case 3:
            array = array.reshape(-1)[: rng.randrange(array.size + 1)] if rng.random() < 0.5 else array[None]
        case _:
            data = bytearray(array.tobytes())
            for _ in range(rng.randrange(1, 9) if data else 0):
                data[rng.randrange(len(data))] = rng.choice([0, 127, 128, 255, rng.randrange(256)])
            array = np.frombuffer(data, array.dtype).reshape(array.shape)
    arrays[name] = np.ascontiguousarray(array)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change, cut or repeat bytes, most of them in the header."""
    data = bytearray(content)
    for _ in range(rng.randrange(1, 5)):
        reach = rng.choice([8, 20_000, 20_000, len(data)])
        at = rng.randrange(max(1, min(reach, len(data))))
        match rng.randrange(4):
            case 0:
                del data[at : at + rng.choice([1, 8, 100, len(content)])]
            case 1:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice([1, 8])))
            case _:
                data[at : at + 1] = bytes([rng.choice([0, 255, ord("9"), ord('"'), rng.randrange(256)])])
    return bytes(data)


class Original(NamedTuple):
    """A real file: its bytes, its plan's text, its arrays."""

    content: bytes
    plan: str
    arrays: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Original:
        """Read it."""
        from safetensors.numpy import load

        from tilewise.engine import file

        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        return cls(content, header[file._PLAN], load(content))


def mutant(original: Original, rng: random.Random) -> bytes:
    """Give a mutated file: raw bytes, or a changed plan or array under a right checksum."""
    from safetensors.numpy import save

    from tilewise.engine import file

    if rng.random() < 0.2:
        return mutate_bytes(original.content, rng)
    plan, arrays = json.loads(original.plan), dict(original.arrays)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        if rng.random() < 0.7 and plan:
            mutate_plan(plan, rng)
        elif arrays:
            mutate_arrays(arrays, rng)
    text = json.dumps(plan)
    return bytes(save(arrays, metadata={file._PLAN: text, file._CHECKSUM: file._checksum(text, arrays)}))


def attempt(path: Path) -> str:
    """Load a file and run it; say how that ended."""
    from tilewise.engine import load

    try:
        engine = load(path)
    except ValueError:
        return "refused"
    if engine.plan.arena_bytes > MAX_RUN:
        return "too large to run"
    engine(np.ones((1, *engine.plan.input_shape), np.float32))
    return "ran"


def run(folder: Path, mutations: int, seed: int) -> dict[str, int]:
    """Try mutants of all files in turn; give how often which end was met."""
    originals = [Original.read(path) for path in sorted(folder.glob("*.tilewise"))]
    if not originals:
        raise FileNotFoundError(f"no files in {folder}; first: {Path(__file__).name} make {folder}")
    ends: dict[str, int] = {}
    path = folder / f"mutant-{seed}"
    for i in range(mutations):
        path.write_bytes(mutant(originals[i % len(originals)], random.Random(seed * 1_000_003 + i)))
        try:
            end = attempt(path)
        except BaseException:
            print(f"mutation {i} of seed {seed} failed: {path.rename(folder / f'failed-{seed}-{i}')}", file=sys.stderr)
            raise
        ends[end] = ends.get(end, 0) + 1
    path.unlink(missing_ok=True)
    return ends


def use_native(path: Path) -> None:
    """Take this build of the native part instead of the installed one."""
    spec = importlib.util.spec_from_file_location("tilewise._native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import tilewise

    sys.modules["tilewise._native"] = tilewise._native = module  # type: ignore[attr-defined]


def main() -> None:
    """Run an action."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "run"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--native", type=Path)
    options = parser.parse_args()
    if options.native is not None:
        use_native(options.native)
    if options.action == "make":
        make(options.folder)
    else:
        print(f"{options.mutations} mutants: {run(options.folder, options.mutations, options.seed)}")


if __name__ == "__main__":
    main()
