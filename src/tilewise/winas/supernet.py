"""The super-network: every layer holds its candidates, of which a step runs one or two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from tilewise.common.modules import replace_modules
from tilewise.engine.lossless import worth_measuring
from tilewise.nn import Conv2d, QuantizedConv, WinogradConv2d, is_plain, plain_copy, unsuitable, unwrapped
from tilewise.quant import Direct, Exact, Spec
from tilewise.winas.config import SearchConfig


class Choice(nn.Module):
    """A convolution that is any of its candidates.

    Candidates share one weight and one bias; ranges and learned transforms are each one's own.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        Gives weight and bias, which stay its own parameters.
    specs : sequence of Spec
        The candidates.
    """

    def __init__(self, conv: nn.Conv2d, specs: Sequence[Spec]) -> None:
        super().__init__()
        self.candidates = nn.ModuleList(_layer(conv, spec) for spec in specs)
        self.paths: tuple[int, ...] = (0,)
        """Which candidates run: one, or the two that the gates belong to."""
        self.gates: Tensor | None = None
        """Factors of the two, shape (2,): 1 and 0."""

    def candidate(self, index: int) -> QuantizedConv:
        """Return one of the candidates."""
        layer = self.candidates[index]
        assert isinstance(layer, QuantizedConv)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` of shape (N, C, H, W) by the chosen path; when calibrating, let all candidates see it."""
        if self.candidate(0).calibrating:
            first, *_ = self._outputs(x, range(len(self.candidates)))
            return first
        outputs = self._outputs(x, self.paths)
        if self.gates is None:
            (y,) = outputs
            return y
        # Binary gates: the value is the active path's, the gradient of a gate says what its path would change.
        return self.gates[0] * outputs[0] + self.gates[1] * outputs[1]

    def _outputs(self, x: Tensor, indices: Iterable[int]) -> list[Tensor]:
        return [self.candidates[i](x) for i in indices]


class SuperNet:
    """A model with a :class:`Choice` wherever a layer has more than one candidate.

    Parameters
    ----------
    model : torch.nn.Module
        Plain; it is not changed.
    config : SearchConfig
        Names the candidates.

    Raises
    ------
    ValueError
        If the model has no layer with a choice.
    """

    def __init__(self, model: nn.Module, config: SearchConfig) -> None:
        self.model = plain_copy(unwrapped(model))
        self.choices: dict[str, Choice] = {}
        self.ways: dict[str, list[list[Spec]]] = {}
        """Of every convolution, in the model's order: for each of its candidates the specs with its very numbers."""
        replacement: dict[nn.Module, nn.Module] = {}
        for name, conv in list(self.model.named_modules()):
            if isinstance(conv, nn.Conv2d) and is_plain(conv):
                specs = candidates(conv, config)
                self.ways[name] = [ways(conv, spec, config) for spec in specs]
                if len(specs) > 1:
                    replacement[conv] = self.choices[name] = Choice(conv, specs)
                else:
                    replacement[conv] = _layer(conv, specs[0])
        if not self.choices:
            raise ValueError(
                f"no layer has a choice among {', '.join(config.algorithms)} at {config.widths} bits; "
                "name more algorithms or widths"
            )
        self.model = replace_modules(self.model, replacement)

    def parameters(self) -> dict[str, Tensor]:
        """Return weights, ranges and statistics by name, shared ones once."""
        return dict(self.model.named_parameters()) | dict(self.model.named_buffers())

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what :meth:`parameters` gave.

        Raises
        ------
        ValueError
            If names or shapes do not fit.
        """
        own = self.parameters()
        shapes, given = ({n: t.shape for n, t in group.items()} for group in (own, tensors))
        if misfits := sorted(n for n in shapes.keys() | given if shapes.get(n) != given.get(n)):
            raise ValueError(f"the search to be resumed is one of another network: {misfits[0]} does not fit")
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def candidates(conv: nn.Conv2d, config: SearchConfig) -> list[Spec]:
    """Return what a layer can become: of the config's specs those that serve it, or else direct ones.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        The layer.
    config : SearchConfig
        Names the candidates.
    """
    served = [spec for spec in config.specs() if isinstance(spec, Direct) or not unsuitable(conv, spec)]
    return served or [Direct(bits=bits) for bits in config.widths]


def ways(conv: nn.Conv2d, spec: Spec, config: SearchConfig) -> list[Spec]:
    """Return the specs that compute a candidate's very numbers: itself, and exact ones of direct int8 if asked for.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        The layer.
    spec : Spec
        The candidate.
    config : SearchConfig
        Says whether exact ones are asked for.
    """
    asked = Exact.kind in config.algorithms and spec == Direct(bits=Exact.bits)
    exact = worth_measuring(conv.kernel_size[0]) if asked else ()
    return [spec, *(other for other in exact if not unsuitable(conv, other))]


def _layer(conv: nn.Conv2d, spec: Spec) -> QuantizedConv:
    return (Conv2d if isinstance(spec, Direct) else WinogradConv2d).from_conv(conv, spec)
