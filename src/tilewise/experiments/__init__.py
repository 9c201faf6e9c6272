"""The papers' tables and figures, and what docs/results holds, as recipes that can be run.

Most are commands of their own, to be called from the repository's root: ``python -m tilewise.experiments.NAME``.
"""

from __future__ import annotations
