"""What `tilewise doctor` found, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from tilewise.common.picture import save_picture

if TYPE_CHECKING:
    from tilewise.calibration.doctor import Diagnosis

COLORS = {"safe": "green", "needs refinement": "yellow", "collapses": "bold white on red"}


def doctor_table(diagnosis: Diagnosis) -> Table:
    """One row per layer and algorithm."""
    labelled = diagnosis.float_accuracy is not None
    against = f"float: {diagnosis.float_accuracy:.1f} %" if labelled else "no labels"
    table = Table(title=f"One layer quantized at a time, {diagnosis.images} images, {against}")
    for column in ("layer", "algorithm", "V dB", "U dB", "output dB", "same answers %", "accuracy %", "verdict"):
        table.add_column(column, justify="left" if column in ("layer", "algorithm", "verdict") else "right")
    previous = ""
    for found in diagnosis.findings:
        if previous and found.layer != previous:
            table.add_section()
        numbers = [found.v_db, found.u_db, found.output_db, found.agreement, found.accuracy]
        cells = ["" if number is None else f"{number:.1f}" for number in numbers]
        color = COLORS[found.verdict]
        name = found.layer if found.layer != previous else ""
        table.add_row(name, found.algorithm, *cells, f"[{color}]{found.verdict}[/]")
        previous = found.layer
    return table


def plot_doctor(diagnosis: Diagnosis, path: Path) -> None:
    """Draw the output's error of every layer by every algorithm, collapses crossed out."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    layers = list(dict.fromkeys(f.layer for f in diagnosis.findings))
    algorithms = list(dict.fromkeys(f.algorithm for f in diagnosis.findings))
    values = np.full((len(layers), len(algorithms)), np.nan)
    figure, axes = plt.subplots(figsize=(1.6 + 1.1 * len(algorithms), 1.4 + 0.32 * len(layers)), layout="constrained")
    for found in diagnosis.findings:
        row, column = layers.index(found.layer), algorithms.index(found.algorithm)
        values[row, column] = found.output_db
        mark = {"safe": "", "needs refinement": " ~", "collapses": " ✗"}[found.verdict]
        dark = not 12 < found.output_db < 34
        axes.text(
            column, row, f"{round(found.output_db)}{mark}", ha="center", va="center", fontsize=8,
            color="white" if dark else "black", fontweight="bold" if found.verdict == "collapses" else "normal",
        )  # fmt: skip
    image = axes.imshow(values, cmap="RdYlGn", vmin=0, vmax=45, aspect="auto")
    axes.set_xticks(range(len(algorithms)), algorithms, rotation=20, ha="right")
    axes.set_yticks(range(len(layers)), layers, fontsize=8)
    axes.set_title("Output error of one layer, dB (~ needs refinement, ✗ collapses)", fontsize=10)
    figure.colorbar(image, label="signal to quantization noise, dB")
    save_picture(figure, path)
    plt.close(figure)
