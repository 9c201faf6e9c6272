"""A compiled network as Python writes it: tensors by name, operations in order, arrays; plain data, no torch.

What each operation has is declared once, natively (``native/operations/``); the native reader checks every number.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

PROGRAM, CHECKSUM = "tilewise_program", "tilewise_checksum"
ALIGNMENT = 64
STORED = {"int8": "I8", "int16": "I16", "uint16": "U16", "int32": "I32", "int64": "I64", "float32": "F32"}
"""What the file calls the types of arrays."""


@cache
def schema() -> dict[str, Any]:
    """Return the version of the format, and the operations with their fields."""
    from tilewise import _native

    found: dict[str, Any] = json.loads(_native.schema())
    return found


def kinds(op: str) -> dict[str, str]:
    """Return the kinds of the fields of an operation, by their names."""
    return {entry["name"]: entry["kind"] for entry in schema()["operations"][op]}


def is_array(kind: str) -> bool:
    """Whether a field of this kind is an array."""
    return kind.startswith("array")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled network, without sizes.

    Parameters
    ----------
    tensors : tuple of dict
        ``name``, ``channels``, ``dtype``; of integers ``step``, ``factor``, ``low``, ``high`` too.
    operations : tuple of dict
        ``op``, ``name`` and those fields of the operation that are not arrays, in the order in which they run.
    arrays : dict of str to array
        The others, named ``"<position of the operation>.<field>"``.
    """

    tensors: tuple[dict[str, Any], ...]
    operations: tuple[dict[str, Any], ...]
    arrays: dict[str, NDArray[Any]] = field(repr=False)

    def fields(self, i: int) -> dict[str, Any]:
        """Return all fields of operation ``i``, arrays among them."""
        prefix = f"{i}."
        own = {key.removeprefix(prefix): value for key, value in self.arrays.items() if key.startswith(prefix)}
        return {**self.operations[i], **own}

    def with_operation(self, i: int, op: str, fields: dict[str, Any]) -> Program:
        """Return the program with another operation in the place of operation ``i``, of the same name."""
        plain, arrays = split_fields(op, fields)
        kept = {key: value for key, value in self.arrays.items() if key.partition(".")[0] != str(i)}
        entry = {"op": op, "name": self.operations[i]["name"], **plain}
        return Program(
            tensors=self.tensors,
            operations=(*self.operations[:i], entry, *self.operations[i + 1 :]),
            arrays=kept | {f"{i}.{name}": value for name, value in arrays.items()},
        )

    def to_bytes(self) -> bytes:
        """Return the ``.tilewise`` file (docs/contracts/file.md)."""
        text = json.dumps(
            {"version": schema()["version"], "tensors": self.tensors, "operations": self.operations}, allow_nan=False
        )
        arrays = {name: np.ascontiguousarray(self.arrays[name]) for name in sorted(self.arrays)}
        header: dict[str, Any] = {"__metadata__": {PROGRAM: text, CHECKSUM: _checksum(text, arrays)}}
        end = 0
        for name, array in arrays.items():
            begin = -(-end // ALIGNMENT) * ALIGNMENT
            end = begin + array.nbytes
            header[name] = {"dtype": STORED[str(array.dtype)], "shape": list(array.shape), "data_offsets": [begin, end]}
        content = json.dumps(header).encode()
        content += b" " * (-(len(content) + 8) % ALIGNMENT)
        pieces = [len(content).to_bytes(8, "little"), content]
        end = 0
        for name, array in arrays.items():
            begin, stop = header[name]["data_offsets"]
            pieces += [b"\0" * (begin - end), array.tobytes()]
            end = stop
        return b"".join(pieces)


def read_program(content: bytes) -> Program:
    """Return the program that a ``.tilewise`` file holds.

    Only what the native reader has accepted should be read here: nothing is checked again.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header.pop("__metadata__")[PROGRAM])
    names = {stored: name for name, stored in STORED.items()}
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(content, np.uint8, end - begin, 8 + length + begin)
        arrays[name] = values.view(names[entry["dtype"]]).reshape(entry["shape"])
    return Program(tensors=tuple(description["tensors"]), operations=tuple(description["operations"]), arrays=arrays)


def split_fields(op: str, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return those fields of an operation that go into its description, and its arrays; None stands for no array."""
    plain, arrays = {}, {}
    for name, kind in kinds(op).items():
        value = fields.get(name)
        if is_array(kind):
            if value is not None:
                arrays[name] = value
        else:
            plain[name] = value
    if unknown := sorted(set(fields) - set(kinds(op))):
        raise AssertionError(f"{op} has no field {unknown[0]}")
    return plain, arrays


def _checksum(text: str, arrays: dict[str, NDArray[Any]]) -> str:
    """Return the CRC-32 of the text, and of names, types, shapes and bytes of all arrays: finds damage, not malice."""
    total = zlib.crc32(text.encode())
    for name, array in arrays.items():
        shape = ",".join(map(str, array.shape))
        total = zlib.crc32(f"{name} {array.dtype} {shape}".encode(), total)
        total = zlib.crc32(array.tobytes(), total)
    return f"{total:08x}"


Layout = Literal["NCHW", "NHWC"]
