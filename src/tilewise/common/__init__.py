"""What every part may use: files, progress bars, processes, replaced modules, padding, calls that take turns.

Each module is imported on its own, so that what needs no torch does not import it.
"""

from __future__ import annotations
