"""The command about algorithms: which there are, and the search of better ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from tilewise.commands.lossless import CountLossless
from tilewise.commands.options import Common, Unchecked, config_of
from tilewise.discovery.simulation import Precision
from tilewise.discovery.transforms import TransformSearch


@dataclass(frozen=True, kw_only=True)
class ListAlgorithms:
    """The catalogue: products and reduction factors, proved as they are listed."""

    def result(self, seed: int) -> dict[str, Any]:  # noqa: ARG002 - nothing here is random
        """List them."""
        from tilewise.algebra import algorithm, algorithm_names
        from tilewise.algebra.catalogue import KERNELS, STRIDES

        table = Table(title="Bilinear algorithms, per two-dimensional tile")
        for column in (
            "kernel",
            "name",
            "outputs",
            "products",
            "direct",
            "reduction",
            "growth of V",
        ):
            table.add_column(column, justify="left" if column == "name" else "right")
        rows: list[dict[str, Any]] = []
        for stride, r in itertools.product(STRIDES, KERNELS):
            for name in algorithm_names(r, stride):
                a = algorithm(name, r, stride).verify()
                row = {
                    "name": name,
                    "r": r,
                    "stride": stride,
                    "m": a.m,
                    "products": a.taps,
                    "direct_products": (a.m * r) ** 2,
                    "reduction": float(a.multiplication_ratio()),
                    "input_growth": float(a.growth.input),
                }
                rows.append(row)
                kernel = f"{r}x{r}" + (f" /{stride}" if stride > 1 else "")
                table.add_row(
                    kernel, name, f"{a.m}x{a.m}", str(row["products"]), str(row["direct_products"]),
                    f"{row['reduction']:.2f}", f"{row['input_growth']:g}",
                )  # fmt: skip
            table.add_section()
        Console().print(table)
        return {"rows": rows}


@dataclass(frozen=True, kw_only=True)
class Widths(Unchecked, Precision):
    """Widths and scales of the layer that is simulated."""


@dataclass(frozen=True, kw_only=True)
class Transforms(Unchecked, TransformSearch):
    """What to search for, and how long."""

    m: int = 4
    r: int = 3
    precision: Precision = field(default_factory=Widths)
    seed: int = field(default=0, init=False)


@dataclass(frozen=True, kw_only=True)
class FindAlgorithm:
    """Search of interpolation points and scalings that lose less at few bits, saved as a file.

    The file stands wherever the name of an algorithm does: --algorithm found.json (docs/guide/algorithms.md).
    """

    out: Path
    """File to write, *.json."""
    search: Transforms = field(default_factory=Transforms)
    activations: Path | None = None
    """Input of a layer, (N, C, H, W) as .npy, instead of Gaussian noise; with --weights."""
    weights: Path | None = None
    """Weights of that layer, (K, C, r, r) as .npy."""

    def result(self, seed: int) -> dict[str, Any]:
        """Search, prove and save."""
        from tilewise.algebra.catalogue import is_file, textbook_points
        from tilewise.algebra.toom_cook import toom_cook
        from tilewise.discovery.transforms import find, held_out, operations

        if not is_file(self.out.name):
            raise ValueError(f"out is {self.out}; its name must end with .json")
        precision = config_of(Precision, self.search.precision)
        search = config_of(TransformSearch, self.search, precision=precision, seed=seed)
        sample = self._sample()
        found = find(search, sample, progress=True)
        found.save(self.out)
        usual = toom_cook(search.m, search.r, textbook_points(search.m, search.r))
        table = Table(title=f"F({search.m}, {search.r}), proved; saved to {self.out}")
        for column in ("points", "SQNR in dB", "operations", "growth of V"):
            table.add_column(column, justify="left" if column == "points" else "right")
        rows = [
            (f"found: {', '.join(map(str, found.place.points))}", found.algorithm, found.sqnr),
            ("textbook", usual, held_out(search, sample).sqnr(usual)),
        ]
        for label, algorithm, sqnr in rows:
            table.add_row(label, f"{sqnr:.1f}", str(operations(algorithm)), f"{float(algorithm.growth.input):g}")
        Console().print(table)
        return found.to_dict() | {"textbook_sqnr": rows[1][2]}

    def _sample(self) -> Any:
        """Load the given layer, if there is one."""
        import numpy as np

        from tilewise.discovery.simulation import LayerSample

        if self.activations is None and self.weights is None:
            return None
        if self.activations is None or self.weights is None:
            raise ValueError("one of --activations and --weights is missing; a layer takes both")
        return LayerSample(
            *(np.load(path, allow_pickle=False).astype(float) for path in (self.activations, self.weights))
        )


@dataclass(frozen=True, kw_only=True)
class ScoreAlgorithms:
    """Simulated SQNR of one 8-bit layer of Gaussian data in dB, with M at 8, 10 and 32 bits."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names or files; by default the catalogue and planar symbolic Fourier algorithms."""
    r: int = 3
    """Filter taps per dimension, where names are given or none."""
    balanced: bool = False
    """Scale rows of B and columns of A by powers of two first, so that all taps are about equally large."""

    def result(self, seed: int) -> dict[str, Any]:
        """Simulate them."""
        from tilewise.algebra import Bilinear, algorithm, algorithm_names
        from tilewise.algebra.catalogue import is_file, read_algorithm
        from tilewise.common.progress import track
        from tilewise.discovery.scores import planar, precisions, scores
        from tilewise.discovery.transforms import balanced

        names = self.names or algorithm_names(self.r)
        chosen = [read_algorithm(n) if is_file(n) else algorithm(n, self.r) for n in names]
        if self.balanced:
            chosen = [balanced(a) for a in chosen if isinstance(a, Bilinear)]
        elif not self.names:
            chosen += [a for a in planar(self.r) if a not in chosen]
        rows = scores(track(chosen, "simulating", enabled=True), seed=seed + 1)  # the search takes the seed itself
        table = Table(title="SQNR in dB: scales of U and V, scales of M, bits of M")
        table.add_column("name", no_wrap=True)
        columns = [f"{p.scales} {p.hadamard_scales} {p.hadamard_bits}" for p in precisions()]
        for column in ("products", "bits of V", *columns):
            table.add_column(column, justify="right")
        for row in rows:
            sqnr = (f"{x:.1f}" for x in row["sqnr"])
            table.add_row(row["name"], f"{row['products']:.2f}", str(row["v_bits"]), *sqnr)
        Console(width=150).print(table)
        return {"columns": columns, "rows": rows}


