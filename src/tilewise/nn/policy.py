"""What a quantizer means to the layers: what they quantize beside input and V, and how.

A layer asks its policy and knows no quantizer by name; docs/contracts/numbers.md lists each tensor for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeAlias

from torch import Tensor

from tilewise.nn.stages import weight_transform
from tilewise.quant import Quantizer
from tilewise.quant.fake import on_transform_grid, quantize
from tilewise.quant.quantizer import transform_bits

if TYPE_CHECKING:
    from tilewise.nn.base import QuantizedConv
    from tilewise.nn.winograd import WinogradConv2d

Matrices: TypeAlias = tuple[Tensor, Tensor, Tensor]


class Policy:
    """The number contract: input, V and U are quantized, weights by their own largest values.

    Its layers train on native kernels, run in the engine, share the grids of skip connections and can be refined.

    Parameters
    ----------
    rules : Quantizer
        The integers and their steps.
    """

    is_contract: ClassVar[bool] = True
    """Whether these are the numbers that kernels, engine, skip connections and refinement know."""
    direct_ranges: ClassVar[tuple[str, ...]] = ()
    """Ranges of direct layers beside the input's."""
    fast_ranges: ClassVar[tuple[str, ...]] = ()
    """Ranges of fast layers beside those of input, V and M."""

    def __init__(self, rules: Quantizer) -> None:
        self.rules = rules

    def transform_bits(self, layer: WinogradConv2d) -> int | None:
        """Return the fraction bits of the grid that ``B^T`` is rounded to, so that V is exact; None for no grid."""
        return None if layer.spec.transforms == "static" else transform_bits(layer.algorithm.BT)

    def transforms(self, layer: WinogradConv2d, matrices: Matrices) -> Matrices:
        """Return ``A^T``, ``G`` and ``B^T`` as the layer uses them."""
        at, g, bt = matrices
        return at, g, bt if layer.transform_bits is None else on_transform_grid(bt, layer.transform_bits)

    def has_integer_v(self, layer: WinogradConv2d) -> bool:
        """Return whether ``B^T`` holds the algorithm's own integers, so that V is one."""
        return layer.spec.transforms == "static"

    def weights(self, layer: QuantizedConv) -> tuple[Tensor, Tensor]:
        """Return the integer weights of a direct layer, and their step per output channel (or one for all)."""
        bits = layer.spec.bits
        if layer.weight_step is not None:
            low, high = (layer.weight_step.new_tensor(end) for end in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
            return quantize(layer.weight, layer.weight_step, low, high, clip_gradient=False), layer.weight_step
        step = layer.weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30) / self.rules.steps(bits)
        return self._rounded(layer.weight, step, bits), step

    def transformed_weights(self, layer: WinogradConv2d, g: Tensor, v_step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the integer U of a fast layer, shape (n*n, K, C), and the scale of U*V, (n*n or 1, K or 1, 1).

        U takes in V's step, so that one number per tap and output channel is all that is left after the sum over
        channels.
        """
        bits = layer.spec.bits
        u = weight_transform(layer.of_all_inputs(layer.weight), g) * v_step.transpose(1, 2)
        absmax = u.detach().abs()
        absmax = absmax.amax().view(1, 1, 1) if layer.spec.scales == "tensor" else absmax.amax(2, keepdim=True)
        scale = absmax.clamp_min(1e-30) / self.rules.steps(bits)
        return self._rounded(u, scale, bits), scale

    def output(self, layer: QuantizedConv, y: Tensor) -> Tensor:  # noqa: ARG002 - others ask it
        """Return a layer's output as what reads it gets it."""
        return y

    def _rounded(self, x: Tensor, step: Tensor, bits: int) -> Tensor:
        low, high = self.rules.limits(bits)
        return quantize(x, step, step.new_tensor(low), step.new_tensor(high), clip_gradient=False)


class AllStagesPolicy(Policy):
    """The code released with the 2020 paper: every tensor on the way is quantized, each as a whole.

    So are weights before and after their transform, the transform matrices, and the layer's output.
    """

    is_contract = False
    direct_ranges = ("weight_range", "output_range")
    fast_ranges = ("weight_range", "u_range", "output_range")

    def transform_bits(self, layer: WinogradConv2d) -> int | None:  # noqa: ARG002
        """Return None: matrices have a real step."""
        return None

    def transforms(self, layer: WinogradConv2d, matrices: Matrices) -> Matrices:
        """Return the matrices, rounded."""
        at, g, bt = (self._matrix(matrix, layer.spec.bits) for matrix in matrices)
        return at, g, bt

    def has_integer_v(self, layer: WinogradConv2d) -> bool:  # noqa: ARG002
        """Return that it is none."""
        return False

    def weights(self, layer: QuantizedConv) -> tuple[Tensor, Tensor]:
        """Return the integer weights, and their step."""
        return layer.quantized("weight_range", layer.weight)

    def transformed_weights(self, layer: WinogradConv2d, g: Tensor, v_step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the integer U of quantized weights, and the scale of U*V, shape (1, 1, 1)."""
        q, step = layer.quantized("weight_range", layer.weight)
        q, step = layer.quantized("u_range", weight_transform(layer.of_all_inputs(q * step), g))
        return q, (step * v_step).view(1, 1, 1)

    def output(self, layer: QuantizedConv, y: Tensor) -> Tensor:
        """Return the output, quantized."""
        q, step = layer.quantized("output_range", y)
        return q * step

    def _matrix(self, matrix: Tensor, bits: int) -> Tensor:
        step = matrix.detach().abs().amax() / self.rules.steps(bits)
        return self._rounded(matrix, step, bits) * step


def policy_of(rules: Quantizer) -> Policy:
    """Return what layers with a quantizer's rules ask."""
    return (AllStagesPolicy if rules.quantizes_all_stages else Policy)(rules)
