"""The Winograd-aware convolution: trains through exactly what will run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tilewise.algebra import Algorithm
from tilewise.common.integers import FLOAT32_INTEGERS
from tilewise.nn import native
from tilewise.nn.base import QuantizedConv
from tilewise.nn.frozen import Frozen, array, integer_type
from tilewise.nn.function import Requantization, tile_domain
from tilewise.nn.points import Interpolating
from tilewise.nn.serving import STRUCTURES, unservable
from tilewise.nn.stages import Tiling, input_transform, multiply, requantize_, tiling_of, weight_transform
from tilewise.nn.transforms import Static
from tilewise.quant import FLOAT_BITS, QuantGrid, Winograd
from tilewise.quant.fake import multiplier, quantize
from tilewise.quant.quantizer import fraction_bits, largest_v


class WinogradConv2d(QuantizedConv):
    """Convolution by a bilinear algorithm, every stage quantized as ``spec`` says.

    ``Y = A^T [ (G g G^T) * (B^T d B) ] A`` per tile, one matrix product per tap. The input is quantized per tensor; V
    by a fixed-point multiplier per tap; U, which takes in V's step, per tap and output channel; M stays exact.
    A planar algorithm's matrices stand for whole tiles: ``Y = A^T [ (G g) * (B^T d) ]``.
    docs/contracts/numbers.md is the contract. Any height and width; stride 1 or 2; with stride 1 any dilation.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size : int or (int, int)
        ``(r, r)``, square.
    spec : Winograd
        Algorithm, bits, scales, transforms, quantizer.
    **kwargs
        stride, padding, bias, device, dtype as in ``torch.nn.Conv2d``.

    Raises
    ------
    ValueError
        If the layer is one that a fast algorithm can not serve (see :func:`unservable`).

    References
    ----------
    Fernandez-Marques et al., "Searching for Winograd-aware Quantized Networks", MLSys 2020, section 4.
    """

    spec: Winograd
    balance: Tensor
    AT: nn.Parameter
    G: nn.Parameter
    BT: nn.Parameter
    points: nn.Parameter
    row_exponents: nn.Parameter
    column_exponents: nn.Parameter

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        spec: Winograd,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, spec=spec, **kwargs)
        if why := unservable(self, spec):
            raise ValueError(f"a fast algorithm can not serve this layer: {why}")
        self.algorithm: Algorithm = spec.resolve(self.kernel_size[0], self.stride[0])
        self.v_max = largest_v(self.algorithm, spec.bits)
        self.structure: Static = STRUCTURES[spec.transforms](self.algorithm)
        taps = self.algorithm.taps
        self.reset_transforms()
        if spec.bits != FLOAT_BITS:
            self.add_range("input_range", spec.bits)
            self.add_range("v_range", spec.bits, (taps, in_channels))
            if spec.product_bits != FLOAT_BITS:
                self.add_range("product_range", spec.product_bits)
            for name in self.policy.fast_ranges:
                self.add_range(name, spec.bits)
            self.fraction_bits = fraction_bits(self.v_max)
            self.transform_bits = self.policy.transform_bits(self)
            # Balances the ranges of V and U per tap and input channel: V is divided by it, U multiplied.
            self.register_buffer("balance", torch.ones(taps, in_channels))

    def take(self, conv: nn.Conv2d) -> None:
        """Take over another convolution's parameters and input range."""
        super().take(conv)
        if self.spec.bits != FLOAT_BITS:
            self.balance = torch.ones_like(self.balance)
        self.reset_transforms()

    def reset_transforms(self) -> None:
        """Set learned transforms back to the algorithm's own."""
        for name, start in self.structure.start().items():
            value = torch.as_tensor(start, dtype=self.weight.dtype, device=self.weight.device)
            setattr(self, name, nn.Parameter(value))

    def transforms(self) -> tuple[Tensor, Tensor, Tensor]:
        """``A^T``, ``G`` and ``B^T`` as this layer uses them, in the weights' type."""
        used = self.structure.used({name: getattr(self, name) for name in self.structure.names}, self.weight)
        return used if self.spec.bits == FLOAT_BITS else self.policy.transforms(self, used)

    @property
    def has_float_transform(self) -> bool:
        """Whether ``B^T`` is learned without a grid, so that V is no exact number."""
        return self.spec.transforms != "static" and self.transform_bits is None

    def rational_algorithm(self) -> Algorithm:
        """Return the algorithm that the layer computes by in rational numbers, proved.

        Raises
        ------
        ValueError
            If its transforms are learned without staying a convolution.
        """
        if isinstance(self.structure, Interpolating):
            return self.structure.reached(dict(self.named_parameters(recurse=False)))
        if self.spec.transforms != "static":
            raise ValueError(
                f"transforms is {self.spec.transforms!r}, which are no convolution; allowed: static, convolution"
            )
        return self.algorithm

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` of shape (N, C, H, W), giving (N, K, H_out, W_out).

        Raises
        ------
        ValueError
            If shape or data type of ``x`` does not fit.
        RuntimeError
            If the layer is quantized and was never calibrated or trained.
        """
        self.check_input(x)
        at, g, bt = self.transforms()
        if self.spec.bits == FLOAT_BITS:
            u = weight_transform(self.of_all_inputs(self.folded_weight()), g)
            y, _, _ = tile_domain(self.scaled(x), u, at, bt, u.new_ones(()), self.tiling(x), None)
            return self.add_bias(y)
        tiling = self.tiling(x)
        if not self.unserved(x):
            return self._train(x, (at, g, bt), tiling)
        q, input_step = self.quantized("input_range", x)
        self._observe_v(q, input_step, bt, tiling)
        mult = self.v_multiplier(input_step)
        u, scale = self.policy.transformed_weights(self, g, input_step / mult)
        rule = self._rule(mult, q, u, scale, bt, tiling)
        y, v_absmax, product_absmax = tile_domain(q, u, at, bt, self._folded_scale(scale), tiling, rule)
        if self.training and len(x):
            self.get_range("v_range").update(v_absmax * input_step)
            if self.spec.product_bits != FLOAT_BITS:
                self.get_range("product_range").update(product_absmax)
        return self.policy.output(self, self.add_bias(y))

    def observe(self, x: Tensor) -> None:
        """Let the ranges of a layer that is calibrating take in what it reads, computing no more than they need."""
        if self.spec.product_bits != FLOAT_BITS:
            self(x)
            return
        q, step = self.quantized("input_range", x)
        self._observe_v(q, step, self.transforms()[2], self.tiling(x))

    def unserved(self, x: Tensor) -> str:
        """Say why the native kernels do not run this layer on ``x`` now; empty if they do."""
        if reason := native.unserved(x):
            return reason
        spec = self.spec
        reasons = {
            "in evaluation and calibration the bitwise path runs": not self.training or self.calibrating,
            f"it has {spec.bits} bits": spec.bits > 8,
            f"its quantizer is {spec.quantizer!r}": not self.policy.is_contract,
            "its scales are per tensor": spec.scales != "tap",
            "it quantizes M": spec.product_bits != FLOAT_BITS,
            "its V is not exact in float32": self._inexact_v(),
            f"it has {self.groups} groups": self.groups > 1,
            f"its dilation is {self.dilation}": self.dilation[0] > 1,
            f"the kernels lack {self.algorithm.name}": not native.trains(self.algorithm),
            f"its weights are {self.weight.dtype}": self.weight.dtype != torch.float32,
            f"its weights are on {self.weight.device.type}": self.weight.device.type != "cpu",
        }
        return next((reason for reason, applies in reasons.items() if applies), "")

    def _inexact_v(self) -> bool:
        """Whether V can not be computed exactly, in any order, in float32."""
        if self.spec.transforms != "static":
            return self.transform_bits is None
        return self.v_max >= FLOAT32_INTEGERS // 16

    def _train(self, x: Tensor, transforms: tuple[Tensor, Tensor, Tensor], tiling: Tiling) -> Tensor:
        """Take the native kernels: the same numbers as :meth:`forward` has in torch."""
        x = self.scaled(x)
        batch, v_range = self.batch_range("input_range", x), self.observed("v_range")
        if not v_range.ready:
            step, low, high = batch.grid()
            self._observe_v(quantize(x.detach(), step, low, high, clip_gradient=False), step, transforms[2], tiling)
        numbers = native.Numbers(
            grid=batch.numbers(),
            v_range=v_range.absmax,
            balance=self.balance,
            fraction_bits=self.fraction_bits,
            limit=self.spec.rules.limits(self.spec.bits)[1],
            padding=tiling.padding,
        )
        y, v_absmax, extremes = native.fast_conv(x, self.weight, self.bias, transforms, numbers)
        v_range.update(v_absmax.mul_(numbers.grid.step))
        batch.take(extremes)
        return y

    def frozen(self) -> Frozen:
        """Return the layer's numbers as arrays, made from the very tensors that :meth:`forward` uses in evaluation."""
        at, g, bt = self.transforms()
        bias = array(self.folded_bias(), self.out_channels)
        if self.spec.bits == FLOAT_BITS:
            # Once and for all, so it may be as exact as it can.
            weight = self.of_all_inputs(self.folded_weight().double())
            u = weight_transform(weight, self._rational_weight_transform(g))
            return Frozen(weight=array(self._of_own_inputs(u)), bias=bias, at=array(at), bt=array(bt))
        grid, step = QuantGrid.of(self.observed("input_range")), self.get_range("input_range").grid()[0]
        mult = self.v_multiplier(step)
        u, scale = self.policy.transformed_weights(self, g, step / mult)
        scale = self._folded_scale(scale).squeeze(2).expand(self.algorithm.taps, self.out_channels)
        # Above 8 bits V of a learned transform is exact like that of an integer one: in steps of its grid it is one.
        extra = self.transform_bits or 0 if self.spec.bits > 8 else 0
        whole = (mult * 2.0**self.fraction_bits).squeeze(2).expand(self.algorithm.taps, -1)
        return Frozen(
            weight=array(self._of_own_inputs(u), dtype=integer_type(self.spec.bits)),
            bias=bias,
            grid=grid,
            scale=array(scale),
            at=array(at),
            bt=array(bt * 2.0**extra),
            mult=array(whole if (whole != whole[:, :1]).any() else whole[:, :1], dtype="int32"),
            v_limit=self.spec.rules.limits(self.spec.bits)[1],
            fraction_bits=self.fraction_bits + 2 * extra,
            integer=self.spec.transforms == "static" or extra > 0,
        )

    def of_all_inputs(self, weight: Tensor) -> Tensor:
        """Return weights (K, C / groups, r, r) as (K, C, r, r): zeros for the channels of other groups."""
        if self.groups == 1:
            return weight
        (k, c, *taps), each = weight.shape, range(self.groups)
        whole = weight.new_zeros(self.groups, k // self.groups, self.groups, c, *taps)
        whole[each, :, each] = weight.view(self.groups, -1, c, *taps)
        return whole.view(k, -1, *taps)

    def _of_own_inputs(self, u: Tensor) -> Tensor:
        """Return U of shape (taps, K, C) as (taps, K, C / groups): without the channels of other groups."""
        each, (taps, k, c) = range(self.groups), u.shape
        own = u.view(taps, self.groups, k // self.groups, self.groups, -1)[:, each, :, each]
        return own.transpose(0, 1).reshape(taps, k, c // self.groups)

    def _rational_weight_transform(self, g: Tensor) -> Tensor:
        """``G`` in float64: of a convolution not what float32 made of it."""
        if self.spec.transforms in ("static", "convolution"):
            return torch.as_tensor(self.rational_algorithm().to_float()[1], device=g.device)
        return g.double()

    def _folded_scale(self, scale: Tensor) -> Tensor:
        """Scale of the products, shape (taps or 1, K or 1, 1), with what was folded in."""
        return self.folded_scale(scale.squeeze(2)).unsqueeze(2)

    def tiling(self, x: Tensor) -> Tiling:
        """How an input is cut into tiles.

        Raises
        ------
        ValueError
            If the padded input is smaller than the kernel.
        """
        return tiling_of(self, x, self.algorithm.m)

    def v_multiplier(self, input_step: Tensor) -> Tensor:
        """Fixed-point multipliers of V, shape (taps or 1, C or 1, 1).

        They turn V, in integers of the input's step, into integers of V's own step per tap, which covers the range
        observed there; docs/contracts/numbers.md, "Stage by stage".
        """
        absmax = self.get_range("v_range").absmax.to(input_step.dtype)
        if self.spec.scales == "tensor":
            wanted = absmax.amax().view(1, 1)
        else:
            wanted = (absmax / self.balance).amax(1, keepdim=True) * self.balance
        step = wanted.clamp_min(1e-30) / self.spec.rules.steps(self.spec.bits)
        return multiplier(input_step / step, self.fraction_bits).unsqueeze(2)

    def _observe_v(self, q: Tensor, input_step: Tensor, bt: Tensor, tiling: Tiling) -> None:
        """Observe V before it is needed: when calibrating, and at the very first training batch.

        Later training batches use the running range from before themselves, so that one pass over V is enough.
        """
        v_range = self.observed("v_range")
        if v_range.ready and not self.calibrating:
            return
        v = input_transform(q.detach(), bt.detach(), tiling)
        if v.shape[2]:
            v_range.update(v.abs().amax(2) * input_step, running=False)

    def _rule(self, mult: Tensor, q: Tensor, u: Tensor, scale: Tensor, bt: Tensor, tiling: Tiling) -> Requantization:
        rules, spec = self.spec.rules, self.spec
        low, high = rules.limits(spec.bits)
        integer, on_grid = self.policy.has_integer_v(self), self.transform_bits is not None
        # An integer V times its multiplier: float32 is short beyond 20 bits of V, or 8 bits of what V is rounded to.
        wide = (spec.bits > 8 and (integer or on_grid)) or (integer and self.v_max >= FLOAT32_INTEGERS // 16)
        product_step, product_low, product_high = None, 0, 0
        if spec.product_bits != FLOAT_BITS:
            product_range = self.observed("product_range")
            if self.calibrating or not product_range.ready:
                v = requantize_(input_transform(q.detach(), bt.detach(), tiling), mult, low, high)
                product_range.observe(multiply(u.detach(), v, -low) * scale, running=False)
            product_step = product_range.grid()[0].to(q.dtype)
            product_low, product_high = rules.limits(spec.product_bits)
        return Requantization(
            mult=mult,
            low=low,
            high=high,
            product_step=product_step,
            product_low=product_low,
            product_high=product_high,
            clip_gradient=rules.clip_gradient,
            bitwise=not self.training,
            wide_v=wide,
            ordered=not (integer or on_grid),
        )