@dataclass(frozen=True, kw_only=True)
class CompareBases:
    """Simulated SQNR of one layer in dB where everything is quantized per tensor, in the canonical and Legendre's base.

    Input, weights, matrices, what lies between two matrices, U, V and M: as in the papers, not as our layers do it.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ("F2", "F4-textbook", "F4-barabasz", "F4", "F6")
    """Names of Toom-Cook algorithms."""
    r: int = 3
    """Filter taps per dimension."""

    def result(self, seed: int) -> dict[str, Any]:
        """Simulate them, each as it is and balanced."""
        from tilewise.algebra import Bilinear, algorithm
        from tilewise.common.progress import track
        from tilewise.discovery.bases import CONTRACTS, compared
        from tilewise.discovery.transforms import balanced

        named = [a for a in (algorithm(name, self.r) for name in self.names) if isinstance(a, Bilinear)]
        rows = compared(
            track([*named, *map(balanced, named)], "simulating", enabled=True), seed=seed + 1
        )  # the search takes the seed itself
        columns = [f"{c.bits} {c.matrix_bits} {c.hadamard_bits}" for c in CONTRACTS]
        table = Table(title="SQNR in dB: bits of tensors, of matrices, of M")
        for column in ("name", "base", *columns):
            table.add_column(column, justify="left" if column in ("name", "base") else "right")
        for row in rows:
            table.add_row(row["name"], row["base"], *(f"{sqnr:.1f}" for sqnr in row["sqnr"]))
        Console().print(table)
        return {"columns": columns, "rows": rows}


@dataclass(frozen=True, kw_only=True)
class Algorithms:
    """The catalogue; `search` finds better ones, `score` and `bases` compare them, `exact` counts exact int8."""

    do: (
        Annotated[ListAlgorithms, tyro.conf.subcommand("list")]
        | Annotated[FindAlgorithm, tyro.conf.subcommand("search")]
        | Annotated[ScoreAlgorithms, tyro.conf.subcommand("score")]
        | Annotated[CompareBases, tyro.conf.subcommand("bases")]
        | Annotated[CountLossless, tyro.conf.subcommand("exact")]
    ) = field(default_factory=ListAlgorithms)
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """List, or search."""
        return self.do.result(self.common.seed)
