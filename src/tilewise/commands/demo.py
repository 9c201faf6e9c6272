"""The command that shows the main job."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tilewise.commands.options import Common
from tilewise.commands.outputs import Folder
from tilewise.common.files import write_json

if TYPE_CHECKING:
    from tilewise.experiments.demo import Study


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The main job: what a swap at each width does, who survives, what adaptation brings back, and how fast all run."""

    common: Common = field(default_factory=Common)
    data_root: Path | None = None
    """Folder with CIFAR-10 and the pretrained ResNet-20; without it scikit-learn's digits and a small network."""
    out: Folder = Path("runs/demo")
    """Folder for summary.json and accuracy.png, speed.json and speed.png."""
    test_images: int | None = None
    """Score on a random part of the test images; all digits, 2000 of CIFAR-10 by default."""

    def run(self) -> dict[str, Any]:
        """Run the demo."""
        from tilewise.common.places import sole_use

        with sole_use(self.out):
            return self._run()

    def _run(self) -> dict[str, Any]:
        from tilewise.experiments.demo import ADAPTED, prepare
        from tilewise.report.accuracy import figure, table

        study = prepare(self.data_root, self.test_images, device=self.common.device, seed=self.common.seed)
        print(f"swapping the convolutions of {study.title} ...")
        study.swap()
        for name, scales in ADAPTED:
            for transforms in ("static", "learned"):
                print(f"adapting to {name}, 8 bits, one scale per {scales}, {transforms} transforms ...")
                study.adapt(name, scales, transforms)
        result = {"title": study.title, "rows": [row.to_dict() for row in study.rows]}
        write_json(self.out / "summary.json", result)
        figure(study.rows, study.title, self.out / "accuracy.png")
        Console(width=120).print(table(study.rows, f"Accuracy in %: {study.title}"))
        print(f"wrote {self.out / 'summary.json'} and {self.out / 'accuracy.png'}")
        return {**result, "speed": self._race(study)}

    def _race(self, study: Study) -> dict[str, Any]:
        """Compile, measure and draw. Times differ from run to run, so they have a file of their own."""
        from tilewise.experiments.speed import race_study
        from tilewise.latency import Machine
        from tilewise.report.speed import figure, table

        threads = self.common.threads or 1
        machine = str(Machine.here(threads))
        print(f"compiling for this machine, {threads} threads ...")
        networks = race_study(study, threads)
        for title, rows in networks.items():
            Console(width=120).print(table(rows, title))
        figure(networks, machine, self.out / "speed.png")
        speed = {
            "machine": machine,
            **{title: [row.to_dict() for row in rows] for title, rows in networks.items()},
        }
        write_json(self.out / "speed.json", speed)
        print(f"wrote {self.out / 'speed.json'} and {self.out / 'speed.png'}")
        return speed
