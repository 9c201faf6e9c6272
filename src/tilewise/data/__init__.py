"""Data sets by name, whole in memory, and batches of them as tensors."""

from __future__ import annotations

from tilewise.data.batches import Batches
from tilewise.data.images import Images
from tilewise.data.loading import NAMES, load

__all__ = ["NAMES", "Batches", "Images", "load"]
