"""Another machine's latencies. The program itself is tested where TILEWISE_MEASURE is the command that starts it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tilewise.cli import main
from tilewise.latency import CANDIDATES, LatencyTable, LayerShape, RemoteRunner, connect, layer_program, measure
from tilewise.latency.candidates import Candidate
from tilewise.latency.operations import SizedProgram
from tilewise.latency.timing import Here

COMMAND = shlex.split(os.environ.get("TILEWISE_MEASURE", ""))
needs_program = pytest.mark.skipif(not COMMAND, reason="TILEWISE_MEASURE is not set")
GREETING = '{"format":2,"cpu":"x","isa":"y","threads":1,"compiler":"z"}'
SHAPE = LayerShape(batch=1, in_channels=16, out_channels=8, kernel=(3, 3), padding=(1, 1), height=9, width=10)


def shell(script: str) -> list[str]:
    """Return the command of a program that does what a line of the shell says."""
    return ["sh", "-c", script]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run the command line."""
    monkeypatch.setattr(sys, "argv", ["tilewise", "measure", *arguments])
    main()


@pytest.fixture
def runner() -> Iterator[RemoteRunner]:
    with RemoteRunner(COMMAND) as program:
        yield program


def program_of(candidate: str) -> SizedProgram:
    """Give the program of a single layer."""
    return SizedProgram.of(layer_program(SHAPE, Candidate.parse(candidate)), (1, 16, 9, 10))


def test_a_program_is_sent_as_its_file(tmp_path: Path) -> None:
    kept, sized = tmp_path / "sent", program_of("F4 int8")
    content = sized.program.to_bytes()
    head = f"program bytes={len(content)} images=1 height=9 width=10\n".encode()
    answer = "'{\"program\":5}'"
    script = f"echo '{GREETING}'; head -c {len(head) + len(content)} >{kept}; echo {answer}; cat"
    with RemoteRunner(shell(script)) as there:
        assert there.load(sized).sized is sized
    assert kept.read_bytes() == head + content


class TestErrors:
    """A program that is none, or not the right one, ends in one error that says so."""

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            (["/no/such/program"], "can not be started: No such file"),
            (shell("echo Welcome; cat"), "answers 'Welcome'; a tilewise-measure answers in JSON"),
            (shell("echo 1; cat"), "answers '1'"),
            (shell("echo '{\"format\":9}'; cat"), "speaks format 9; this release speaks 2: build it anew"),
            (shell("echo noise >&2; echo cannot execute >&2; exit 126"), "ended with status 126: cannot execute"),
            (shell("exit 3"), "ended with status 3: nothing on its error stream"),
        ],
    )
    def test_start(self, command: list[str], message: str) -> None:
        with pytest.raises(ConnectionError, match=message):
            RemoteRunner(command)

    def test_no_answer(self) -> None:
        with pytest.raises(TimeoutError, match=r"has not answered for 0\.2 seconds"):
            RemoteRunner(shell("exec sleep 100"), timeout=0.2)

    def test_end_between(self) -> None:
        with (
            RemoteRunner(shell(f"echo '{GREETING}'; read line; echo the power is gone >&2; exit 1")) as program,
            pytest.raises(ConnectionError, match="ended with status 1: the power is gone"),
        ):
            program.load(program_of("F4 int8"))

    def test_kernel_set(self) -> None:
        with pytest.raises(ValueError, match="isa is 'neon; reboot'; allowed: a kernel set's name"):
            RemoteRunner(shell("cat"), isa="neon; reboot")


