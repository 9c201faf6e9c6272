"""Tables and curves from docs/results/accuracy/*.json, which experiments/accuracy.sh measures.

python -m tilewise.experiments.accuracy_tables

It writes the tables of docs/results/accuracy.md and docs/results/adaptation.png.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tilewise.common.picture import save_picture

RESULTS = Path("docs/results")
BEGIN, END = "<!-- accuracy tables -->", "<!-- end of accuracy tables -->"
CURVES = {
    "resnet20-F4-tap-adapted-learned": ("F4, tap, learned, distilled", "#0072B2", "-"),
    "resnet20-F4-tap-adapted-static": ("F4, tap, static, distilled", "#009E73", "-"),
    "resnet20-F4-tap-labels-learned": ("F4, tap, learned, on labels", "#0072B2", ":"),
    "resnet20-F4-tap-labels-static": ("F4, tap, static, on labels", "#009E73", ":"),
}


def percent(results: dict[str, dict[str, Any]], name: str) -> str:
    """Accuracy of a run, or a dash where it was not measured."""
    return f"{results[name]['accuracy']:.2f}" if name in results else "-"


def swap_table(results: dict[str, dict[str, Any]], network: str, algorithms: list[str]) -> list[str]:
    """Post-training swap: one line for each algorithm, one column for each kind of scales."""
    float_, direct = (percent(results, f"{network}-{kind}") for kind in ("fp32", "direct-swap"))
    lines = [f"fp32 {float_} %, direct int8 {direct} %.", ""]
    lines += [
        "| int8, no training | one scale per tensor | scales per tap | `paper` quantizer |",
        "|---|---:|---:|---:|",
    ]
    for name in algorithms:
        cells = [percent(results, f"{network}-{name}-{kind}-swap") for kind in ("tensor", "tap", "paper")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def adapted_table(results: dict[str, dict[str, Any]], network: str) -> list[str]:
    """Every adaptation run: accuracy before, after each epoch."""
    lines = ["| adapted, int8 | before | after each epoch |", "|---|---:|---|"]
    for name, result in sorted(results.items()):
        if name.startswith(network) and "log" in result and result.get("before") is not None:
            run = name.removeprefix(f"{network}-").replace("-", " ")
            curve = ", ".join(f"{entry['accuracy']:.2f}" for entry in result["log"])
            lines.append(f"| {run} | {result['before']:.2f} | {curve} |")
    return lines


def curves(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Accuracy by epoch, with the direct int8 network and half a point below it as lines."""
    fig = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(fig)
    axis = fig.subplots()
    for name, (label, colour, style) in CURVES.items():
        if name in results:
            values = [results[name]["before"], *(e["accuracy"] for e in results[name]["log"])]
            axis.plot(range(len(values)), values, style, marker="o", color=colour, label=label)
    direct = results["resnet20-direct-swap"]["accuracy"]
    axis.axhline(direct, color="black", linestyle="--", label="direct int8, no training")
    axis.axhline(direct - 0.5, color="grey", linewidth=0.8, label="half a point below")
    axis.set_xlabel("epoch (200 steps distilled, 782 on labels)")
    axis.set_xticks(range(4))
    axis.set_ylabel("test accuracy, %")
    axis.set_title("ResNet-20 on CIFAR-10, adapted to F4 at 8 bits")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save_picture(fig, path)


def main() -> None:
    """Write table and figure."""
    results = {p.stem: json.loads(p.read_text()) for p in sorted((RESULTS / "accuracy").glob("*.json"))}
    lines = ["### ResNet-20, CIFAR-10, 10,000 test images", ""]
    lines += swap_table(results, "resnet20", ["F2", "F4-textbook", "F4", "F6", "SFC6", "SFC6(6)"])
    lines += ["", *adapted_table(results, "resnet20"), "", "### LeNet-5 (5x5 kernels), MNIST, 10,000 test images", ""]
    lines += swap_table(results, "lenet5", ["F2", "F4"])
    lines += ["", *adapted_table(results, "lenet5")]
    page = RESULTS / "accuracy.md"
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.split(END)[1]}")
    curves(results, RESULTS / "adaptation.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
