"""Data sets by name, whole in memory, and batches of them as tensors."""

from __future__ import annotations

from tilewise.data.batches import Batches
from tilewise.data.images import Images
from tilewise.data.known import Known, load_known
from tilewise.data.loading import NAMES, load
from tilewise.data.own import is_own, load_own
from tilewise.data.pairs import PAIRS, Pairs, load_pairs
from tilewise.data.scenes import SCENES, Scenes, load_scenes

__all__ = [
    "NAMES", "PAIRS", "SCENES", "Batches", "Images", "Known", "Pairs", "Scenes", "is_own", "load", "load_known",
    "load_own", "load_pairs", "load_scenes",
]  # fmt: skip
