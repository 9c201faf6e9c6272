from __future__ import annotations

from torch import nn

from tilewise.common.modules import replace_modules


def test_a_module_is_replaced_wherever_it_stands() -> None:
    shared, other = nn.ReLU(), nn.Tanh()
    model = nn.Sequential(shared, nn.Sequential(other, shared))
    model.again = shared
    new = nn.Sigmoid()
    assert replace_modules(model, {shared: new}) is model
    assert model[0] is model[1][1] is model.again is new
    assert model[1][0] is other


def test_a_model_that_is_replaced_itself_is_returned_as_what_it_became() -> None:
    old, new = nn.ReLU(), nn.Tanh()
    assert replace_modules(old, {old: new}) is new
