"""ONNX files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import fx

from tilewise.doors.building import OPEN_SIZES, Builder
from tilewise.doors.operators import HANDLERS
from tilewise.doors.reading import read_onnx


def from_onnx(path: str | Path, *, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> fx.GraphModule:
    """Read an ONNX network as a torch module, to be converted, trained and compiled like any other.

    Convolutions, linear layers and norms become torch's own modules, under the names of the file's operations. The
    module serves any number of images, and other sizes where the file leaves them open. Needs the ``onnx`` extra.

    Parameters
    ----------
    path : path
        An ``.onnx`` file. External data has to lie in its folder.
    inputs, outputs : sequence of str, optional
        Tensors of the file, as Netron shows them: only what lies between them is read, so a network need not be the
        whole file. By default the file's own inputs and outputs.

    Returns
    -------
    torch.fx.GraphModule
        In evaluation mode. It takes the file's inputs in their order; several results are a dict by their names.

    Raises
    ------
    ValueError
        If the file is damaged, of a newer operator set, claims impossible sizes or data outside its folder, or has
        operators that are not read: all of them are named. Also if it has no tensor of a name that is given.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> model = tilewise.from_onnx("detector.onnx")
    >>> model = tilewise.convert(model, {"*": tilewise.Direct(bits=8)})
    """
    path = Path(path)
    graph = read_onnx(path, inputs, outputs)
    is_open = any(None in shape[1:] for shape in graph.inputs.values())
    errors = []
    for size in OPEN_SIZES if is_open else OPEN_SIZES[:1]:
        try:
            with _quiet():
                return Builder(graph, HANDLERS, size).run()
        except ValueError as error:  # some networks serve one height only, and their files do not say so
            errors.append(error)
    raise ValueError(f"{path}: {errors[0]}") from errors[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from writing down operations that can not be tried: the error says it."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was
