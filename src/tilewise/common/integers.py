"""Up to where floating point types hold every integer."""

from __future__ import annotations

FLOAT16_INTEGERS = 2**11
FLOAT32_INTEGERS = 2**24
FLOAT64_INTEGERS = 2**53
