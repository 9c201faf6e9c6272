"""The command that shows that a compiled network gives the same bits everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tilewise.commands.options import Common
from tilewise.commands.outputs import JsonFile
from tilewise.common.files import read_json, write_json

if TYPE_CHECKING:
    from tilewise.engine.certificate import Case, Way


@dataclass(frozen=True, kw_only=True)
class Certify:
    """Run a compiled network on every kernel set and number of threads here, and keep digests of what it gives."""

    file: Annotated[Path, tyro.conf.Positional]
    """File that `tilewise compile` wrote."""
    images: Path | None = None
    """Folder of images to run it on, in place of noise of two sizes."""
    tensors: bool = False
    """Keep digests of every tensor too: a difference is then found at its first operation."""
    out: JsonFile | None = None
    """File for the certificate."""
    against: Path | None = None
    """A certificate, of this machine or another: say "equal", or name the first operation that differs."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Certify."""
        from tilewise.engine import load
        from tilewise.engine.certificate import certify

        content, ways = load(self.file).content(), ways_here(self.common.threads)
        given = None if self.against is None else read_certificate(self.against)
        tensors = self.tensors or (given is not None and any("tensors" in case for case in given["cases"]))
        try:
            found = certify(content, self._cases(content, given), ways, tensors=tensors)
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}") from error
        print(f"{self.file}: {found['network']}")
        print(f"the same bits in {len(ways)} ways: {describe(ways)}")
        for case in found["cases"]:
            for name, entry in case["results"].items():
                print(f"{case['case']}: {name} {entry['shape']} {entry['sha256']}")
        if given is not None:
            self._compare(given, found)
        if self.out is not None:
            write_json(self.out, found)
            print(f"wrote {self.out}")
        return found

    def _cases(self, content: bytes, given: dict[str, Any] | None) -> list[Case]:
        """Return what to run on: images, noise, or what a given certificate is of."""
        from tilewise.engine.certificate import NOISE, noise, noise_case
        from tilewise.engine.program import read_program

        if given is None:
            return noise(content) if self.images is None else list(self._images(content).values())
        program, images, cases = read_program(content), {} if self.images is None else self._images(content), []
        for case in given["cases"]:
            name = case["case"]
            if name.split()[0] == NOISE:
                cases.append(noise_case(program, {x: entry["shape"] for x, entry in case["images"].items()}))
            elif name in images:
                cases.append(images[name])
            else:
                raise ValueError(f"{self.against} is of the image {name}; give its folder: --images")
        return cases

    def _images(self, content: bytes) -> dict[str, Case]:
        from tilewise.data.pictures import SUFFIXES, read_picture
        from tilewise.engine.certificate import case_of
        from tilewise.engine.engine import Engine

        assert self.images is not None
        engine = Engine(content)
        files = sorted(path for path in self.images.iterdir() if path.suffix.lower() in SUFFIXES)
        if not files:
            raise ValueError(f"{self.images} has no images; allowed: {', '.join(SUFFIXES)}")
        return {path.name: case_of(engine, path.name, read_picture(path, colour=True)) for path in files}

    def _compare(self, given: dict[str, Any], found: dict[str, Any]) -> None:
        from tilewise.engine.certificate import changed_operation, first_difference

        if (difference := first_difference(given, found)) is not None:
            raise ValueError(f"{self.file} is not what {self.against} says: {difference}")
        print("equal")
        if given["network"] != found["network"]:
            changed = changed_operation(given, found) or "nothing that computes"
            print(f"the file is another one, with the same results; the first difference: {changed}")


def ways_here(threads: int | None) -> list[Way]:
    """Return all ways to compute on this machine, the plainest first."""
    from tilewise import _native
    from tilewise.common.limits import usable_threads
    from tilewise.engine.certificate import BATCHES, Way

    sets = [str(each["name"]) for each in _native.kernel_sets() if each["supported"]]
    most = threads or usable_threads()
    numbers = sorted({min(2**power, most) for power in range(most.bit_length() + 1)})
    return [Way(name, number, batch) for name in reversed(sets) for number in numbers for batch in BATCHES]


def describe(ways: list[Way]) -> str:
    """Name kernel sets, numbers of threads and batches."""
    sets, numbers, batches = (
        ", ".join(dict.fromkeys(str(getattr(way, name)) for way in ways)) for name in ("kernel_set", "threads", "batch")
    )
    return f"{sets}; {numbers} threads; {batches} images at once"


def read_certificate(path: Path) -> dict[str, Any]:
    """Read a certificate.

    Raises
    ------
    ValueError
        If the file is none.
    """
    from tilewise.engine.certificate import VERSION

    try:
        content = read_json(path)
        if content["certificate"] != VERSION:
            raise ValueError(f"it is of version {content['certificate']!r}; this release reads {VERSION}")  # noqa: TRY301
        for case in content["cases"]:
            _ = case["case"] + "x", dict(case["results"]), dict(case.get("tensors", {}))
            _ = [math.prod(entry["shape"]) + len(entry["shape"]) for entry in case["images"].values()]
        _ = content["network"] + "x", [(each["name"], each["op"], each["sha256"]) for each in content["operations"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no certificate: {error}") from error
    return dict(content)
