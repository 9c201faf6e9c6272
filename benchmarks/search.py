"""Count from how many seeds the search finds known answers.

python benchmarks/search.py [--seeds 10] [--out docs/results/search/known.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from tilewise.common.progress import track
from tilewise.studies.synthetic import PROBLEMS


def main() -> None:
    """Solve each problem from each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts = {}
    for name, problem in PROBLEMS.items():
        seeds = track(range(arguments.seeds), name, enabled=True)
        counts[name] = sum(problem.solved(seed) for seed in seeds)
        print(f"{name}: {counts[name]} of {arguments.seeds} seeds")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"seeds": arguments.seeds, "solved": counts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
