from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tilewise.algebra import Planar, algorithm, direct, planar_sfc, sfc, toom_cook
from tilewise.discovery.scores import precisions, scores
from tilewise.discovery.simulation import Precision, Sample, Simulation
from tilewise.nn import WinogradConv2d
from tilewise.quant import Winograd


def layer_sqnr(sample: Sample, spec: Winograd, stride: int = 1) -> float:
    """SQNR of the layer itself, calibrated on the sample; as many outputs as fill tiles."""
    weights = torch.as_tensor(sample.weights, dtype=torch.float32)
    k, c, r, _ = weights.shape
    layer = WinogradConv2d(c, k, r, stride=stride, spec=spec, bias=False).eval()
    layer.weight.data.copy_(weights)
    x = torch.as_tensor(sample.activations, dtype=torch.float32)
    with torch.no_grad():
        layer.calibrating = True
        layer(x)
        layer.calibrating = False
        got = layer(x).double()
    exact = torch.as_tensor(sample.activations), torch.as_tensor(sample.weights)
    wanted = torch.nn.functional.conv2d(*exact, stride=stride)
    return float(10 * torch.log10((wanted**2).mean() / ((got - wanted) ** 2).mean()))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("F2", Precision()),
        ("F4", Precision()),
        ("F4", Precision(scales="tensor")),
        ("F4-textbook", Precision(scales="tensor", hadamard_bits=8)),
        ("F6", Precision(hadamard_bits=10)),
        ("F4", Precision(bits=10)),
        ("SFC6(6)", Precision()),
    ],
)
def test_it_is_what_the_layer_computes(name: str, precision: Precision, signed: bool) -> None:
    sample = Sample.gaussian(3, seed=3)
    if signed:
        rng = np.random.default_rng(0)
        sample = Sample(rng.standard_normal(sample.activations.shape), sample.weights)
    hadamard = None if precision.hadamard_bits == 32 else precision.hadamard_bits
    spec = Winograd(name, bits=precision.bits, scales=precision.scales, hadamard_bits=hadamard)
    simulated = Simulation(sample, algorithm(name).m, precision).sqnr(algorithm(name))
    assert simulated == pytest.approx(layer_sqnr(sample, spec), abs=0.02)


@pytest.mark.parametrize(("name", "r"), [("F2", 3), ("F4", 3), ("F4", 5), ("F2", 7)])
def test_it_is_what_a_strided_layer_computes(name: str, r: int) -> None:
    sample, a = Sample.gaussian(r, seed=3), algorithm(name, r, 2)
    simulated = Simulation(sample, a.m, Precision(), 2).sqnr(a)
    assert simulated == pytest.approx(layer_sqnr(sample, Winograd(name), 2), abs=0.02)


def test_the_layer_keeps_the_scalings_of_its_algorithm() -> None:
    scaled = algorithm("F4-textbook").scaled([1, 2, 2, 1, 1, 1], [8, 4, 4, 1, 1, 8])
    sample, precision = Sample.gaussian(3), Precision(scales="tensor", hadamard_bits=8)
    simulated = Simulation(sample, 4, precision).sqnr(scaled)
    assert simulated == pytest.approx(layer_sqnr(sample, Winograd(scaled, scales="tensor", hadamard_bits=8)), abs=0.02)
    assert simulated > Simulation(sample, 4, precision).sqnr(algorithm("F4-textbook")) + 10


def test_the_published_ranking_of_algorithms_holds() -> None:
    names = ("SFC6", "F2", "F4", "F4-textbook", "F6", "F6-paper")
    sqnr = [row["sqnr"][precisions().index(Precision())] for row in scores([direct(2, 3), *map(algorithm, names)])]
    assert sqnr == sorted(sqnr, reverse=True)
    assert sqnr[3] - sqnr[4] > 3


def test_fewer_products_in_the_plane_lose_no_signal() -> None:
    nested, plane = scores([sfc(6, 6, 3), planar_sfc(6, 6, 3)])
    assert (nested["products"], plane["products"]) == (100 / 36, 88 / 36)
    assert nested["v_bits"] == plane["v_bits"] == 15
    assert min(np.subtract(plane["sqnr"], nested["sqnr"])) > 0
    same = Simulation(Sample.gaussian(3), 4, Precision())
    assert same.sqnr(Planar.nested(algorithm("F4"))) == pytest.approx(same.sqnr(algorithm("F4")), abs=0.01)


def test_more_bits_approach_the_exact_convolution() -> None:
    assert Simulation(Sample.gaussian(3), 7, Precision(bits=16)).sqnr(sfc(6, 7, 3)) > 80


def test_balance_per_tap_makes_diagonal_scalings_free() -> None:
    """Powers of two on ``A^T`` move no number where each tap has a scale of its own."""
    plain = toom_cook(4, 3, [0, 1, -1, 2, -2])
    layer = Simulation(Sample.gaussian(3), 4, Precision(hadamard_bits=8, hadamard_scales="tap"))
    assert layer.sqnr(plain.scaled([1] * 6, [1, 2, 4, 8, 16, 2])) == layer.sqnr(plain)


@pytest.mark.parametrize(
    ("activations", "weights", "message"),
    [
        (np.full((1, 2, 8, 8), np.nan), np.ones((1, 2, 3, 3)), "activations has values that are NaN or infinite"),
        (np.zeros((1, 2, 8, 8)), np.ones((1, 2, 3, 3)), "activations is all zeros"),
        (np.ones((1, 2, 8, 8)), np.full((1, 2, 3, 3), np.inf), "weights has values that are NaN or infinite"),
        (np.ones((2, 8, 8)), np.ones((1, 2, 3, 3)), r"activations has the shape \(2, 8, 8\)"),
        (np.ones((1, 2, 8, 8)), np.ones((1, 3, 3, 3)), r"it must be \(K, 2, r, r\)"),
    ],
)
def test_bad_samples_are_refused(activations: Any, weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sample(activations, weights)


def test_what_does_not_fit_is_refused() -> None:
    sample = Sample.gaussian(3)
    with pytest.raises(ValueError, match=r"m is 30; activations of .* have no tile of 32x32"):
        Simulation(sample, 30, Precision())
    with pytest.raises(ValueError, match=r"F4 is F\(4, 3\) of stride 1, the layer F\(2, 3\) of stride 1"):
        Simulation(sample, 2, Precision()).sqnr(algorithm("F4"))
    with pytest.raises(ValueError, match="bits is 32; allowed: 2 to 16"):
        Precision(bits=32)
    with pytest.raises(ValueError, match="hadamard_bits is 1"):
        Precision(hadamard_bits=1)
    with pytest.raises(ValueError, match="scales is 'row'; allowed: tap, tensor"):
        Precision(scales="row")  # type: ignore[arg-type]
