"""All studies by name."""

from __future__ import annotations

from tilewise.experiments import adapt, lenet, scratch, swap, untrained
from tilewise.experiments.runs import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (swap.STUDY, scratch.STUDY, adapt.STUDY, lenet.STUDY, untrained.ACCURACY, untrained.ENLARGING)
}
