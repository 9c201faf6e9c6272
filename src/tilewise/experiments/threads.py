"""One thread against two, over fresh processes: kernels of several stages may fall into a slow state at the start.

    python -m tilewise.experiments.threads [--launches 10]

Prints, per launch, how many times as fast as one thread two threads run F4 int8 layers: the convolution's own time from
Engine.profile, median of ratios of the same round. Results are compared between the two first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

LAYERS = ((64, 32), (128, 16), (256, 8), (256, 14), (512, 7), (64, 56), (256, 56))
ROUNDS = 9


def launch() -> dict[str, float]:
    """Measure all layers in this process."""
    import torch
    from torch import nn

    import tilewise as tw

    torch.set_num_threads(1)
    ratios = {}
    for channels, size in LAYERS:
        torch.manual_seed(0)
        plain = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        x = torch.randn(1, channels, size, size).relu()
        model = tw.convert(plain, {"*": tw.Winograd("F4")}).eval()
        tw.calibrate(model, [x])
        one, two = (tw.compile(model, x, threads=threads) for threads in (1, 2))
        if not torch.equal(one(x), two(x)):
            raise ValueError(f"{channels} channels, {size}x{size}: two threads give another result than one")

        def seconds(engine: tw.Engine, image: torch.Tensor = x) -> float:
            rows = engine.profile(image, repeats=5)
            return float(next(row["seconds"] for row in rows if row["op"].startswith("fast")))

        ratios[f"{channels} ch, {size}x{size}"] = statistics.median(seconds(one) / seconds(two) for _ in range(ROUNDS))
    return ratios


def main() -> None:
    """Run the launches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", type=int, default=10)
    parser.add_argument("--once", action="store_true", help="measure in this process, print JSON")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(launch()))
        return
    for number in range(options.launches):
        command = [sys.executable, "-m", "tilewise.experiments.threads", "--once"]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"launch {number + 1}: " + ", ".join(f"{layer} {ratio:.2f}x" for layer, ratio in found.items()), flush=True
        )


if __name__ == "__main__":
    main()
