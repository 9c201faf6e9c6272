"""A sample in a folder, its numbers mapped: all workers share one copy of VGG-16's half gigabyte."""

from __future__ import annotations

import mmap
import pickle
from pathlib import Path

from peers.net import Sample

_ALIGNMENT = 64


def write_sample(sample: Sample, folder: Path) -> None:
    """Write the structure and the numbers to files of their own."""
    buffers: list[pickle.PickleBuffer] = []
    structure = pickle.dumps(sample, protocol=5, buffer_callback=buffers.append)
    places = []
    (folder / "numbers").unlink(missing_ok=True)  # not truncated: somebody may have the last one mapped
    with (folder / "numbers").open("wb") as file:
        for buffer in buffers:
            raw = buffer.raw()
            places.append((file.tell(), raw.nbytes))
            file.write(raw)
            file.write(bytes(-file.tell() % _ALIGNMENT))
    (folder / "structure").write_bytes(pickle.dumps((structure, places)))


def read_sample(folder: Path) -> Sample:
    """Read a sample; whoever writes to its arrays gets pages of his own."""
    structure, places = pickle.loads((folder / "structure").read_bytes())  # noqa: S301 - the driver's own file
    with (folder / "numbers").open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    sample: Sample = pickle.loads(structure, buffers=[mapped[a : a + n] for a, n in places])  # noqa: S301 - the same
    return sample
