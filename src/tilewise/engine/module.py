"""An engine as a torch module: one operator of ``torch.library``, which torch.export and torch.compile can hold."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from tilewise.engine.engine import Engine, remade

Key: TypeAlias = tuple[str, int, int, str]
"""Digest of the file, threads, batch and kernel set (none: the best) of an engine; engines of one key do the same."""
_alive: WeakValueDictionary[Key, Engine] = WeakValueDictionary()
_made: dict[Key, Engine] = {}
"""Engines of programs that another process captured: no module holds them."""


class EngineModule(nn.Module):
    """Runs an engine on tensors, as a part of a torch model.

    The network's file is a buffer of the module, so programs of torch.export keep it. It is no part of the state dict.

    Parameters
    ----------
    engine : Engine
        What runs.
    """

    program: Tensor

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        content = engine.content()
        self.key: Key = (hashlib.sha256(content).hexdigest(), engine.threads, engine.batch, engine.asked_set or "")
        self.inputs = tuple(entry.name for entry in engine.inputs)
        self.outputs = tuple(entry.name for entry in engine.outputs)
        self.register_buffer("program", torch.frombuffer(bytearray(content), dtype=torch.uint8), persistent=False)
        self.engine = _alive.setdefault(self.key, engine)

    def forward(self, *images: Tensor) -> Any:
        """Run the network.

        Parameters
        ----------
        *images : Tensors of shape (N, C, H, W), float32 or uint8
            One for each input.

        Returns
        -------
        Tensor, or dict of Tensors
            As the engine gives them.

        Raises
        ------
        ValueError, TypeError
            As the engine does.
        """
        if len(images) != len(self.inputs):
            raise ValueError(f"there are {len(images)} inputs; allowed: {', '.join(self.inputs)}")
        found = run(list(images), self.program, *self.key)
        return found[0] if len(self.outputs) == 1 else dict(zip(self.outputs, found, strict=True))

    def extra_repr(self) -> str:
        """Return what printing the module shows."""
        return f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}, threads={self.key[1]}"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "engine"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.engine = _engine(self.program, self.key)
        _alive[self.key] = self.engine
        _made.pop(self.key, None)


def to_module(engine: Engine) -> EngineModule:
    """Return an engine as a torch module, for a pipeline in torch.

    Programs of torch.export and torch.compile can contain it. It is one operator there, ``tilewise::run``, which a
    process knows that has imported ``tilewise.engine.module``. Any number of images may go through them; height and
    width are those that they were captured with.

    Parameters
    ----------
    engine : Engine
        Of :func:`tilewise.compile` or :func:`tilewise.load`.

    Returns
    -------
    torch.nn.Module
        Called with tensors on the CPU, one for each input. It has no parameters, and no gradient goes through it.

    Raises
    ------
    TypeError
        If ``engine`` is none.
    """
    if not isinstance(engine, Engine):
        raise TypeError(f"engine is {type(engine).__name__}; allowed: tilewise.Engine")
    return EngineModule(engine)


def _engine(program: Tensor, key: Key) -> Engine:
    """Return the engine of a key that lives already, or make it."""
    if (engine := _alive.get(key)) is None:
        _, threads, batch, kernel_set = key
        engine = _alive[key] = _made[key] = remade(program.numpy().tobytes(), threads, batch, kernel_set or None, ())
    return engine


@torch.library.custom_op("tilewise::run", mutates_args=())
def run(images: list[Tensor], program: Tensor, digest: str, threads: int, batch: int, kernel_set: str) -> list[Tensor]:
    """Run a network, whose file ``program`` holds, on images; results in the network's order."""
    found = _engine(program, (digest, threads, batch, kernel_set))(*images)
    return list(found.values()) if isinstance(found, dict) else [found]


@run.register_fake
def _shapes(
    images: list[Tensor], program: Tensor, digest: str, threads: int, batch: int, kernel_set: str
) -> list[Tensor]:
    engine = _engine(program, (digest, threads, batch, kernel_set))
    # Any number of images; what is known of height and width must be numbers, from which those of results follow.
    found = engine.prepare(*((1, *map(int, x.shape[1:])) for x in images))  # type: ignore[arg-type]
    return [torch.empty((images[0].shape[0], *found[output.name][1:]), device="cpu") for output in engine.outputs]


def _no_gradient(_: Any, *_gradients: Any) -> Any:
    raise RuntimeError(
        "no gradient goes through an engine, which computes in integers; train the model before it is compiled, or "
        "detach() what the engine gives"
    )


run.register_autograd(_no_gradient)
