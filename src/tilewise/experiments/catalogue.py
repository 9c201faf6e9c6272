"""All studies by name."""

from __future__ import annotations

from tilewise.experiments import (
    adapt,
    architectures,
    dense,
    grid,
    lenet,
    movement,
    plain,
    residues,
    scratch,
    stages,
    swap,
    transforms,
    untrained,
    wins,
)
from tilewise.experiments.runs import Study

SCORED = (
    plain.STUDY, swap.STUDY, scratch.STUDY, adapt.STUDY, lenet.STUDY, architectures.STUDY, transforms.STUDY,
    untrained.ACCURACY, untrained.ENLARGING, wins.STUDY, wins.FRONT,
)  # fmt: skip
TIMED = (grid.STUDY, stages.STUDY, dense.STUDY, movement.STUDY, residues.STUDY)
STUDIES: dict[str, Study] = {study.name: study for study in (*SCORED, *TIMED)}
