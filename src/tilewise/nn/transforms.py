"""Where a layer's ``A^T``, ``G`` and ``B^T`` come from: fixed, or learned in one of three structures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tilewise.algebra import Algorithm
from tilewise.quant.quantizer import TRANSFORM_ROW_SUM, transform_bits

Matrices: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""``A^T``, ``G`` and ``B^T``."""


class Static:
    """The algorithm's own matrices.

    Parameters
    ----------
    algorithm : Bilinear or Planar
        With integer ``A^T`` and ``B^T``.
    """

    names: ClassVar[tuple[str, ...]] = ()
    """Of the parameters."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._own: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}

    def start(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the parameters as they begin."""
        return {}

    def used(self, parameters: Mapping[str, Tensor], like: Tensor) -> Matrices:  # noqa: ARG002 - there are none
        """Return the matrices in the type of ``like``, from what is trained."""
        return self.own(like)

    def own(self, like: Tensor) -> Matrices:
        """The algorithm's matrices, rounded from the rationals once into each type, so that double() is not second."""
        key = like.dtype, like.device
        if key not in self._own:
            with torch.inference_mode(mode=False):  # kept, so it must serve training later
                matrices = self.algorithm.to_float()
                self._own[key] = [torch.as_tensor(x, dtype=key[0], device=key[1]) for x in matrices]
        at, g, bt = self._own[key]
        return at, g, bt


class Dense(Static):
    """Every entry is learned ("flex" in the 2020 paper)."""

    names = ("AT", "G", "BT")

    def start(self) -> dict[str, npt.NDArray[np.float64]]:
        """The three matrices."""
        return dict(zip(self.names, self.algorithm.to_float(), strict=True))

    def used(self, parameters: Mapping[str, Tensor], like: Tensor) -> Matrices:  # noqa: ARG002 - theirs is the type
        """Return the matrices as they are trained."""
        return parameters["AT"], parameters["G"], parameters["BT"]


class Sparse(Dense):
    """Entries of the algorithm that are 0, 1 or -1 stay exactly that; all others are learned.

    So additions stay additions, and matrices that hold nothing else, such as the ``B^T`` of F2 and of symbolic Fourier
    algorithms, stay what they are.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        super().__init__(algorithm)
        matrices = (algorithm.AT, algorithm.G, algorithm.BT)
        self._learned = [torch.tensor([[abs(x) not in (0, 1) for x in row] for row in matrix]) for matrix in matrices]
        self._grid = transform_bits(algorithm.BT)

    def used(self, parameters: Mapping[str, Tensor], like: Tensor) -> Matrices:
        """Return the matrices, with what is kept in place."""
        trained, own = super().used(parameters, like), self.own(like)
        self._learned = [mask.to(like.device) for mask in self._learned]
        at, g, bt = (torch.where(m, x, kept) for m, x, kept in zip(self._learned, trained, own, strict=True))
        return at, g, bt if self._grid is None else self._within(bt, self._learned[2], self._grid)

    @staticmethod
    def _within(bt: Tensor, learned: Tensor, grid: int) -> Tensor:
        """Keep rows within the bound of the grid of ``B^T`` by their learned entries alone.

        Otherwise the grid would scale the whole row.
        """
        sizes = bt.detach().abs()
        room = (TRANSFORM_ROW_SUM - bt.shape[1] / 2) * 2.0**-grid - (sizes * ~learned).sum(1, keepdim=True)
        sums = (sizes * learned).sum(1, keepdim=True)
        return torch.where(learned, bt * (room / sums.clamp_min(1e-30)).clamp_max(1), bt)
