from __future__ import annotations

import pytest
from bench_units import unit

from peers.ratios import best, call_gops, geometric_mean, gops, speedup, spread
from peers.results import Contender


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0, 5.0, 4.0]) == (2.0, 3.0, 4.0)
    assert spread([7.0]) == (7.0, 7.0, 7.0)


def test_the_wrong_and_the_missing_never_win() -> None:
    found = best(unit(), ours=False)
    assert found is not None
    assert found.name == "onednn Winograd"
    direct = best(unit(), ours=False, direct=True)
    assert direct is not None
    assert direct.name == "onednn direct"
    empty = unit()
    empty.contenders = empty.contenders[-2:]
    assert best(empty, ours=False) is None
    assert best(empty, ours=True) is None


def test_direct_ones_have_to_be_closer() -> None:
    direct = Contender("onednn", "direct", False, 0.05, "", [1e-3])
    assert not unit().counts(direct)
    assert unit().counts(Contender("onednn", "Winograd", True, 0.05, "", [1e-3]))


def test_figures() -> None:
    layer = unit()
    ours, peer = best(layer, ours=True), best(layer, ours=False)
    assert ours is not None
    assert peer is not None
    assert gops(layer, ours) == pytest.approx(1000)
    assert call_gops(layer, ours) == pytest.approx(500)
    assert speedup(peer, ours) == pytest.approx((2, 2, 2))
    assert speedup(peer, ours, call=True) == pytest.approx((1, 1, 1))
    assert speedup(peer, None) is None


def test_a_ratio_is_of_the_same_round() -> None:
    slow = Contender("a", "default", call=[2.0, 20.0, 200.0])
    fast = Contender("b", "default", call=[1.0, 10.0, 100.0])
    assert speedup(slow, fast) == (2.0, 2.0, 2.0)


def test_the_convolution_alone_counts_where_it_is_less() -> None:
    assert Contender("openvino", "default", call=[3.0, 3.0], node=[2.0, 4.0]).seconds == [2.0, 3.0]


def test_geometric_mean() -> None:
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2)
    assert geometric_mean([1.0, None]) is None
    assert geometric_mean([]) is None
