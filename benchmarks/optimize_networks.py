"""``tilewise optimize`` on five networks with its default options, and what others' 8 bits give on the same images.

    python benchmarks/optimize_networks.py --root data [--networks unet ...] [--seeds 0 1 2] [--minutes 10]

The root holds the data sets (docs/guide/commands.md): CIFAR-10, CamVid, T91, Set5, Set14, and
pretrained/resnet20-12fca82f.th. Networks that nobody publishes weights for are trained first, briefly. What the command
gives is judged on images that it did not see. Everything is kept in --out, and a run that was stopped goes on there;
the table, and the page of each network's first seed, go to docs/results.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.common.files import read_json, write_json
from tilewise.data import Images, Scenes, load, load_own, load_scenes
from tilewise.experiments.upscaling import upscaler
from tilewise.optimization.metrics import Drop, Judge, make_judge
from tilewise.optimization.peers import others
from tilewise.train import load_weights
from tilewise.zoo import build
from tilewise.zoo.mobile import InvertedResidual

RESULTS = Path(__file__).resolve().parent.parent / "docs/results"
GIVEN = 5000
"""Of CIFAR-10's 10,000 test images those that the command is given; the others are not seen."""
ENVIRONMENT = ("TILEWISE_ISA", "ONEDNN_MAX_CPU_ISA")
"""What may hold the libraries to fewer instructions than the machine has."""
MINUTES = 10.0
"""That the command takes by default."""
SIDE = 96
"""Of the pictures that are enlarged."""
RAW = ("--mean", "0", "0", "0", "--std", "1", "1", "1")
MOBILE = ((1, 8, 1, 2), (6, 16, 2, 1), (6, 24, 2, 2), (6, 40, 3, 2), (6, 64, 2, 1))


