from __future__ import annotations

import numpy as np
import torch

from tilewise.nn.norm import affine_of
from tilewise.quant.rounding import root


def numbers(count: int, exponent: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random(count) * 10.0 ** rng.integers(-exponent, exponent, count)).astype(np.float32)


def test_root_is_rounded_once() -> None:
    x = numbers(100_000, 30)
    np.testing.assert_array_equal(root(torch.from_numpy(x)).numpy(), np.sqrt(x))


def test_a_batch_norm_folds_to_the_same_bits_on_every_processor() -> None:
    var, weight = numbers(10_000, 4), numbers(10_000, 4)
    tensors = map(torch.from_numpy, (weight, weight, var, var))
    alpha, beta = affine_of(*tensors, 0.0)
    wanted = weight / np.sqrt(var)
    np.testing.assert_array_equal(alpha.numpy(), wanted)
    np.testing.assert_array_equal(beta.numpy(), weight - var * wanted)
