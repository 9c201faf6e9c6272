"""All studies by name."""

from __future__ import annotations

from tilewise.experiments import adapt, dense, grid, lenet, movement, residues, scratch, stages, swap, untrained, wins
from tilewise.experiments.runs import Study

SCORED = (swap.STUDY, scratch.STUDY, adapt.STUDY, lenet.STUDY, untrained.ACCURACY, untrained.ENLARGING, wins.STUDY)
TIMED = (grid.STUDY, stages.STUDY, dense.STUDY, movement.STUDY, residues.STUDY)
STUDIES: dict[str, Study] = {study.name: study for study in (*SCORED, *TIMED)}
