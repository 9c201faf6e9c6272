"""The table tests/golden.json and tests/certificates/: SHA-256 of outputs of compiled networks; no change may move one.

    python tests/engine/golden.py check             # names the networks whose outputs differ
    python tests/engine/golden.py write [--force]   # adds networks; --force changes and removes entries too
    python tests/engine/golden.py elsewhere "qemu-aarch64 build/aarch64/tilewise-run" neon dotprod i8mm

The hashes hold on every machine, kernel set and number of threads. Those of float networks, which may round
differently on each kernel set, are of the set `portable`. The certificates are those of `tilewise certify`. `elsewhere`
holds them for another build or machine: by `tilewise-run` (native/tools/run.c), on each of the kernel sets named.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from golden_networks import CERTIFIED, NETWORKS, Golden, images
from numpy.typing import NDArray

import tilewise as tw
from tilewise.engine.certificate import Case, Way, certify, digest, first_difference, noise, noise_case
from tilewise.engine.program import read_program

TABLE = Path(__file__).parents[1] / "golden.json"
CERTIFICATES = TABLE.with_name("certificates")
SIZES = ((16, 16), (21, 13))
"""Of the noise in certificates, beside the images of the table."""
FEWEST = 8
"""Different values that an output has at least, or it would say little of the network."""


def read() -> dict[str, dict[str, Any]]:
    """Return the table: shape and hash of the output by the network's name."""
    table: dict[str, dict[str, Any]] = json.loads(TABLE.read_text())
    return table


def compiled(network: Golden) -> bytes:
    """Return the file of a compiled network."""
    engine = tw.compile(network.build(), images(*network.shape)[:2], precision=network.precision)
    with tempfile.TemporaryDirectory() as folder:
        engine.save(Path(folder) / "network")
        return (Path(folder) / "network").read_bytes()


def output(file: bytes, network: Golden, kernel_set: str, threads: int = 1) -> NDArray[np.float32]:
    """Return what a compiled network makes of its images."""
    before = os.environ.get("TILEWISE_ISA")
    os.environ["TILEWISE_ISA"] = kernel_set
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "network").write_bytes(file)
            return tw.load(Path(folder) / "network", threads=threads)(images(*network.shape))
    finally:
        if before is None:
            del os.environ["TILEWISE_ISA"]
        else:
            os.environ["TILEWISE_ISA"] = before


def entry(y: NDArray[np.float32]) -> dict[str, Any]:
    """Return the table's entry of an output."""
    return digest(y)


def cases(name: str, file: bytes) -> list[Case]:
    """Return what a network is run on: the images of the table first, and more if it has a certificate."""
    program = read_program(file)
    (x,) = (operation["name"] for operation in program.operations if operation["op"] == "input")
    own = noise_case(program, {x: NETWORKS[name].shape})
    return [own, *(noise(file, SIZES) if name in CERTIFIED else ())]


def certificate_of(name: str) -> Path:
    """Return the place of a network's certificate."""
    return CERTIFICATES / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.json"


def write_certificates(*, force: bool) -> None:
    """Write the certificates anew; refuse to change results unless ``force`` says so."""
    CERTIFICATES.mkdir(exist_ok=True)
    for name in CERTIFIED:
        path, file = certificate_of(name), compiled(NETWORKS[name])
        new = certify(file, cases(name, file), [Way("portable", 1, 16)])
        if path.exists() and (found := first_difference(json.loads(path.read_text()), new)) and not force:
            raise SystemExit(f"{path} would change: {found}; --force writes it nevertheless")
        path.write_text(json.dumps(new, indent=1) + "\n")
    print(f"{CERTIFICATES}: {len(CERTIFIED)} certificates")


def elsewhere(program: Sequence[str], kernel_sets: Sequence[str]) -> list[str]:
    """Return on what a program, with a kernel set of its own, gives other results than the certificates."""
    differing = []
    for name in CERTIFIED:
        file, entries = compiled(NETWORKS[name]), json.loads(certificate_of(name).read_text())["cases"]
        with tempfile.NamedTemporaryFile() as place:
            Path(place.name).write_bytes(file)
            for case, entry in zip(cases(name, file), entries, strict=True):
                given = [x.astype(np.float32) for x in case.images.values()]
                sent = b"".join(x.tobytes() for x in given)
                sizes = [f"{x.shape[2]}x{x.shape[3]}" for x in given]
                command = [*program, place.name, str(len(given[0])), *sizes]
                ends = np.cumsum([np.prod(result["shape"]) for result in entry["results"].values()])
                for kernel_set in kernel_sets:
                    environment = os.environ | {"TILEWISE_ISA": kernel_set}
                    done = subprocess.run(command, check=False, input=sent, capture_output=True, env=environment)
                    parts = np.split(np.frombuffer(done.stdout, np.float32), ends)[:-1]
                    results = [(result, y) for result, y in zip(entry["results"].values(), parts, strict=True)]
                    if done.returncode or any(digest(y.reshape(result["shape"])) != result for result, y in results):
                        differing.append(f"{name}, {case.name}, {kernel_set}: {done.stderr.decode() or 'other bits'}")
        print(f"{name}: {len(entries)} cases on {', '.join(kernel_sets)}", flush=True)
    return differing


def check() -> list[str]:
    """Return the names of the networks whose outputs are not those of the table."""
    table, differing = read(), []
    for name, network in NETWORKS.items():
        kernel_set = "" if network.same else "portable"
        if entry(output(compiled(network), network, kernel_set)) != table.get(name):
            differing.append(name)
    return differing


def write(*, force: bool) -> None:
    """Write the table anew; refuse to change or remove what is there unless ``force`` says so."""
    old, new = read() if TABLE.exists() else {}, {}
    for name, network in NETWORKS.items():
        y = output(compiled(network), network, "portable")
        if not np.isfinite(y).all() or len(np.unique(y)) < FEWEST:
            raise SystemExit(f"{name}: the output has {len(np.unique(y))} values; allowed: {FEWEST} or more, finite")
        new[name] = entry(y)
    changed = [name for name in old if old[name] != new.get(name)]
    if changed and not force:
        raise SystemExit(f"these entries would change: {', '.join(changed)}; --force writes them nevertheless")
    TABLE.write_text(json.dumps(new, indent=2) + "\n")
    print(f"{TABLE}: {len(new)} networks, {len(changed)} changed, {len(new.keys() - old.keys())} new")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="name the networks whose outputs differ from the table")
    writing = commands.add_parser("write", help="write the table anew")
    writing.add_argument("--force", action="store_true", help="change and remove entries too")
    holding = commands.add_parser("elsewhere", help="hold the certificates for another build or machine")
    holding.add_argument("program", help="the command of examples/c/run.c")
    holding.add_argument("kernel_sets", nargs="+", help="that it has")
    options = parser.parse_args()
    if options.command == "write":
        write(force=options.force)
        write_certificates(force=options.force)
        return 0
    if options.command == "elsewhere":
        differing = elsewhere(shlex.split(options.program), options.kernel_sets)
    else:
        differing = check()
    for name in differing:
        print(name, "differs", file=sys.stderr)
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
