"""A network as the engine runs it: tensors at fixed places, operations in order, weights; plain data, no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

VERSION = 3
ITEM_BYTES = {"uint8": 1, "int16": 2, "bfloat16": 2, "float32": 4}
"""Types of tensors."""

MAX_COUNT = 16384
MAX_INT = 2**48


class Array(NamedTuple):
    """What an array of an operation has to be."""

    dtypes: tuple[str, ...]
    ndim: int
    optional: bool = False


_FLOATS = Array(("float32",), 1)
_CONV = {"x": "index", "y": "index", "residual": "index or none", "act_low": "limit", "act_high": "limit"}
_WEIGHTS = ("int8", "int16", "uint16", "float32")  # uint16: the bits of bfloat16

TENSOR = {
    "height": "count", "width": "count", "channels": "count", "stride": "count", "offset": "size", "dtype": "dtype",
    "step": "real", "factor": "real", "low": "integer", "high": "integer",
}  # fmt: skip
"""Fields of a tensor, as the native ``Plan.add_tensor`` takes them."""

OPERATIONS: dict[str, dict[str, Any]] = {
    "import_nchw": {"y": "index"},
    "export_nchw": {"x": "index"},
    "direct": {
        **_CONV, "weight": Array(_WEIGHTS, 4), "scale": _FLOATS._replace(optional=True), "bias": _FLOATS,
        "stride": "pair", "padding": "pair", "dilation": "pair", "unfused": "flag",
    },
    "fast": {
        **_CONV, "algorithm": "text", "bt": Array(("float32",), 2), "at": Array(("float32",), 2), "integer": "flag",
        "u": Array(_WEIGHTS, 3), "mult": Array(("int32",), 2, optional=True),
        "scale": Array(("float32",), 2, optional=True), "v_limit": "count", "fraction_bits": "count",
        "bias": _FLOATS, "stride": "count", "padding": "pair", "block": "size",
    },
    "exact": {
        **_CONV, "algorithm": "text", "at": Array(("int32",), 2), "g": Array(("int32",), 2), "bt": Array(("int32",), 2),
        "weight": Array(("int8",), 4), "scale": _FLOATS, "bias": _FLOATS, "padding": "pair", "block": "size",
    },
    "residue": {
        **_CONV, "algorithm": "text", "m": "count", "moduli": Array(("int64",), 1),
        "weight": Array(("int8",), 4), "scale": _FLOATS, "bias": _FLOATS, "padding": "pair", "block": "size",
    },
    "pool": {
        "x": "index", "y": "index", "maximum": "flag", "rows": Array(("int64",), 2), "cols": Array(("int64",), 2),
        "divisor": "size",
    },
    "eltwise": {**_CONV, "scale": _FLOATS._replace(optional=True), "bias": _FLOATS._replace(optional=True)},
    "gather": {
        "x": "index", "y": "index", "rows": Array(("int64",), 1), "cols": Array(("int64",), 1), "first": "size",
        "clear": "flag",
    },
    "pixel_shuffle": {"x": "index", "y": "index", "factor": "count"},
    "resize": {
        "x": "index", "y": "index", "rows": Array(("int64",), 2), "cols": Array(("int64",), 2),
        "row_weights": _FLOATS, "col_weights": _FLOATS,
    },
}  # fmt: skip
"""Fields of each operation beside its name, as the native ``Plan``'s methods of these names take them."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A compiled network.

    Parameters
    ----------
    batch : int
        Images that go through at once; more come in pieces of this size.
    arena_bytes : int
        Memory of all tensors.
    input_shape : (int, int, int)
        C, H, W of an image.
    output_shape : tuple of int
        Of an image's result.
    tensors : tuple of dict
        The fields of ``TENSOR``.
    nodes : tuple of dict
        ``op``, ``name`` and those fields of ``OPERATIONS`` that are not arrays, in the order in which they run.
    arrays : dict of str to array
        The others, named ``"<position of the node>.<field>"``.
    version : int
        Of this format.

    Raises
    ------
    ValueError
        If a field is missing, unknown or of a wrong type. Sizes and positions are for the native ``Plan`` to judge.
    """

    batch: int
    arena_bytes: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    tensors: tuple[dict[str, Any], ...]
    nodes: tuple[dict[str, Any], ...]
    arrays: dict[str, NDArray[Any]] = field(repr=False)
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(f"the plan is of version {self.version!r}; this release reads version {VERSION}")
        _check("plan", "batch", self.batch, "count")
        _check("plan", "arena_bytes", self.arena_bytes, "size")
        _check("plan", "input_shape", self.input_shape, "shape")
        _check("plan", "output_shape", self.output_shape, "shape")
        if len(self.input_shape) != 3:
            raise ValueError(f"plan: input_shape is {self.input_shape}; allowed: C, H, W")
        for name, items in (("tensors", self.tensors), ("nodes", self.nodes)):
            if not isinstance(items, tuple) or not 1 <= len(items) <= MAX_COUNT:
                raise ValueError(f"plan: {name} is no list of 1 to {MAX_COUNT} items")
        for i, tensor in enumerate(self.tensors):
            _check_fields(f"tensor {i}", tensor, TENSOR)
        wanted: set[str] = set()
        for i, node in enumerate(self.nodes):
            wanted |= self._check_node(i, node)
        if unknown := sorted(set(self.arrays) - wanted):
            raise ValueError(f"plan: there is no place for the array {unknown[0]!r}")
        self._check_ends()

    def _check_node(self, i: int, node: Any) -> set[str]:
        """Check an operation; give the names of its arrays."""
        op = node.get("op") if isinstance(node, dict) else None
        if not isinstance(op, str) or op not in OPERATIONS:
            raise ValueError(f"node {i}: op is {op!r}; allowed: {', '.join(OPERATIONS)}")
        fields = OPERATIONS[op]
        plain = {"op": "text", "name": "text"} | {k: v for k, v in fields.items() if not isinstance(v, Array)}
        _check_fields(f"node {i}", node, plain)
        names = set()
        for name, wanted in fields.items():
            if not isinstance(wanted, Array):
                continue
            key = f"{i}.{name}"
            value = self.arrays.get(key)
            if value is None and not wanted.optional:
                raise ValueError(f"node {i} ({op}): {name} is missing")
            if value is not None:
                names.add(key)
                if str(value.dtype) not in wanted.dtypes or value.ndim != wanted.ndim:
                    allowed = f"{' or '.join(wanted.dtypes)} of {wanted.ndim} axes"
                    raise ValueError(
                        f"node {i} ({op}): {name} is {value.dtype} of {value.ndim} axes; allowed: {allowed}"
                    )
        return names

    def _check_ends(self) -> None:
        """Hold the shapes that callers see against the first and the last operation."""
        first, last = self.nodes[0], self.nodes[-1]
        if first["op"] != "import_nchw" or last["op"] != "export_nchw":
            raise ValueError(f"plan: it goes from {first['op']} to {last['op']}; allowed: import_nchw to export_nchw")
        chw = self._chw(first["y"])
        if self.input_shape != chw:
            raise ValueError(f"plan: input_shape is {self.input_shape}; its tensor is {chw}")
        chw = self._chw(last["x"])
        if self.output_shape not in {chw, (math.prod(chw),)}:
            raise ValueError(f"plan: output_shape is {self.output_shape}; its tensor is {chw}")

    @property
    def output_chw(self) -> tuple[int, ...]:
        """Channels, height and width of the tensor that the result is read from."""
        return self._chw(self.nodes[-1]["x"])

    def _chw(self, number: int) -> tuple[int, ...]:
        if number >= len(self.tensors):
            raise ValueError(f"plan: there is no tensor {number}")
        return tuple(self.tensors[number][axis] for axis in ("channels", "height", "width"))

    def native(self) -> Any:
        """Build the native plan.

        Raises
        ------
        ValueError
            If a size or a position is not possible.
        """
        from tilewise import _native

        plan = _native.Plan(batch=self.batch, arena_bytes=self.arena_bytes)
        for tensor in self.tensors:
            plan.add_tensor(**tensor)
        for i, node in enumerate(self.nodes):
            values = {k: v for k, v in node.items() if k != "op"}
            for name, kind in OPERATIONS[node["op"]].items():
                if isinstance(kind, Array):
                    values[name] = self.arrays.get(f"{i}.{name}")
                elif kind == "limit" and values[name] is None:
                    values[name] = -math.inf if name == "act_low" else math.inf
            getattr(plan, node["op"])(**values)
        return plan


def _check_fields(where: str, values: Any, fields: Mapping[str, str]) -> None:
    """Check that ``values`` has exactly these fields, each of its kind."""
    if not isinstance(values, dict):
        raise ValueError(f"{where} is {type(values).__name__}; allowed: an object")  # noqa: TRY004 - a file's content
    if missing := [name for name in fields if name not in values]:
        raise ValueError(f"{where} lacks {missing[0]}")
    if unknown := [name for name in values if name not in fields]:
        raise ValueError(f"{where} has the unknown field {unknown[0]!r}")
    for name, kind in fields.items():
        _check(where, name, values[name], kind)


def _is_int(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= MAX_INT


def _is_real(value: Any) -> bool:
    return _is_int(value, -MAX_INT) or (isinstance(value, float) and math.isfinite(value))


_KINDS: dict[str, tuple[Any, str]] = {
    "count": (lambda v: _is_int(v, 1), "an integer of at least 1"),
    "size": (lambda v: _is_int(v, 0), "an integer of at least 0"),
    "integer": (lambda v: _is_int(v, -MAX_INT), "an integer"),
    "index": (lambda v: _is_int(v, 0), "the number of a tensor"),
    "index or none": (lambda v: v is None or _is_int(v, 0), "the number of a tensor, or none"),
    "real": (_is_real, "a finite number"),
    "limit": (lambda v: v is None or _is_real(v), "a finite number, or none"),
    "flag": (lambda v: isinstance(v, bool), "true or false"),
    "text": (lambda v: isinstance(v, str) and 1 <= len(v.encode()) <= 256, "a text of 1 to 256 bytes"),
    "dtype": (lambda v: isinstance(v, str) and v in ITEM_BYTES, ", ".join(ITEM_BYTES)),
    "pair": (lambda v: _is_shape(v) and len(v) == 2, "two integers of at least 0"),
    "shape": (lambda v: _is_shape(v) and len(v) <= 3, "up to three integers"),
}


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_int(v, 0) for v in value)


def _check(where: str, name: str, value: Any, kind: str) -> None:
    is_allowed, allowed = _KINDS[kind]
    if not is_allowed(value):
        text = repr(value)
        raise ValueError(f"{where}: {name} is {text[:60]}; allowed: {allowed}")
