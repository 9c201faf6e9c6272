"""What a user of a wheel does first, where there is neither torch nor a compiler."""

from __future__ import annotations

import importlib.util
import shutil
import sys

import numpy as np

import tilewise as tw

assert importlib.util.find_spec("torch") is None
assert shutil.which("cc") is None

engine = tw.load(sys.argv[1])
y = engine(np.zeros((1, 1, 8, 8), np.float32))
try:
    tw.Engine(b"damaged")
except ValueError as error:  # a C++ exception, through what is linked
    assert "it has 7 bytes" in str(error)  # noqa: PT017 - there is no pytest
print(engine.kernel_set, y.shape, y.argmax())
