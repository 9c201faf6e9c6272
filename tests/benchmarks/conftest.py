from __future__ import annotations

import sys
from pathlib import Path

# Scripts find what lies beside them; here somebody has to say where it is.
HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "benchmarks"), str(HERE.parent)]
