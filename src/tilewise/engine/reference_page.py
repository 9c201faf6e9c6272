"""Writes docs/contracts/file.md from what the operations declare: ``python -m tilewise.engine.reference_page PAGE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tilewise.engine.program import ALIGNMENT, CHECKSUM, PROGRAM, STORED, Program, schema, split_fields

OPENING = """\
# The file

*`python -m tilewise.engine.reference_page docs/contracts/file.md` writes this page from what the
native operations declare.*

`engine.save("net.tilewise")` writes one file, which `tw.load` and `tilewise_load` read. It holds a
network for images of any size that the network allows: operations in order, tensors with their
channels and grids, arrays of weights. It holds no heights, widths, numbers of images or addresses:
the engine finds those for the images at hand. This page describes version {version}.

## The container

The file has the layout of safetensors, little-endian:

| bytes | what |
|---|---|
| 8 | length of the header, a multiple of 8 |
| that many | the header, JSON; spaces may follow it |
| the rest | the bytes of the arrays |

The header holds, for each array, `{{"dtype": "I8", "shape": [..], "data_offsets": [begin, end]}}`,
where the offsets count from the end of the header. Each array begins at a multiple of its
element's size. Types are {types}. We write arrays of large
elements first, without gaps, after a header that ends at a multiple of {alignment}.

Under `__metadata__` the header holds two texts:

- `{program}`: the program, JSON;
- `{checksum}`: 8 hexadecimal digits, the CRC-32 (as zlib has it) of the program's text and
  then, in the order of their names, of each array's `name type extent,extent...`, where a type is
  `int8` or such, and its bytes.

The checksum finds damage, not malice.

## The program

| field | what |
|---|---|
| `version` | {version}; a file of another version is refused with the words what to do |
| `tensors` | a list: what operations read and write, by number from 0 on |
| `operations` | a list, in the order in which they run |

**A tensor** has a `name`, 1 to 65536 `channels`, and a `dtype`: `float32`, `bfloat16`, `uint8` or
`int16`. The last two have a grid too: `step` and `factor`, numbers above 0, and `low` and `high`,
whole numbers. A number x is stored as `q = clamp(floor(x * factor + 0.5), low, high)` and stands
for `q * step` ([the number contract](numbers.md)). Of `int16`, `low` is -32767 to 0 and `high` at
most 32767. Of `uint8`, `low` is -255 to 0 and `high` at most `low + 255`; bytes hold `q` if `low`
is 0, else `q + 128` if `low` and `high` are in -128 .. 127, else `q - low`. Every tensor is written
by one operation, before others read it.

**An operation** has an `op`, a `name` (where it stands in the model), and the fields listed below,
all of them. Fields that are arrays are no part of this text: they are arrays of the file with the
name `<position of the operation>.<field>`. An array that an operation may lack is left out.

| kind | what it is |
|---|---|
| tensor | number of a tensor; "or null" where there may be none |
| written tensor | number of the tensor that the operation writes |
| integer, integers | a whole number within limits, or a list of so many |
| flag | `true` or `false` |
| number | a finite number, 0 or above |
| limit | a number, or `null` for none |
| text | at most 256 bytes |
| array | of one of these types, with so many axes |

A program has at least one `input` and one `output`. Inputs and outputs have names that callers use.

## Operations
"""

EXAMPLE = """\
## An example

A convolution of 3 to 8 channels and an activation, on 8-bit images, with a float result:

```json
{text}
```

and its arrays:

{arrays}
"""

CLOSING = """\
## What is checked

Nothing in a file is run, and nothing is trusted. The native reader checks the presence, type and
range of every field, and every index, extent and number of an array, before anything is allocated.
What makes integer arithmetic exact is proved anew: that no sum leaves 32 bits, that a lossless
convolution is one. Whatever a size decides is checked when images of that size come. Each fault
ends in one error that names the operation, the value and what is allowed.

