"""The command that tells what there is here: versions, kernel sets."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from tilewise.commands.options import Common


@dataclass(frozen=True, kw_only=True)
class Info:
    """Versions, and what this machine has."""

    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Print them."""
        import importlib.metadata
        import importlib.util

        def version(name: str) -> str | None:
            try:
                return importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return None

        result: dict[str, Any] = {
            "tilewise": version("tilewise"),
            "python": platform.python_version(),
            "torch": version("torch"),
            "machine": platform.machine(),
        }
        for key, value in result.items():
            print(f"{key}: {value}")
        if importlib.util.find_spec("tilewise._native") is None:
            print("the native part is not built: training works, the engine does not")
            return {**result, "kernel_sets": []}
        from tilewise.engine.interface import c_interface

        folders = {name: str(folder) for name, folder in c_interface().items()}
        for name, value in folders.items():
            print(f"C interface, {name}: {value}")
        return {**result, "c_interface": folders, "kernel_sets": self._kernel_sets()}

    def _kernel_sets(self) -> list[dict[str, Any]]:
        """List what this build can compute with, and how fast a core is at it."""
        from tilewise import _native

        table = Table(title="Kernel sets, best first; TILEWISE_ISA=NAME forces one")
        for column in ("name", "here", "int8 GOP/s", "fp32 GOP/s", "cache GB/s", "memory GB/s", "description"):
            table.add_column(column, justify="right" if "/s" in column else "left")
        rows: list[dict[str, Any]] = []
        for kernels in _native.kernel_sets():
            peaks = dict(_native.measure_peaks(kernels["name"])) if kernels["supported"] else {}
            rows.append({**kernels, "peaks": peaks})
            numbers = [f"{value / 1e9:.0f}" if value else "" for value in peaks.values()] or [""] * 4  # type: ignore[operator]
            table.add_row(kernels["name"], "yes" if kernels["supported"] else "no", *numbers, kernels["description"])
        Console(width=150).print(table)
        print(f"operations: {', '.join(rows[0]['kernels'])}")
        return rows
