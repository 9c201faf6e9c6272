"""Convolution along one axis as a convolution of images of one row, so that it is quantized as any other."""

from __future__ import annotations

from torch import Tensor, nn


class Conv1d(nn.Module):
    """A ``torch.nn.Conv1d`` that was given a spec.

    Parameters
    ----------
    row : torch.nn.Conv2d
        The convolution, with a window of height 1.
    """

    def __init__(self, row: nn.Conv2d) -> None:
        super().__init__()
        self.row = row

    @classmethod
    def from_conv(cls, conv: nn.Conv1d) -> Conv1d:
        """Build it around a convolution's own weight and bias, bit for bit."""
        padding = conv.padding if isinstance(conv.padding, str) else (0, conv.padding[0])
        plain = nn.Conv2d(
            conv.in_channels, conv.out_channels, (1, conv.kernel_size[0]), stride=(1, conv.stride[0]), padding=padding,
            dilation=(1, conv.dilation[0]), groups=conv.groups, bias=conv.bias is not None,
            padding_mode=conv.padding_mode, device="meta",
        )  # fmt: skip
        plain.weight = nn.Parameter(conv.weight.detach()[:, :, None], requires_grad=conv.weight.requires_grad)
        plain.bias = conv.bias
        return cls(plain).train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` of shape (N, C, L)."""
        y: Tensor = self.row(x[:, :, None])
        return y.squeeze(2)