class TestConnect:
    """Through an ssh that stays on this machine, in a folder of its own."""

    @pytest.fixture
    def there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        home, tools = tmp_path / "there", tmp_path / "tools"
        home.mkdir()
        tools.mkdir()
        (tools / "ssh").write_text(
            "#!/bin/sh\n"
            'while [ "$1" != -- ]; do shift; done; shift\n'
            'if [ "$1" = nowhere ]; then echo "ssh: no such host" >&2; exit 255; fi\n'
            f'shift; cd {home} && exec sh -c "$*"\n'
        )
        (tools / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        return home

    def test_copies_the_program_once(self, there: Path) -> None:
        echo = shutil.which("echo")
        copies = there / ".cache" / "tilewise"
        for _ in range(2):
            with pytest.raises(ConnectionError, match="answers '--threads 3 --isa neon'"):
                connect("me@there", program=echo, threads=3, isa="neon")
            (copy,) = copies.iterdir()
            assert copy.read_bytes() == Path(str(echo)).read_bytes()
            os.utime(copy, (1, 1))
        assert copy.stat().st_mtime == 1

    def test_uses_the_program_that_is_there(self, there: Path) -> None:
        (there / "a program").write_text(f"#!/bin/sh\necho '{GREETING}'; cat\n")
        (there / "a program").chmod(0o755)
        with connect("me@there", remote_program="./a program") as program:
            assert program.machine.cpu == "x"
        with pytest.raises(ConnectionError, match=r"ended with status 127: .*not found"):
            connect("me@there", remote_program="./another")

    def test_refusals(self, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for host in ("", "-oProxyCommand=reboot", "me@there reboot"):
            with pytest.raises(ValueError, match="allowed: a name as ssh takes it, such as user@host"):
                connect(host, remote_program="x")
        for programs in ({}, {"program": "x", "remote_program": "x"}):
            with pytest.raises(ValueError, match="a remote machine needs one of two"):
                connect("me@there", **programs)  # type: ignore[arg-type]
        with pytest.raises(FileNotFoundError, match="no program at"):
            connect("me@there", program=tmp_path / "none")
        (tmp_path / "arm").write_bytes(b"\x7fELF" + bytes(14) + bytes([183, 0]))
        (tmp_path / "text").write_bytes(b"#!/bin/sh")
        other = "is for aarch64; me@there is " if os.uname().machine == "x86_64" else "ended with status"
        with pytest.raises((ValueError, ConnectionError), match=other):
            connect("me@there", program=tmp_path / "arm")
        with pytest.raises(ValueError, match="is no Linux program for x86_64 or aarch64"):
            connect("me@there", program=tmp_path / "text")
        with pytest.raises(ConnectionError, match="ssh to nowhere ended with status 255: ssh: no such host"):
            connect("nowhere", program=sys.executable)
        monkeypatch.setenv("PATH", str(there))
        with pytest.raises(ConnectionError, match="there is no ssh on this machine"):
            connect("me@there", program=sys.executable)
        with pytest.raises(ConnectionError, match=r"ssh .* can not be started"):
            connect("me@there", remote_program="x")

    @pytest.mark.skipif(len(COMMAND) != 1, reason="TILEWISE_MEASURE is not a program of this machine")
    @pytest.mark.usefixtures("there")
    def test_measures(self) -> None:
        with connect("me@there", program=COMMAND[0], isa="portable") as program:
            assert program.machine.isa == "portable"
            loaded = program.load(program_of("F2 int8"))
            assert [row["op"] for row in loaded.profile()] == ["input", "fast_int8", "output"]

    @pytest.mark.skipif(len(COMMAND) != 1, reason="TILEWISE_MEASURE is not a program of this machine")
    @pytest.mark.usefixtures("there")
    def test_command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TILEWISE_ISA", "portable")
        path = tmp_path / "table.jsonl"
        network = ("--model", "small", "--size", "12", "--candidates", "direct int8", "--rounds", "1")
        run(monkeypatch, "--remote", "me@there", "--program", COMMAND[0], *network, "--out", str(path))
        assert LatencyTable.load(path, any_machine=True).machine.isa == "portable"

    @pytest.mark.usefixtures("there")
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--program", "x"), "a program is for a remote machine; name it: --remote user@host"),
            (("--remote", "me@there"), "a remote machine needs one of two"),
            (("--remote", "nowhere", "--program", sys.executable), "ssh to nowhere ended with status 255"),
            (("--remote", "nowhere", "--remote-program", "x"), "ended with status 255: ssh: no such host"),
        ],
    )
    def test_command_refusals(
        self,
        arguments: tuple[str, ...],
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        with pytest.raises(SystemExit) as stop:
            run(monkeypatch, "--grid", "--out", str(tmp_path / "table.jsonl"), *arguments)
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line


@needs_program
class TestProgram:
    def test_layers(self, runner: RemoteRunner) -> None:
        """Every candidate's program is taken, and runs on the kernels that run it here."""
        for candidate in CANDIDATES:
            sized = program_of(str(candidate))
            loaded = runner.load(sized)
            rows = loaded.profile(repeats=2)
            here = Here().load(sized).profile()
            assert [(row["name"], row["op"], row["algorithm"]) for row in rows] == [
                (row["name"], row["op"], row["algorithm"]) for row in here
            ]
            assert rows[0].keys() <= here[0].keys()
            assert all(row["seconds"] > 0 for row in rows)
            assert (rows[1]["multiply"] > 0) == (candidate.algorithm != "direct")
            assert loaded.call() > 0
            loaded.close()

    def test_refusals(self, runner: RemoteRunner) -> None:
        loaded = runner.load(program_of("F2 int8"))
        loaded.close()
        with pytest.raises(ConnectionError, match=r"status 2: tilewise-measure: line .*: there is no program 0"):
            loaded.profile()
        with pytest.raises(ConnectionError, match=r"threads is 100000, must be 1\.\."):
            RemoteRunner(COMMAND, threads=100000)
        with pytest.raises(ConnectionError, match="unknown kernel set sse"):
            RemoteRunner(COMMAND, isa="sse")

    def test_table(self, tmp_path: Path) -> None:
        """The same table as one measured here, but for its machine and the seconds."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3, padding=1)).eval()
        example, path = torch.zeros(2, 3, 12, 12), tmp_path / "table.jsonl"
        options = {"candidates": ["direct int8", "F2 int8", "F2 float32"], "rounds": 1}
        with RemoteRunner(COMMAND, isa="portable") as there:
            table = measure(model, example, runner=there, out=path, **options)  # type: ignore[arg-type]
            measure(model, example, runner=there, out=path, **options)  # type: ignore[arg-type]
            machine = there.machine
            assert set(there.peaks()) == {"int8_operations", "float_operations", "cache_bytes", "memory_bytes"}
        here = measure(model, example, **options)  # type: ignore[arg-type]
        assert table.machine == machine
        assert {record.work for record in table} == {record.work for record in here}
        again = LatencyTable.load(path, any_machine=True)
        assert {record.work for record in again} == {record.work for record in table}
        assert "GCC" in next(iter(again)).versions["compiler"] or "Clang" in next(iter(again)).versions["compiler"]
        with pytest.raises(ValueError, match="portable"):
            LatencyTable.load(path)
        with RemoteRunner(COMMAND, isa="reference") as other, pytest.raises(ValueError, match="use another file"):
            measure(model, example, runner=other, out=path, **options)  # type: ignore[arg-type]
