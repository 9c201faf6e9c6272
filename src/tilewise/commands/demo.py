"""The command that shows the main job."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tilewise.commands.options import Common
from tilewise.commands.outputs import Folder
from tilewise.common.files import write_json
from tilewise.common.limits import usable_threads

if TYPE_CHECKING:
    from tilewise.experiments.demo import Study


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Enlarge two photographs with the compact Real-ESRGAN, made fast by `tilewise optimize`; or show the collapse."""

    common: Common = field(default_factory=Common)
    out: Folder = Path("runs/demo")
    """Folder for report.html and the photographs; with --collapse for tables and pictures."""
    minutes: float = 3.0
    """Time to spend on the upscaler."""
    collapse: bool = False
    """Show instead what a swap at each width does to accuracy, what adaptation brings back, and how fast all run."""
    data_root: Path | None = None
    """With --collapse: folder with CIFAR-10 and the pretrained ResNet-20; without it scikit-learn's digits."""
    test_images: int | None = None
    """With --collapse: score on a random part of the test images; all digits, 2000 of CIFAR-10 by default."""

    def run(self) -> dict[str, Any]:
        """Run the demo."""
        from tilewise.common.places import sole_use

        if not self.collapse and (self.data_root is not None or self.test_images is not None):
            raise ValueError("data-root and test-images are for --collapse")
        if not self.collapse:
            return self._upscale()
        with sole_use(self.out):
            return self._collapse()

    def _upscale(self) -> dict[str, Any]:
        """Optimize the upscaler on pieces of the photographs, and enlarge them whole."""
        from PIL import Image

        from tilewise.commands.optimize import print_answer
        from tilewise.experiments.upscaling import enlarged, photographs, tiles, upscaler
        from tilewise.optimization import optimize

        photos = photographs()
        found = optimize(
            upscaler(), [piece for photo in photos.values() for piece in tiles(photo)], out=self.out,
            minutes=self.minutes, threads=self.common.threads or usable_threads(), seed=self.common.seed,
            progress=True, origin={"command": "make demo", "model": "The compact Real-ESRGAN upscaler"},
        )  # fmt: skip
        for name, photo in photos.items():
            Image.fromarray(enlarged(found.engine, photo)).save(self.out / f"{name}.png")
        print_answer(found.summary)
        print(f"enlarged photographs: {', '.join(str(self.out / f'{name}.png') for name in photos)}")
        print(f"before and after, all figures: {found.page.resolve().as_uri()}")
        return found.summary

    def _collapse(self) -> dict[str, Any]:
        """Swap, adapt, and measure."""
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
