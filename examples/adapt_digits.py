"""From a float CNN to a trained int8 F4 network on scikit-learn's digits: python examples/adapt_digits.py"""

from __future__ import annotations

import torch

import tilewise as tw
from tilewise.data import Batches, load


def main() -> None:
    """Train in float, swap, see the collapse, adapt."""
    torch.manual_seed(0)
    train, test = load("digits", "train"), load("digits", "test")
    batches = Batches(train, 64, shuffle=True, augment=True)
    val = Batches(test, 250)

    net = tw.fit(tw.zoo.small_cnn(), batches, val, tw.TrainConfig(epochs=6, lr=3e-3))
    print(f"float:                    {tw.evaluate(net, val).value:.1f} %")

    # Any nn.Module will do; patterns choose layers by name, the first that matches decides.
    spec = tw.Winograd("F4-textbook", bits=8, scales="tensor", transforms="learned")
    model = tw.convert(net, {"convs.*": spec})
    for layer in tw.describe(model):
        print(f"  {layer.name}: {layer.shape}: {layer.algorithm}, {layer.bits} bits {layer.reason}")

    tw.calibrate(model, Batches(train.subset(256), 64))
    print(f"F4 int8, one scale:       {tw.evaluate(model, val).value:.1f} %")

    tap = tw.calibrate(tw.convert(net, {"convs.*": tw.Winograd("F4")}), Batches(train.subset(256), 64))
    print(f"F4 int8, scales per tap:  {tw.evaluate(tap, val).value:.1f} %")

    tw.fit(model, batches, val, tw.TrainConfig(epochs=2))
    print(f"F4 int8, adapted:         {tw.evaluate(model, val).value:.1f} %")


if __name__ == "__main__":
    main()