def mobile() -> nn.Module:
    """Return MobileNetV2 for 32x32 images, narrow: a stem of stride 1, and five of its seven stages."""
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
    layers: list[nn.Module] = [stem]
    inputs = 16
    for factor, outputs, blocks, first in MOBILE:
        for block in range(blocks):
            layers.append(InvertedResidual(inputs, outputs, 1 if block else first, factor))
            inputs = outputs
    head = nn.Sequential(nn.Conv2d(inputs, 256, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU6())
    return nn.Sequential(*layers, head, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network, how it comes to its weights, what the command is given, and what it does not see.

    Parameters
    ----------
    title, model : str
        For the table; for the command.
    build : callable
        Gives the network, without weights that are in a file.
    given : tuple of str
        ``--data`` and what belongs to it; ROOT and OUT stand for the folders.
    unseen : callable
        Reads from the root, or from what was prepared in --out, what the command did not see.
    training : tuple of str
        Options of ``tilewise train``, if it is trained here.
    weights : str
        Those that are published, in the root.
    """

    title: str
    model: str
    build: Callable[[], nn.Module]
    given: tuple[str, ...]
    unseen: Callable[[Path, Path], Images | Scenes]
    training: tuple[str, ...] = ()
    weights: str = ""


def _cifar(root: Path, _: Path) -> Images:
    return _half(load("cifar10", "test", root), slice(GIVEN, None))


def _half(data: Images, part: slice) -> Images:
    return Images(
        name=data.name, images=data.images[part], labels=data.labels[part], classes=data.classes, mean=data.mean,
        std=data.std, flips=data.flips,
    )  # fmt: skip


def _other_sets(root: Path, _: Path) -> Images:
    return _pictures(*(root / "SR" / name for name in ("Set5", "Set14")))


def _other_half(_: Path, out: Path) -> Images:
    return _pictures(out / "pictures" / "unseen")


def _pictures(*folders: Path) -> Images:
    zero, one = (0.0,) * 3, (1.0,) * 3
    sets = [load_own(str(folder), "test", size=SIDE, mean=zero, std=one) for folder in folders]
    return Images(
        name=" and ".join(folder.name for folder in folders), images=torch.cat([s.images for s in sets]),
        labels=torch.cat([s.labels for s in sets]), classes=1, mean=zero, std=one, flips=True,
    )  # fmt: skip


CIFAR = ("--data", "OUT/cifar10.npz")
TRAINED = ("--data", "cifar10", "--data-root", "ROOT", "--batch", "64")
NETWORKS = {
    "upscaler": Network(
        title="Compact upscaler, 96x96 to 384x384", model="tilewise.experiments.upscaling:upscaler", build=upscaler,
        given=("--data", "OUT/pictures/given", "--image-size", str(SIDE), *RAW), unseen=_other_half,
    ),
    "other_pictures": Network(
        title="The same, other kinds of pictures", model="tilewise.experiments.upscaling:upscaler", build=upscaler,
        given=("--data", "ROOT/SR/T91", "--image-size", str(SIDE), *RAW), unseen=_other_sets,
    ),
    "resnet20": Network(
        title="ResNet-20, CIFAR-10", model="resnet20", build=lambda: build("resnet20"), given=CIFAR, unseen=_cifar,
        weights="pretrained/resnet20-12fca82f.th",
    ),
    "squeezenet": Network(
        title="SqueezeNet, CIFAR-10", model="squeezenet", build=lambda: build("squeezenet"), given=CIFAR, unseen=_cifar,
        training=(*TRAINED, "--epochs", "2", "--lr", "2e-3"),
    ),
    "unet": Network(
        title="U-Net, CamVid 240x180", model="unet", build=lambda: build("unet", classes=11),
        given=("--data", "camvid", "--data-root", "ROOT"), unseen=lambda root, _: load_scenes("camvid", "test", root),
        training=("--data", "camvid", "--data-root", "ROOT", "--batch", "8", "--epochs", "14", "--lr", "2e-3"),
    ),
    "mobile": Network(
        title="Narrow MobileNetV2, CIFAR-10", model="optimize_networks:mobile", build=mobile, given=CIFAR,
        unseen=_cifar, training=(*TRAINED, "--epochs", "3", "--lr", "4e-3"),
    ),
}  # fmt: skip


def main() -> None:
    """Measure what is not measured yet, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/reports"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=MINUTES)
    options = parser.parse_args()
    give_cifar(options.root, options.out)
    give_pictures(options.root, options.out)
    path = options.results / "optimize.json"
    rows = read_json(path)["rows"] if path.exists() else {}
    for name in options.networks:
        for seed in options.seeds:
            folder = options.out / f"{name}-{seed}"
            row = measure(NETWORKS[name], seed, options.root, options.out, folder, options.minutes)
            rows.setdefault(name, {})[str(seed)] = row
            if seed == min(options.seeds):
                (options.results / "optimize").mkdir(parents=True, exist_ok=True)
                page = (folder / "report.html").read_text()
                for local, said_so in ((options.root, "data"), (options.out, "runs/reports")):
                    page = page.replace(str(local), said_so)
                (options.results / "optimize" / f"{name}.html").write_text(page)
            held = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
            result = {"machine": row["machine"], "environment": held, "minutes": options.minutes, "rows": rows}
            write_json(path, result)
            path.with_suffix(".md").write_text(text(result))


def give_cifar(root: Path, out: Path) -> None:
    """Write the CIFAR-10 images that the command is given."""
    if not (path := out / "cifar10.npz").exists():
        out.mkdir(parents=True, exist_ok=True)
        given = _half(load("cifar10", "test", root), slice(GIVEN))
        np.savez(path, images=given.images.numpy(), labels=given.labels.numpy())


def give_pictures(root: Path, out: Path) -> None:
    """Part the pictures of T91, Set5 and Set14 into those that the command is given and those that judge."""
    files = [file for name in ("T91", "Set5", "Set14") for file in sorted((root / "SR" / name).iterdir())]
    for place, file in enumerate(files):
        folder = out / "pictures" / ("unseen" if place % 2 else "given")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / f"{file.parent.name}-{file.name}")


def measure(network: Network, seed: int, root: Path, out: Path, folder: Path, minutes: float) -> dict[str, Any]:
    """Train if need be, optimize, and judge on what was not seen; what was done before is read."""
    done = folder / "unseen.json"
    if done.exists():
        found: dict[str, Any] = read_json(done)
        return found
    weights = root / network.weights if network.weights else None
    if network.training:
        run_folder = out / f"trained-{network.model.rpartition(':')[2]}"
        weights = run_folder / "last.safetensors"
        if not (run_folder / "trained.json").exists():
            tilewise(
                "train", "--model", network.model, *placed(network.training, root, out), "--resume", "--out",
                str(run_folder), "--json", str(run_folder / "trained.json"),
            )  # fmt: skip
    began = time.monotonic()
    tilewise(
        "optimize", network.model, *placed(network.given, root, out), "--out", str(folder), "--seed", str(seed),
        "--threads", "1", *(() if minutes == MINUTES else ("--minutes", str(minutes))),
        *(() if weights is None else ("--weights", str(weights))),
    )  # fmt: skip
    taken = (time.monotonic() - began) / 60
    model = network.build() if weights is None else load_weights(network.build(), weights)
    row = judged(model.eval(), network, seed, root, out, folder) | {"minutes": round(taken, 1)}
    write_json(done, row)
    return row


def placed(options: tuple[str, ...], root: Path, out: Path) -> list[str]:
    """Put the folders into options."""
    return [option.replace("ROOT", str(root)).replace("OUT", str(out)) for option in options]


def tilewise(*arguments: str) -> None:
    """Run a command; modules beside this one are found."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    code = "from tilewise.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, env={**os.environ, "PYTHONPATH": path})


@torch.no_grad()
def judged(model: nn.Module, network: Network, seed: int, root: Path, out: Path, folder: Path) -> dict[str, Any]:
    """Return times as the command measured them, and losses on the images that it did not see."""
    summary = json.loads((folder / "summary.json").read_bytes())
    data = network.unseen(root, out)
    batches = [pair for x, y in data.scoring() for pair in zip(torch.split(x, 1), torch.split(y, 1), strict=True)]
    images, labels = [x for x, _ in batches], [y for _, y in batches]
    wanted = [model(x) for x in images]
    metric = data.task if isinstance(data, Scenes) else summary["judged"]["metric"]
    judge = make_judge(metric, wanted[0], labels[0] if summary["judged"]["by_labels"] else None, images[0].shape[1])
    targets = labels if judge.by_labels else wanted

    def counts(run: Callable[[Tensor], Any]) -> Tensor:
        return torch.stack([judge.counts(run(x), y) for x, y in zip(images, targets, strict=True)])

    direct = counts(tw.load(folder / "steps/direct.tilewise", threads=1))
    base = direct if judge.from_direct else counts(model)
    best = counts(tw.load(folder / "model.tilewise", threads=1))
    losses = {"tilewise": loss(judge, base, best, seed), "direct int8": loss(judge, base, direct, seed)}
    for peer in others(folder / "steps", 1):
        if peer.quantized:
            losses[peer.name] = loss(judge, base, counts(peer.call), seed)
    result, times = summary["result"], {other["name"]: other["milliseconds"] for other in summary["others"]}
    return {
        "title": network.title, "result": result["name"], "promise": result["promise"],
        "metric": judge.task.metric, "unit": judge.task.unit, "drop_from": summary["judged"]["drop_from"],
        "max_drop": summary["settings"]["max_drop"], "held_back": summary["judged"]["held_back"],
        "unseen": len(images), "score": judge.score(counts(model)) if not judge.from_direct else judge.score(direct),
        "milliseconds": {"tilewise": result["milliseconds"], "direct int8": summary["direct"]["milliseconds"], **times},
        "drop_held_back": result["drop"], "drop_unseen": losses, "machine": summary["machine"],
    }  # fmt: skip


def loss(judge: Judge, base: Tensor, counts: Tensor, seed: int) -> dict[str, float]:
    """Return what is lost, with its interval."""
    found: Drop = judge.drop(base, counts, seed)
    return asdict(found)


def text(result: dict[str, Any]) -> str:
    """Return the page of results."""
    held = [f"{name}={value}" for name, value in result["environment"].items()]
    again = "" if result["minutes"] == MINUTES else f" --minutes {result['minutes']:g}"
    lines = [
        "# Five networks by `tilewise optimize`", "",
        *textwrap.wrap(
            f"Default options, at most {result['minutes']:g} minutes each, {result['machine']}. Losses are measured on "
            "images that the command did not see, with an interval of 95 % by a bootstrap over images. Those of the "
            "upscaler are dB from direct int8, both against the float network's pictures; the others are points from "
            "the float network. Others run the same network, quantized by ONNX Runtime's own tool (QDQ, per channel), "
            "on one thread too. CIFAR-10 gives half of its test images to the command, the other half judges; CamVid "
            "its training images, its test images judge; the upscaler gets half of T91, Set5 and Set14, the other half "
            "judges. Once more it gets T91 only, and Set5 and Set14 judge, which are sharper: ranges measured on other "
            "kinds of pictures clip them. SqueezeNet, U-Net and the narrow MobileNetV2 were trained for minutes, and "
            "are not at their best. Command:", 100,
        ), "",
        f"    {' '.join([*held, 'python'])} benchmarks/optimize_networks.py --root data{again}", "",
    ]  # fmt: skip
    rows = result["rows"]
    lines += [*speed_table(rows), "", *loss_table(rows), "", *seeds_table(rows)]
    return "\n".join(lines) + "\n"


def speed_table(rows: dict[str, Any]) -> list[str]:
    """Return milliseconds of one image, and minutes."""
    first = {name: found[min(found, key=int)] for name, found in rows.items()}
    titles = list(dict.fromkeys(title for row in first.values() for title in row["milliseconds"]))
    lines = [f"| ms | {' | '.join(titles)} | minutes | |", f"|---|{'---:|' * (len(titles) + 1)}---|"]
    for name, row in first.items():
        cells = [f"{row['milliseconds'][title]:.3f}" if title in row["milliseconds"] else "" for title in titles]
        lines.append(f"| {row['title']} | {' | '.join(cells)} | {row['minutes']:g} | [page](optimize/{name}.html) |")
    return lines


def loss_table(rows: dict[str, Any]) -> list[str]:
    """Return losses on images that were not seen."""
    first = {name: found[min(found, key=int)] for name, found in rows.items()}
    titles = list(dict.fromkeys(title for row in first.values() for title in row["drop_unseen"]))
    lines = [f"| lost | chosen | {' | '.join(titles)} |", f"|---|---|{'---:|' * len(titles)}"]
    for row in first.values():
        cells = [said(row["drop_unseen"].get(title), row["unit"]) for title in titles]
        lines.append(f"| {row['title']} | {row['result']} | {' | '.join(cells)} |")
    return lines


def said(drop: dict[str, float] | None, unit: str) -> str:
    """Return a loss in words."""
    return "" if drop is None else f"{drop['value']:.2f} {unit} ({drop['low']:.2f} to {drop['high']:.2f})"


def seeds_table(rows: dict[str, Any]) -> list[str]:
    """Return each run: whether it is faster than direct int8, and within the budget where it did not look."""
    lines = ["| network | seed | x direct int8 | lost, held back | lost, not seen | allowed |", "|---|" + "---:|" * 5]
    for found in rows.values():
        for seed, row in sorted(found.items(), key=lambda item: int(item[0])):
            speedup = row["milliseconds"]["direct int8"] / row["milliseconds"]["tilewise"]
            held, unseen = (said(drop, row["unit"]) for drop in (row["drop_held_back"], row["drop_unseen"]["tilewise"]))
            lines.append(f"| {row['title']} | {seed} | {speedup:.2f} | {held} | {unseen} | {row['max_drop']:g} |")
    return lines


if __name__ == "__main__":
    main()
