"""Serve a compiled network: several requests in flight, and as a part of a torch pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import tilewise as tw

torch.manual_seed(0)
train, test = (tw.data.load("digits", split) for split in ("train", "test"))
net = tw.fit(
    tw.zoo.small_cnn(), tw.data.Batches(train, 64, shuffle=True), tw.data.Batches(test, 250), tw.TrainConfig(epochs=2)
)
model = tw.convert(net, {"*": tw.Winograd("SFC6", bits=8)}, skips="quantized")
tw.calibrate(model, tw.data.Batches(train, 64), limit=8)
images = torch.cat([x for x, _ in tw.data.Batches(test, 250)])

engine = tw.compile(model, images[:1], threads=0)  # as many threads as this process may use


def requests() -> Iterator[NDArray[np.float32]]:
    """Give one image after another, as they come in."""
    yield from (images[i : i + 1].numpy() for i in range(len(images)))


# Each thread works on a request of its own; results come in order.
answers = [int(logits.argmax()) for logits in engine.map(requests(), mode="throughput")]
accuracy = 100 * np.mean(np.array(answers) == test.labels.numpy())
print(f"accuracy served one by one  {accuracy:.2f} %")

# The engine is a module of a torch pipeline, which torch.export captures whole.
pipeline = nn.Sequential(tw.to_module(engine), nn.Softmax(1))
captured = torch.export.export(pipeline, (images[:2],)).module()
with torch.no_grad():
    sure = captured(images[:2]).max(1)
print(f"class {sure.indices[0]}, {100 * sure.values[0]:.0f} % sure")
