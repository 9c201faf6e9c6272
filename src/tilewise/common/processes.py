"""The processes that train one model together: what each takes of a batch, and what they tell each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """One process among those that train together; alone, every method gives back what it was given.

    All of them must call the same methods in the same order: each call waits for the others.

    Parameters
    ----------
    rank : int
        Which one this is.
    world : int
        How many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> Self:
        """Give those of torch's default process group; this one alone where there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0

    def part(self, batch: Tensor) -> Tensor:
        """Give this process's part of a batch: neighbours, and of all parts no two differ by more than one in size."""
        return batch if self.world == 1 else batch.tensor_split(self.world)[self.rank]

    def sum(self, values: Tensor) -> Tensor:
        """Add up the tensors of all processes, which have one shape."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def maximum(self, values: Tensor) -> Tensor:
        """Give the largest of all processes' values, element by element."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def gather(self, values: Tensor) -> Tensor:
        """Stack the tensors of all processes, which have one shape: (world, ...)."""
        if self.world == 1:
            return values[None]
        parts = [torch.empty_like(values) for _ in range(self.world)]
        dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes, in one message; parameters without one are without one in all."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.world == 1 or not gradients:
            return
        flat = self.sum(torch.cat([g.flatten() for g in gradients]))
        for gradient, summed in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view(gradient.shape))

    def from_first(self, make: Callable[[], T]) -> T:
        """Let the first process make something, and give it to all."""
        if self.world == 1:
            return make()
        made = [make() if self.first else None]
        dist.broadcast_object_list(made)
        return made[0]  # type: ignore[return-value]

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.world > 1:
            dist.barrier()

    def _reduced(self, values: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        if self.world == 1:
            return values
        values = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(values, operation)
        return values


ALONE = Processes()
