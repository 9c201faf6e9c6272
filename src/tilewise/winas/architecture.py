"""What a search finds: specs by layer, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilewise.common.files import read_json, write_json
from tilewise.quant import FLOAT_BITS, Spec, Winograd, spec_from_dict

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One found network.

    Parameters
    ----------
    specs : mapping of str to Spec
        By layer name, every convolution; what :func:`tilewise.convert` takes.
    expected_seconds : float
        What the latency table says of it.
    baseline_seconds : float
        What the table says of the network with every layer's first candidate.
    budget_seconds : float or None
        What it had to keep.
    lambda2 : float
        The price of latency at the end of the search.
    probabilities : mapping of str to mapping of str to float
        By layer that had a choice: how likely each candidate was, by :func:`label`.
    """

    specs: Mapping[str, Spec]
    expected_seconds: float
    baseline_seconds: float
    budget_seconds: float | None
    lambda2: float
    probabilities: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {
            "version": VERSION,
            "specs": {name: spec.to_dict() for name, spec in self.specs.items()},
            "expected_seconds": self.expected_seconds,
            "baseline_seconds": self.baseline_seconds,
            "budget_seconds": self.budget_seconds,
            "lambda2": self.lambda2,
            "probabilities": {name: dict(shares) for name, shares in self.probabilities.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Read the JSON form.

        Raises
        ------
        ValueError
            If the version is unknown, a field is missing or unknown, or a spec is not allowed.
        """
        values = dict(data)
        if (version := values.pop("version", None)) != VERSION:
            raise ValueError(f"architecture version is {version!r}; this release reads version {VERSION}")
        fields = cls.__dataclass_fields__
        if wrong := sorted(fields.keys() ^ values):
            raise ValueError(f"architecture lacks or does not know {', '.join(wrong)}; its fields: {', '.join(fields)}")
        specs = {name: spec_from_dict(spec) for name, spec in values.pop("specs").items()}
        return cls(specs=specs, **values)

    def save(self, path: str | Path) -> None:
        """Write a JSON file, replacing an existing one atomically."""
        write_json(Path(path), self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Architecture:
        """Read a file of :meth:`save`.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is not JSON, or not such an architecture.
        """
        try:
            return cls.from_dict(read_json(path))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} holds no architecture: {error}") from error


def load_specs(path: str | Path) -> dict[str, Spec]:
    """Read the specs by layer of a file: an architecture's, or those that ``tilewise doctor`` recommends.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it holds none.
    """
    try:
        return {name: spec_from_dict(spec) for name, spec in read_json(path)["specs"].items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path} holds no specs by layer: {error!r}") from error


def label(spec: Spec) -> str:
    """Name a candidate briefly: ``"F4 int8"``, ``"direct fp32"``."""
    width = "fp32" if spec.bits == FLOAT_BITS else f"int{spec.bits}"
    return f"{algorithm_of(spec)} {width}"


def algorithm_of(spec: Spec) -> str:
    """Name a spec's algorithm, or its kind if it leaves that open: ``"direct"``, ``"exact"``, ``"residue"``."""
    if not isinstance(spec, Winograd):
        return spec.kind
    return spec.algorithm if isinstance(spec.algorithm, str) else spec.algorithm.name
