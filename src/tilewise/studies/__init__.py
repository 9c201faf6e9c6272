"""The papers' tables and figures as runnable recipes."""

from __future__ import annotations
