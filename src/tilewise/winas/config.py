"""How to search: a frozen config."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tilewise.quant import Direct, Exact, Spec, Winograd
from tilewise.train.config import TrainConfig

WA_Q = (8, 10, 32)
"""The paper's widths for WA-Q. 10 bits stand for its int16: up to there the engine can prove most layers' sums."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Settings of one search.

    Parameters
    ----------
    algorithms : tuple of str
        Candidates of every layer that fast algorithms serve, ``"direct"`` or names of the catalogue. The others are
        direct. ``"exact"`` is no candidate beside direct at 8 bits but another way to its numbers: every such layer
        then is the faster of the two (docs/guide/search.md).
    widths : tuple of int
        Bit widths of the candidates. One is the paper's mode WA (algorithm free), several its WA-Q (width free too).
    transforms : {"static", "learned"}
        Of the fast candidates.
    epochs : int
        Passes over the training batches, each step one of the weights and one of the architecture.
    lr : float
        Peak learning rate of the weights, AdamW with warm-up and cosine (the ``"modern"`` recipe).
    arch_lr : float
        Learning rate of the architecture parameters ``a``, Adam without momentum.
    lambda1 : float
        Weight of ``||a||^2``.
    lambda2 : float
        Price of latency: what the loss may rise for a saving as large as the latency of the whole network with first
        candidates. Being relative, it means the same on a slower machine. With a budget, the price within it.
    budget_ms : float, optional
        Latency that the found network must keep, in milliseconds; the price rises with the excess over it.
    freeze_norms : bool
        Keep the statistics of batch normalisation, as for adapting a trained network.
    out : path, optional
        Run folder for ``last.safetensors`` (to resume), ``log.jsonl`` and the found architectures.
    resume : bool
        Continue from ``out/last.safetensors``; start afresh if there is none.
    device : str
        Such as ``"cpu"`` or ``"cuda"``.
    seed : int
        Of the sampled paths.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    algorithms: tuple[str, ...] = ("direct", "F2", "F4")
    widths: tuple[int, ...] = (8,)
    transforms: Literal["static", "learned"] = "static"
    epochs: int = 2
    lr: float = 2e-4
    arch_lr: float = 0.03
    lambda1: float = 1e-4
    lambda2: float = 0.1
    budget_ms: float | None = None
    freeze_norms: bool = True
    out: str | Path | None = None
    resume: bool = False
    device: str = "cpu"
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for field in ("algorithms", "widths"):
            values = getattr(self, field)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{field} is {values!r}; it must name at least one candidate, each once")
        if Exact.kind in self.algorithms and not (Direct.kind in self.algorithms and Exact.bits in self.widths):
            raise ValueError(
                f"algorithms is {self.algorithms!r} at {self.widths!r} bits, but exact has the numbers of direct at "
                f"{Exact.bits} bits; allowed with it: direct among the algorithms and {Exact.bits} among the widths"
            )
        for field in ("lambda1", "lambda2"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field} is {value}; it must be finite and not negative")
        if not (math.isfinite(self.arch_lr) and self.arch_lr > 0):
            raise ValueError(f"arch_lr is {self.arch_lr}; it must be positive and finite")
        if self.budget_ms is not None and not (math.isfinite(self.budget_ms) and self.budget_ms > 0):
            raise ValueError(f"budget_ms is {self.budget_ms}; it must be positive and finite")
        self.weights()
        self.specs()

    def weights(self, phases: int = 1) -> TrainConfig:
        """Settings of the weight steps of a search in so many phases; the same checks."""
        return TrainConfig(
            epochs=phases * self.epochs, lr=self.lr, freeze_norms=self.freeze_norms, out=self.out, resume=self.resume,
            device=self.device, seed=self.seed,
        )  # fmt: skip

    def specs(self) -> list[Spec]:
        """Return all candidates, as a layer that every algorithm serves has them; each has numbers of its own."""
        return [self._spec(name, bits) for bits in self.widths for name in self.algorithms if name != Exact.kind]

    def _spec(self, name: str, bits: int) -> Spec:
        if name == "direct":
            return Direct(bits=bits)
        return Winograd(name, bits=bits, transforms=self.transforms)

    def identity(self) -> dict[str, Any]:
        """What must agree for one search to be the continuation of another, in JSON's types."""
        free = ("out", "resume", "device", "progress")
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if k not in free}
