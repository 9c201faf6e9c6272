"""Exact int8 layers against direct ones: time, stages and equality, layer by layer.

    python -m tilewise.experiments.lossless_layers [--rounds 15] [--batch 1] [--threads 1] [--json FILE]

Single layers with Gaussian weights: direct, and each exact algorithm that serves the kernel's size, with blocks of 12
to 48 tiles and as the engine chooses; the fastest block of each algorithm is kept. They take turns in every round,
three runs at a time, as in tuning; the median of the convolution's own time counts. Outputs are compared bit for bit.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tilewise.common.turns import in_turns
from tilewise.quant import Exact, Residue

WRAPPING = {3: ("F2", "F4", "SFC6"), 5: ("SFC6(5)", "SFC6", "SFC6(7)")}
TILES: dict[int, tuple[tuple[int, Literal[8, 13]], ...]] = {
    3: ((8, 13),),
    5: ((10, 13), (14, 13), (14, 8)),
}
"""Outputs and bits of moduli."""
CHANNELS = (16, 32, 64, 96, 128, 192, 256)
BLOCKS = (0, 12, 24, 48)
REPEATS = 3
STAGES = ("input_transform", "multiply", "output_transform")


def programs(layer: Any, batch: int) -> dict[tuple[str, int], Any]:
    """Return the direct program of a layer, and those of its exact algorithms by name and block."""
    from tilewise.engine.lossless import as_lossless
    from tilewise.engine.tuning import with_block
    from tilewise.latency.candidates import Candidate
    from tilewise.latency.layers import layer_program
    from tilewise.latency.shapes import LayerShape

    shape = LayerShape(
        batch=batch, in_channels=layer.channels, out_channels=layer.filters, kernel=(layer.r, layer.r),
        padding=(layer.r // 2, layer.r // 2), height=layer.size, width=layer.size,
    )  # fmt: skip
    direct = layer_program(shape, Candidate("direct", "int8"))
    direct.arrays["1.weight"] = gaussian(direct.arrays["1.weight"].shape)
    found = {("direct", 0): direct}
    for name, spec in specs(layer.r).items():
        exact = as_lossless(direct, 1, spec, shape.out)
        if exact is not None:
            found |= {(name, block): with_block(exact, block) for block in BLOCKS}
    return found


def gaussian(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Return weights as trained ones are spread: their sums, and so the moduli, are smaller than uniform ones'."""
    return np.clip(np.rint(np.random.default_rng(0).normal(size=shape) * 32), -127, 127).astype(np.int8)


def specs(r: int) -> dict[str, Exact | Residue]:
    """Return what is measured for a kernel size, by name."""
    found: dict[str, Exact | Residue] = {name: Exact(name) for name in WRAPPING[r]}
    return found | {f"F({m}), {bits} bits": Residue(tile=m, residue_bits=bits) for m, bits in TILES[r]}


def measure(layer: Any, batch: int, rounds: int, threads: int, kernel_set: str | None = None) -> list[dict[str, Any]]:
    """Measure one layer by everything, in turns."""
    import tilewise as tw

    engines = {
        key: tw.Engine(program.to_bytes(), threads=threads, batch=batch, kernel_set=kernel_set)
        for key, program in programs(layer, batch).items()
    }
    x = np.random.default_rng(0).normal(size=(batch, layer.channels, layer.size, layer.size)).astype(np.float32)
    wanted = engines["direct", 0](x)
    for key, engine in engines.items():
        np.testing.assert_array_equal(engine(x), wanted, err_msg=f"{layer.name} by {key}")
    profiles = {key: functools.partial(engine.profile, x, repeats=REPEATS) for key, engine in engines.items()}
    samples = {key: [rows[1] for rows in found] for key, found in in_turns(profiles, rounds).items()}
    median = {key: statistics.median(row["seconds"] for row in rows) for key, rows in samples.items()}
    rows = []
    for name in dict.fromkeys(key[0] for key in engines):
        block = min((key[1] for key in engines if key[0] == name), key=lambda b: median[name, b])
        quartiles = statistics.quantiles((row["seconds"] for row in samples[name, block]), n=4)
        stages = {stage: statistics.median(row[stage] for row in samples[name, block]) for stage in STAGES}
        rows.append(
            {
                **layer._asdict(), "batch": batch, "algorithm": name, "block": block, "seconds": median[name, block],
                "quartiles": [quartiles[0], quartiles[2]], "default_block": median[name, 0], "stages": stages,
            }
        )  # fmt: skip
    return rows


def draw(path: Path, picture: Path) -> None:
    """Draw what was measured."""
    from tilewise.experiments.lossless_pictures import measured_figure

    rows, channels = (
        json.loads(p.read_text())["rows"] for p in (path, path.with_name(path.stem + "-channels" + path.suffix))
    )
    measured_figure(rows, channels, picture)


def main() -> None:
    """Measure all layers, print and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("docs/results/exact-layers.json"))
    parser.add_argument("--channels", action="store_true", help="maps of 56x56 with 16 to 256 channels instead")
    parser.add_argument("--picture", type=Path, help="PNG of the rows so far, and of those of --channels beside them")
    options = parser.parse_args()

    from tilewise.experiments.lossless_counts import LAYERS, Layer
    from tilewise.latency.records import Machine

    if options.picture:
        draw(options.json, options.picture)
        return
    rows = []
    layers = [Layer("56x56", c, c, 56, r) for r in (3, 5) for c in CHANNELS] if options.channels else LAYERS
    for layer in layers:
        rows += (measured := measure(layer, options.batch, options.rounds, options.threads))
        direct = measured[0]["seconds"]
        cells = [f"{r['algorithm']} {1e6 * r['seconds']:.0f} us, {direct / r['seconds']:.2f}x" for r in measured]
        print(f"{layer.network} {layer.name}: {'; '.join(cells)}", flush=True)
    result = {"machine": vars(Machine.here(options.threads)), "rounds": options.rounds, "rows": rows}
    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
