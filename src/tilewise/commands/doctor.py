"""The command that says which algorithm a network's layers bear."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from tilewise.commands.options import Common, Source, load_images, plain_model
from tilewise.commands.outputs import Picture


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say for each layer and algorithm what error it would cause, alone, and which layers would collapse."""

    source: Source
    algorithms: tuple[str, ...] = ()
    """What to try on each layer; NAME/tensor has one scale for all taps. By default direct, F2, SFC6, F4, F6 and
    F4-textbook/tensor."""
    bits: int = 8
    """2 to 16."""
    images: int = 256
    """Training images to look at."""
    out: Picture | None = None
    """Draw the layers' errors into this PNG file."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Examine."""
        from tilewise.calibration.doctor import ALGORITHMS, doctor
        from tilewise.data import Batches
        from tilewise.quant import Winograd
        from tilewise.report.doctor import doctor_table, plot_doctor

        if self.images < 1:
            raise ValueError(f"images is {self.images}; it must be at least 1")
        train = load_images(self.source, "train")
        model = plain_model(self.source, train)
        sample = train.subset(min(self.images, len(train)), seed=self.common.seed)
        found = doctor(
            model, Batches(sample, 64), algorithms=self.algorithms or ALGORITHMS, bits=self.bits, progress=True
        )
        Console(width=120).print(doctor_table(found))
        for name, spec in found.specs.items():
            print(f"{name}: {spec.algorithm if isinstance(spec, Winograd) else 'direct'}")
        collapses = [f"{f.layer} ({f.algorithm})" for f in found.findings if f.verdict == "collapses"]
        if collapses:
            print(f"{len(collapses)} of {len(found.findings)} COLLAPSE: {', '.join(collapses)}")
        if self.out is not None:
            plot_doctor(found, self.out)
        return found.to_dict()
