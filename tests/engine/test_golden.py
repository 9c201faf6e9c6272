"""No change moves a byte of a network's output: tests/golden.json holds what each gives, on every machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tilewise import _native
from tilewise.engine.certificate import BATCHES, Way, certify, first_difference

sys.path.insert(0, str(Path(__file__).parent))
import golden
from golden_networks import CERTIFIED, NETWORKS

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]
THREADS = range(1, min(2, len(os.sched_getaffinity(0))) + 1)
TOLERANCE = {"float32": 1e-5, "bf16": 1e-2}
"""Of the largest value, for networks whose bits a kernel set may round in its own way."""


def test_every_network_is_in_the_table() -> None:
    assert list(golden.read()) == list(NETWORKS)


def test_certificates_are_those_of_the_table() -> None:
    assert {path.name for path in golden.CERTIFICATES.iterdir()} == {golden.certificate_of(n).name for n in CERTIFIED}
    for name in CERTIFIED:
        own, *more = json.loads(golden.certificate_of(name).read_text())["cases"]
        assert list(own["results"].values()) == [golden.read()[name]]
        assert len(more) >= 2


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network.same])
def test_the_same_bits_everywhere(name: str) -> None:
    file = golden.compiled(NETWORKS[name])
    ways = [Way(kernel_set, threads, batch) for kernel_set in KERNEL_SETS for threads in THREADS for batch in BATCHES]
    found = certify(file, golden.cases(name, file), ways)
    assert list(found["cases"][0]["results"].values()) == [golden.read()[name]]
    if name in CERTIFIED:
        assert first_difference(json.loads(golden.certificate_of(name).read_text()), found) is None


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if not network.same])
def test_floats_on_one_kernel_set_to_the_bit_on_others_nearly(name: str) -> None:
    network = NETWORKS[name]
    file = golden.compiled(network)
    expected = golden.output(file, network, "portable")
    assert golden.entry(expected) == golden.read()[name]
    for kernel_set in KERNEL_SETS:
        for threads in THREADS:
            y = golden.output(file, network, kernel_set, threads)
            tolerance = TOLERANCE[network.precision] * np.abs(expected).max()
            np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)


def test_compiling_does_not_depend_on_the_instructions_that_torch_uses() -> None:
    """What torch computes while a network is compiled is elementwise: no library, no vector width decides a bit."""
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    command = [sys.executable, golden.__file__, "check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_entries_change_by_force_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = names = ("16 bits", "moved")
    right = {name: golden.read()[name] for name in names}
    monkeypatch.setattr(golden, "TABLE", tmp_path / "table.json")
    monkeypatch.setattr(golden, "NETWORKS", {name: NETWORKS[name] for name in names})
    golden.write(force=False)
    assert golden.read() == right
    wrong = {first: right[first], second: right[second] | {"sha256": "0"}, "gone": right[first]}
    golden.TABLE.write_text(json.dumps(wrong))
    assert golden.check() == [second]
    with pytest.raises(SystemExit, match=f"these entries would change: {second}, gone; --force"):
        golden.write(force=False)
    assert golden.read() == wrong
    golden.write(force=True)
    assert golden.read() == right
