"""How well a grid of latencies predicts layers between its points: sizes off the grid, interpolated and measured.

    python -m tilewise.experiments.latency_interpolation --grid FILE --between FILE --out FILE

Both tables are measured, as far as the files do not have them yet; then each layer of the second one is predicted from
the first one alone. Errors are given by candidate.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from tilewise.latency import CANDIDATES, Convolution
from tilewise.latency.grid import measure_grid
from tilewise.latency.shape_grid import ShapeGrid

GRID = ShapeGrid()
BETWEEN = ShapeGrid(channels=(24, 48, 96, 192), resolutions=(7, 12, 28), ratios=(1.0, 1.5))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=Path, required=True)
    parser.add_argument("--between", type=Path, required=True)
    parser.add_argument("--candidates", nargs="+", default=CANDIDATES)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    given = {"candidates": options.candidates, "rounds": options.rounds, "threads": options.threads}
    known = measure_grid(GRID, out=options.grid, **given)
    errors: dict[str, list[float]] = defaultdict(list)
    rows = []
    for record in measure_grid(BETWEEN, out=options.between, **given):
        if isinstance(record.work, Convolution):
            predicted = known.seconds_of(record.work)
            error = predicted / record.seconds - 1
            errors[str(record.work.candidate)].append(error)
            rows.append({"layer": str(record.work), "predicted": predicted, "measured": record.seconds, "error": error})
    errors["all"] = [error for found in list(errors.values()) for error in found]
    for candidate, found in errors.items():
        size = np.abs(found)
        print(f"{candidate}: median error {np.median(found):+.1%}; half of the errors are below {np.median(size):.1%} "
              f"in size, 90 % below {np.quantile(size, 0.9):.1%}")  # fmt: skip
    options.out.write_text(json.dumps({"machine": str(known.machine), "layers": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
