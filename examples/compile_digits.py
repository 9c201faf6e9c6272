"""Compile a small network to one file and run it from there: train, swap, calibrate, compile, load, compare."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import tilewise as tw

torch.manual_seed(0)
train, test = (tw.data.load("digits", split) for split in ("train", "test"))
batches = tw.data.Batches(train, 64, shuffle=True, augment=True)
scored = tw.data.Batches(test, 250)
net = tw.fit(tw.zoo.small_cnn(), batches, scored, tw.TrainConfig(epochs=4, lr=3e-3))

# SFC6 keeps the accuracy of direct int8 with no training; calibration measures ranges only.
model = tw.convert(net, {"*": tw.Winograd("SFC6", bits=8)}, skips="quantized")
tw.calibrate(model, batches, limit=8)

images = torch.cat([x for x, _ in scored]).numpy()
labels = test.labels.numpy()
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "digits.tilewise"
    tw.compile(model, images[:1]).save(file)
    engine = tw.load(file)  # needs NumPy only
    engine(images[:1])
    start = time.perf_counter()
    logits = engine(images)
    seconds = time.perf_counter() - start

with torch.no_grad():
    trained = model(torch.from_numpy(images)).numpy()
print(f"accuracy in torch  {100 * (trained.argmax(1) == labels).mean():.2f} %")
print(f"accuracy compiled  {100 * (logits.argmax(1) == labels).mean():.2f} %, {len(images) / seconds:.0f} images/s")
assert np.array_equal(trained.argmax(1), logits.argmax(1))
