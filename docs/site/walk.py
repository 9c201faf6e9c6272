"""Draw docs/results/walk.svg: how one tensor goes from ``tw.compile`` to its kernel, and one option to where it acts.

``python docs/site/walk.py`` draws it anew. Every step must lie in a room at or below the room of the step before it;
rooms are in the order of docs/architecture.md, from the door down. The script fails where a way goes back up.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("svg")
import itertools

import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
ROOMS = (
    "src/tilewise/cli.py", "src/tilewise/commands", "src/tilewise/train", "src/tilewise/engine",
    "src/tilewise/engine/operations", "src/tilewise/nn", "src/tilewise/quant", "native/bindings", "native/c_api",
    "native/engine", "native/program", "native/operations", "native/kernels",
)  # fmt: skip
"""From the door down."""


class Step(NamedTuple):
    """A place on a way: its file, and what happens there."""

    file: str
    what: str


TENSOR = (
    Step("src/tilewise/engine/compiler.py", "tw.compile(model, example)"),
    Step("src/tilewise/engine/capture.py", "torch.export, for any size"),
    Step("src/tilewise/engine/importer.py", "an operation of torch becomes a node"),
    Step("src/tilewise/engine/passes.py", "sums, activations, grids go to the node before"),
    Step("src/tilewise/engine/lower.py", "the node's tensor gets a number"),
    Step("src/tilewise/engine/program.py", "and lies in the file: name, channels, grid"),
    Step("native/bindings/engine.cpp", "bytes of the file go in"),
    Step("native/c_api/tilewise.cpp", "tilewise_load_memory, tilewise_run"),
    Step("native/engine/engine.cpp", "prepared for a size: the tensor gets memory"),
    Step("native/program/sizes.cpp", "its height and width, operation by operation"),
    Step("native/operations/fast/operation.cpp", "its operation is made"),
    Step("native/operations/fast/body.h", "the kernel of this machine's set"),
    Step("native/kernels/dot.h", "its bytes meet the weights"),
)
OPTION = (
    Step("src/tilewise/cli.py", "tilewise adapt --epochs 2"),
    Step("src/tilewise/commands/train.py", "Adapt holds a TrainConfig"),
    Step("src/tilewise/train/config.py", "epochs: int, written once, checked here"),
    Step("src/tilewise/train/loop.py", "so many times around"),
)


def room_of(file: str) -> int:
    """Return the number of the innermost room that a file lies in."""
    return max((len(room), i) for i, room in enumerate(ROOMS) if file == room or file.startswith(room + "/"))[1]


def check(way: tuple[Step, ...]) -> None:
    """Refuse a way with a missing file, or one that goes back up."""
    for before, after in itertools.pairwise(way):
        if room_of(after.file) < room_of(before.file):
            raise SystemExit(f"{after.file} lies above {before.file}")
    for step in way:
        if not (ROOT / step.file).is_file():
            raise SystemExit(f"there is no {step.file}")


def draw(path: Path) -> None:
    """Draw both ways, from the top down."""
    plt.rcParams |= {"font.size": 9, "svg.hashsalt": "walk", "svg.fonttype": "none"}
    figure, axes = plt.subplots(figsize=(10, 9.4))
    for column, (title, way) in enumerate((("One tensor's way", TENSOR), ("One option's way", OPTION))):
        x = 0.5 + 6.6 * column
        axes.text(x, 0.4, title, fontsize=12, fontweight="bold")
        for i, step in enumerate(way):
            y = -0.6 - i
            native = step.file.startswith("native")
            box = {"boxstyle": "round,pad=0.35", "facecolor": "#fdf0dd" if native else "#e4eefb", "edgecolor": "#667"}
            axes.text(x, y, f"{step.file.removeprefix('src/')}\n{step.what}", va="center", bbox=box)
            if i:
                axes.annotate("", (x + 0.2, y + 0.33), (x + 0.2, y + 0.67), arrowprops={"arrowstyle": "->"})
    axes.set_xlim(0.2, 13)
    axes.set_ylim(-0.8 - len(TENSOR), 0.9)
    axes.axis("off")
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    for steps in (TENSOR, OPTION):
        check(steps)
    draw(ROOT / "docs" / "results" / "walk.svg")
