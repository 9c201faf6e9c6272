"""What the quantized convolutions share: ranges, calibration, checks."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from tilewise.nn.frozen import Frozen
from tilewise.nn.norm import Affine, FoldedNorm
from tilewise.nn.policy import policy_of
from tilewise.nn.ranges import BatchRange
from tilewise.quant import FLOAT_BITS, QuantGrid, Spec
from tilewise.quant.fake import FixedRange, Range


class Fallback(NamedTuple):
    """Why a layer is not what was asked for."""

    asked: Spec
    reason: str


class QuantizedConv(nn.Conv2d):
    """A ``torch.nn.Conv2d`` that was given a spec.

    Being a Conv2d, it keeps weight and bias under their usual names, and can itself be converted again.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, **kwargs
        As in ``torch.nn.Conv2d``.
    spec : Spec
        What the layer is.
    fallback : Fallback, optional
        What was asked for instead, and why it is not that.

    Attributes
    ----------
    weight_step : Tensor of shape (K or 1, 1, 1, 1), or None
        Step of the weights of a direct layer, where it is given: of a network that another tool has quantized.
    """

    input_range: Range
    weight_step: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        spec: Spec,
        fallback: Fallback | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **kwargs)
        self.spec = spec
        self.policy = policy_of(spec.rules)
        self.fallback = fallback
        self.calibrating = False
        self.input_is_quantized = False
        """Whether a ``Quantize`` in front of the layer measures the input range, which the two share."""
        self.folded: Affine | None = None
        self.norm: tuple[FoldedNorm, ...] = ()
        """A batch norm after the layer that it takes in during evaluation; in a tuple, as the network owns it."""
        self.phases = 0
        """Output channels that a pixel shuffle makes one of, if the layer is that of a transposed convolution."""
        self.register_buffer("weight_step", None)
        self.register_buffer("input_scale", None)

    input_scale: Tensor | None
    """What channels of the input are multiplied by before they are quantized, (C,), powers of two; None: by nothing.

    The weights are those of the scaled input.
    """

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, spec: Any, fallback: Fallback | None = None) -> Self:
        """Build the layer around an existing convolution's own weight and bias, bit for bit.

        The range of the input, and steps that are given, carry over too if the source had them at the same width and by
        the same quantizer.
        """
        layer = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            spec=spec,
            fallback=fallback,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            device="meta",
        )
        layer.to_empty(device=conv.weight.device)
        layer.reset_ranges()
        layer.phases = getattr(conv, "phases", 0)
        layer.take(conv)
        return layer.train(conv.training)

    def take(self, conv: nn.Conv2d) -> None:
        """Take over another convolution's parameters and input range."""
        self.weight, self.bias = conv.weight, conv.bias
        scale = getattr(conv, "input_scale", None)
        self.input_scale = None if scale is None else scale.clone()
        source = getattr(conv, "input_range", None)
        target = getattr(self, "input_range", None)
        if not source or not target or (source.bits, source.quantizer) != (target.bits, target.quantizer):
            return
        if isinstance(source, FixedRange):
            self.input_range, self.weight_step = copy.deepcopy(source), getattr(conv, "weight_step", None)
        else:
            target.load_state_dict(source.state_dict())

    def fix(self, grid: QuantGrid, weight_step: Tensor) -> Self:
        """Take a grid for the input and steps for the weights as given, and return the layer.

        Parameters
        ----------
        grid : QuantGrid
            Of the input.
        weight_step : Tensor of shape (K or 1, 1, 1, 1)
            Weights are whole multiples of it, or are rounded to them.
        """
        self.input_range = FixedRange(grid, self.spec.rules, self.spec.bits).to(self.weight.device)
        self.weight_step = weight_step
        return self

    @torch.no_grad()
    def scale_input(self, scale: Tensor | None) -> None:
        """Multiply channels of the input by powers of two from now on, and divide the weights by them.

        Parameters
        ----------
        scale : Tensor of shape (in_channels,), or None
            None: by nothing.
        """
        old, new = (torch.ones(()) if s is None else s.view(1, -1, 1, 1) for s in (self.input_scale, scale))
        self.weight.mul_(old.to(self.weight) / new.to(self.weight))
        self.input_scale = None if scale is None else scale.to(self.weight)

    def scaled(self, x: Tensor) -> Tensor:
        """Return an input (N, C, H, W) with its channels scaled as the weights are made for."""
        return x if self.input_scale is None else x * self.input_scale.view(1, -1, 1, 1)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        scale = state_dict.get(f"{prefix}input_scale")
        self.input_scale = None if scale is None else torch.empty_like(scale, device=self.weight.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def add_range(self, name: str, bits: int, shape: tuple[int, ...] = ()) -> None:
        """Register a running range under ``name``."""
        self.add_module(name, Range(shape, self.spec.rules, bits))

    def reset_ranges(self) -> None:
        """Forget all observed ranges."""
        for module in self.children():
            if isinstance(module, Range):
                module.reset()

    def fold(self, alpha: Tensor, beta: Tensor) -> None:
        """Take in ``y * alpha + beta``, such as a batch norm after the layer, without touching an integer.

        The scale of the sums is multiplied by ``alpha``, the bias becomes ``bias * alpha + beta``. From then on the
        layer is for evaluation only.

        Parameters
        ----------
        alpha, beta : Tensor of shape (out_channels,)
            In the type of the weights; of a transposed convolution one number for all phases of a channel.

        Raises
        ------
        ValueError
            If a shape does not fit, or the layer has taken in another one already.
        """
        if self.affine() is not None:
            raise ValueError("the layer has taken in a factor and an offset already")
        channels = self.out_channels // max(1, self.phases)
        for name, value in (("alpha", alpha), ("beta", beta)):
            if value.shape != (channels,):
                raise ValueError(f"{name} has shape {tuple(value.shape)}; allowed: ({channels},)")
        self.folded = Affine(alpha.detach(), beta.detach())

    def affine(self) -> Affine | None:
        """What the layer has taken in, if anything."""
        found = self.folded or next((norm.folded() for norm in self.norm), None)
        if found is None or self.phases <= 1:
            return found
        return Affine(*(values.repeat_interleave(self.phases) for values in found))

    def folded_scale(self, scale: Tensor) -> Tensor:
        """Scale of the sums, shape (..., K or 1), with what was folded in."""
        affine = self.affine()
        return scale if affine is None else scale * affine.alpha

    def folded_bias(self) -> Tensor | None:
        """Bias with what was folded in."""
        affine = self.affine()
        if affine is None or self.bias is None:
            return self.bias if affine is None else affine.beta
        return self.bias * affine.alpha + affine.beta

    def folded_weight(self) -> Tensor:
        """Weights of a float layer with what was folded in."""
        affine = self.affine()
        return self.weight if affine is None else self.weight * affine.alpha.view(-1, 1, 1, 1)

    def add_bias(self, y: Tensor) -> Tensor:
        """Add the bias to ``y`` of shape (N, K, H, W)."""
        bias = self.folded_bias()
        return y if bias is None else y + bias.view(1, -1, 1, 1)

    def frozen(self) -> Frozen:
        """Return the layer's numbers as arrays, made from the very tensors that :meth:`forward` uses in evaluation.

        Raises
        ------
        RuntimeError
            If the layer is quantized and was never calibrated or trained.
        """
        raise NotImplementedError

    def get_range(self, name: str) -> Range:
        """Return the range registered under ``name``."""
        module = self.get_submodule(name)
        assert isinstance(module, Range)
        return module

    def observed(self, name: str) -> Range:
        """Return a range that has seen data.

        Raises
        ------
        RuntimeError
            If it has not, and the layer is not learning ranges now.
        """
        found = self.get_range(name)
        if not (found.ready or self.training or self.calibrating):
            raise RuntimeError(
                f"{type(self).__name__}({self.in_channels}, {self.out_channels}) has no {name.replace('_', ' ')} yet; "
                "calibrate(model, batches) or train it first"
            )
        return found

    def batch_range(self, name: str, x: Tensor) -> BatchRange:
        """Return what ``x`` is quantized by; an input that a ``Quantize`` has measured is not measured again."""
        chosen = self.observed(name)
        if self.input_is_quantized and name == "input_range":
            return BatchRange(chosen, self.training, shared=True)
        return BatchRange.learning(chosen, x, training=self.training, calibrating=self.calibrating)

    def quantized(self, name: str, x: Tensor, *, real: bool = False) -> tuple[Tensor, Tensor]:
        """Return the integers of ``x`` (``real``: times their step) and the step; learn from ``x`` if it is time to."""
        x = self.scaled(x) if name == "input_range" else x
        return self.batch_range(name, x).quantize(x, real=real)

    def observe(self, x: Tensor) -> None:
        """Let the ranges of a layer that is calibrating take in what it reads, computing no more than they need."""
        self.quantized("input_range", x)

    def check_input(self, x: Tensor) -> None:
        """Refuse what the layer can not take.

        Raises
        ------
        ValueError
            Naming the shape, the device or the data type, and what is allowed.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"input has shape {tuple(x.shape)}; allowed: (N, {self.in_channels}, H, W)")
        if self.folded is not None and self.training:
            raise RuntimeError("a layer that has taken in a batch norm serves evaluation only; train the original")
        if x.device != self.weight.device:
            raise ValueError(f"input is on {x.device}; the layer's weights are on {self.weight.device}")
        if x.dtype != self.weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(f"input is {x.dtype}; the layer's weights are {self.weight.dtype}")

    def extra_repr(self) -> str:
        """Append the spec to Conv2d's description."""
        bits = "float" if self.spec.bits == FLOAT_BITS else f"{self.spec.bits} bits"
        plain: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{plain}, {bits}" + (f", direct because {self.fallback.reason}" if self.fallback else "")
