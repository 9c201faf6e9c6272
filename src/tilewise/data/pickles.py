"""Reading the pickles in which CIFAR is published without running anything that they name.

A pickle is a program that may call whatever it can name. Here it can name five things, and they are not even
NumPy's: stand-ins record what NumPy would have been told, and the array is made afterwards from plain bytes.
"""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path


class PickledDtype:
    """Stands in for ``numpy.dtype``: any call and any state, of which only the type's name is kept."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: Any) -> None:
        pass


class PickledArray:
    """Stands in for ``numpy.ndarray`` and for the function that makes an empty one."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> npt.NDArray[np.uint8]:
        """Return the array, read-only.

        Raises
        ------
        ValueError
            If it is not of bytes, or its shape and its bytes do not fit.
        """
        if not (isinstance(self.state, tuple) and len(self.state) == 5):
            raise ValueError("the array is incomplete")
        _, shape, dtype, fortran, raw = self.state
        if not (isinstance(dtype, PickledDtype) and dtype.code in ("u1", "|u1", "uint8")):
            raise ValueError(f"the array is of type {getattr(dtype, 'code', dtype)}, not of bytes (u1)")
        if not (isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)):
            raise ValueError(f"the array has shape {shape}")
        if not isinstance(raw, bytes) or len(raw) != math.prod(shape):
            size = len(raw) if isinstance(raw, bytes) else type(raw).__name__
            raise ValueError(f"the array of shape {shape} needs {math.prod(shape)} bytes, but has {size}")
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


class PickledBytes(bytes):
    """Stands in for ``_codecs.encode``, by which Python 3 writes bytes for Python 2."""

    __slots__ = ()

    def __new__(cls, text: str, encoding: str) -> Self:
        """Encode as Python 2 would have stored it."""
        if encoding != "latin1":
            raise ValueError(f"bytes are encoded as {encoding}, not as latin1")
        return super().__new__(cls, text.encode("latin1"))

    def __setstate__(self, state: Any) -> None:
        pass


# All are classes with a __setstate__. A pickle can therefore not alter them: to set the state of a class
# itself calls this method without an instance, which fails.
ALLOWED: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,  # before NumPy 2, as published
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,  # NumPy 2
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    ("_codecs", "encode"): PickledBytes,
}


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler to which only the names in ``ALLOWED`` exist."""

    def find_class(self, module: str, name: str, /) -> type:
        """Return the stand-in of an allowed name.

        Raises
        ------
        pickle.UnpicklingError
            For every other name.
        """
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is refused; it may hold arrays of bytes only"
            )
        return ALLOWED[module, name]


def read_pickle(path: Path) -> dict[str, Any]:
    """Read a pickled dict of plain values and byte arrays without running what it names.

    Returns
    -------
    dict
        Keys as str. Arrays are read-only and uint8; strings of Python 2 are bytes.

    Raises
    ------
    ValueError
        If the file is damaged, names anything but NumPy arrays, or is no dict of byte arrays and plain
        values. The message names the file.
    """
    try:
        with path.open("rb") as file:
            content = RestrictedUnpickler(file, encoding="bytes").load()
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not a dict")  # noqa: TRY004, TRY301
        return {
            _text(key): value.array() if isinstance(value, PickledArray) else value for key, value in content.items()
        }
    except (OSError, MemoryError):  # not the fault of the file
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path} is not a readable CIFAR pickle: {error}") from error


def _text(key: Any) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)
