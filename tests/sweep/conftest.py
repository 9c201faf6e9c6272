"""Lets the tests, and Ray's workers, import ``commands_to_run``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