Checkpoints, latency tables and what the measuring program reads are [other formats](formats.md).
"""

ABOUT = {
    "input": "Images that a caller gives become a tensor.",
    "output": "A tensor becomes a result.",
    "direct": "A convolution as a sum over windows; linear layers are one, too.",
    "fast": "A convolution by a bilinear algorithm: transform, multiply tap by tap, transform back.",
    "wrapping": "An 8-bit convolution by sums that wrap around in 32 bits: the numbers of `direct`.",
    "residue": "An 8-bit convolution by residues modulo small numbers: the numbers of `direct`.",
    "pool": "The maximum or mean of windows of one size.",
    "adaptive_pool": "The maximum or mean of windows that share the image by a number of outputs.",
    "reduce": "A sum, mean or maximum over all channels, or over all pixels.",
    "eltwise": "`clamp(x * scale + bias + residual)`, each part optional; also changes type or grid.",
    "binary": "Two tensors, element by element; what has an extent of 1 serves all.",
    "norm": "`(x - mean) / sqrt(variance + eps) * scale + bias`, with the image's own statistics.",
    "softmax": "The softmax over the channels of each pixel.",
    "gather": "Pixels and channels put elsewhere: slices, zero padding, concatenation, flips.",
    "pixel_shuffle": "Channels become pixels.",
    "rearrange": "Numbers moved among channels, rows and columns: permutes that no view can do.",
    "resize": "Interpolation to the size of a tensor, to a given size, or by factors.",
}
"""What operations do, in a sentence."""


def page() -> str:
    """Return the text of the page."""
    found = schema()
    types = ", ".join(f"`{stored}`" for stored in STORED.values())
    opening = OPENING.format(
        version=found["version"], alignment=ALIGNMENT, types=types, program=PROGRAM, checksum=CHECKSUM
    )
    parts = [opening, *(_operation(op, fields) for op, fields in found["operations"].items())]
    program = example()
    description = {"version": found["version"], "tensors": program.tensors, "operations": program.operations}
    arrays = [f"- `{name}`: {array.dtype}, {list(array.shape)}" for name, array in program.arrays.items()]
    parts += [EXAMPLE.format(text=_lines(description), arrays="\n".join(arrays)), CLOSING]
    return "\n".join(parts)


def example() -> Program:
    """Return a program of three operations."""
    grid = {"step": 0.0625, "factor": 16.0, "low": -127, "high": 127}
    tensors = ({"name": "x", "channels": 3, "dtype": "uint8", **grid}, {"name": "0", "channels": 8, "dtype": "float32"})
    weight = np.arange(8 * 3 * 3 * 3, dtype=np.int64) % 17 - 8
    fields: list[dict[str, Any]] = [
        {"op": "input", "name": "x", "y": 0, "size": [0, 0], "multiple": [1, 1]},
        {
            "op": "direct", "name": "0", "x": 0, "y": 1, "weight": weight.astype(np.int8).reshape(8, 3, 3, 3),
            "scale": np.full(8, 0.01, np.float32), "bias": np.zeros(8, np.float32), "stride": [1, 1],
            "padding": [1, 1, 1, 1], "dilation": [1, 1], "ordered": False, "whole": False, "residual": None,
            "act_low": 0.0, "act_high": None, "function": "",
        },
        {"op": "output", "name": "output", "x": 1, "channels_last": False, "values": 0},
    ]  # fmt: skip
    operations: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for i, operation in enumerate(fields):
        op, name = operation.pop("op"), operation.pop("name")
        plain, own = split_fields(op, operation)
        operations.append({"op": op, "name": name, **plain})
        arrays |= {f"{i}.{field}": array for field, array in own.items()}
    return Program(tensors=tensors, operations=tuple(operations), arrays=arrays)


def text(what: str) -> str:
    """Return Markdown that shows a text as it is."""
    return what.replace("*", r"\*")


def _operation(op: str, fields: list[dict[str, Any]]) -> str:
    about = f"{ABOUT[op]}\n\n" if op in ABOUT else ""
    rows = [f"| `{entry['name']}` | {_kind(entry)} | {text(entry['what'])} |\n" for entry in fields]
    return f"### `{op}`\n\n{about}| field | kind | what |\n|---|---|---|\n{''.join(rows)}"


def _kind(entry: dict[str, Any]) -> str:
    """Return a field's kind and limits."""
    kind = str(entry["kind"])
    if kind.startswith("array"):
        axes = f"{entry['axes']} {'axis' if entry['axes'] == 1 else 'axes'}"
        none = ", or none" if kind.endswith("none") else ""
        return f"array of {' or '.join(entry['dtypes'])}, {axes}{none}"
    if "low" in entry:
        many = f"{entry['count']} integers" if "count" in entry else "integer"
        return f"{many}, {entry['low']} to {entry['high']}"
    return {"tensor or none": "tensor or null", "tensors": "list of tensors", "real": "number"}.get(kind, kind)


def _lines(description: dict[str, Any]) -> str:
    """Return JSON with a line for each tensor and operation."""
    parts = []
    for name, value in description.items():
        many = isinstance(value, tuple)
        lines = ",\n".join(f"    {json.dumps(item)}" for item in value) if many else ""
        parts.append(f'  "{name}": [\n{lines}\n  ]' if many else f'  "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
