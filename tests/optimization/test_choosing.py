from __future__ import annotations

import torch

import tilewise as tw
from tilewise.optimization.choosing import front, layer_losses


def test_front_goes_from_the_least_loss_to_the_least_time() -> None:
    seconds = {"a": {"direct": 3.0, "F4": 1.0}, "b": {"direct": 2.0, "F2": 1.5, "F4": 1.0}, "c": {"direct": 1.0}}
    losses = {"a": {"direct": 0.0, "F4": 9.0}, "b": {"direct": 0.0, "F2": 1.0, "F4": 4.0}, "c": {"direct": 0.0}}
    points = front(seconds, losses)
    assert points[0] == {"a": "direct", "b": "direct", "c": "direct"}
    assert points[-1] == {"a": "F4", "b": "F4", "c": "direct"}
    assert {"a": "direct", "b": "F4", "c": "direct"} in points
    assert {"a": "direct", "b": "F2", "c": "direct"} not in points or len(points) > 3
    times, lost = (
        [sum(table[layer][c] for layer, c in point.items()) for point in points] for table in (seconds, losses)
    )
    assert times == sorted(times, reverse=True)
    assert lost == sorted(lost)


def test_front_leaves_out_what_was_not_measured() -> None:
    assert front({"a": {"direct": 2.0, "F4": 1.0}}, {"a": {"direct": 0.0}}) == [{"a": "direct"}]
    assert front({}, {}) == []


def test_losses_are_those_of_one_layer_alone() -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 2, 1)
    ).eval()
    with torch.no_grad():
        net[1].running_mean.uniform_(-0.1, 0.1)
    x = torch.rand(4, 3, 12, 12)
    network = tw.calibrate(tw.convert(net, {"*": tw.Direct(bits=4)}, skips="quantized").eval(), [x])
    found = layer_losses(net, network, [x])
    alone = tw.calibrate(tw.convert(net, {"0": tw.Direct(bits=4)}, skips="quantized").eval(), [x])
    with torch.no_grad():
        wanted, given = net(x), alone(x)
    assert set(found) == {"0", "3"}
    torch.testing.assert_close(found["0"], float((given - wanted).square().sum() / wanted.square().sum()))
    assert found["3"] > 0
    with torch.no_grad():
        torch.testing.assert_close(net(x), wanted, rtol=0, atol=0)
