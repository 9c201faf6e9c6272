"""Measuring on another machine: the program tilewise-measure (native/tools) runs there, at the end of a pipe."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from tilewise.latency.machine import Machine
from tilewise.latency.runners import WARM_UP
from tilewise.latency.works import SizedProgram

FORMAT = 2
"""Of commands and answers; native/tools/session.h has them."""

TIMEOUT = 600.0
"""Seconds to wait for an answer. Slow boards take minutes to make an engine of a large network."""

SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15", "--")
ARCHITECTURES = {62: "x86_64", 183: "aarch64"}
"""By the machine field of an ELF file."""


class RemoteRunner:
    """A running tilewise-measure.

    Parameters
    ----------
    command : sequence of str
        Starts the program, with its input and output at ours: ``["ssh", "user@host", "./tilewise-measure"]``,
        ``["qemu-aarch64", "build/aarch64/tilewise-measure"]``.
    threads : int
        How many to measure with.
    isa : str, optional
        Kernel set to force; by default the best one there.
    timeout : float
        Seconds to wait for an answer.

    Raises
    ------
    ValueError
        If ``isa`` is no name.
    ConnectionError
        If the command does not start the program, or it ends, with what it said last.
    TimeoutError
        If it does not answer.

    Examples
    --------
    >>> with RemoteRunner(["ssh", "pi@board", "./tilewise-measure"], threads=4) as board:
    ...     table = tilewise.measure(model, example, runner=board)
    """

    def __init__(
        self, command: Sequence[str], *, threads: int = 1, isa: str | None = None, timeout: float = TIMEOUT
    ) -> None:
        if isa and not isa.isalnum():
            raise ValueError(f"isa is {isa!r}; allowed: a kernel set's name, as tilewise info lists them")
        options = ["--threads", str(threads), *(["--isa", isa] if isa else [])]
        self._name = " ".join(command)
        self._timeout = timeout
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe could fill up while nobody reads it
        self._pending = b""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the caller's own command
                [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError as error:
            self._errors.close()
            raise ConnectionError(f"{self._name} can not be started: {error.strerror}") from error
        try:
            self.machine, self.versions = self._greeting()
        except BaseException:
            self.close()
            raise

    def _greeting(self) -> tuple[Machine, dict[str, str]]:
        hello = self._answer()
        if hello.get("format") != FORMAT:
            raise ConnectionError(
                f"{self._name} speaks format {hello.get('format')!r}; this release speaks {FORMAT}: build it anew"
            )
        machine = Machine(cpu=hello["cpu"], isa=hello["isa"], threads=hello["threads"])
        return machine, {"tilewise": metadata.version("tilewise"), "compiler": hello["compiler"]}

    def load(self, sized: SizedProgram) -> RemoteProgram:
        """Send a program.

        Raises
        ------
        ConnectionError
            If the program refuses it, or is gone.
        """
        content, (images, _, height, width) = sized.program.to_bytes(), sized.shape
        head = f"program bytes={len(content)} images={images} height={height} width={width}\n"
        return RemoteProgram(self, sized, self.ask(head.encode() + content)["program"])

    def ask(self, command: bytes) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        return self._answer()

    def peaks(self) -> dict[str, float]:
        """Measure what the threads can do at most there, as ``Engine.peaks``."""
        return {name: value * self.machine.threads for name, value in self.ask(b"peaks\n").items()}

    def _answer(self) -> dict[str, Any]:
        line = self._line()
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            text = line.decode(errors="replace").strip()[:80]
            raise ConnectionError(f"{self._name} answers {text!r}; a tilewise-measure answers in JSON")
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._timeout
        while b"\n" not in self._pending:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                self._process.kill()
                raise TimeoutError(f"{self._name} has not answered for {self._timeout:g} seconds")
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                raise self._failure()
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _failure(self) -> ConnectionError:
        """Say how the program ended."""
        status = self._end()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else "nothing on its error stream"
        return ConnectionError(f"{self._name} ended with status {status}: {said}")

    def close(self) -> None:
        """End the program."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # of what a program that has ended has not read
                pipe.close()
        self._end()
        self._errors.close()

    def _end(self) -> int:
        """Wait for the end of the program, which its input's end has brought about; give its status."""
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the program."""
        self.close()


class RemoteProgram:
    """A program on the other machine."""

    def __init__(self, runner: RemoteRunner, sized: SizedProgram, number: int) -> None:
        self.sized = sized
        self._runner = runner
        self._number = number

    def call(self) -> float:
        """Give the seconds of a call, after some that bring weights to where an engine's own calls leave them."""
        return float(self._runner.ask(f"call program={self._number} warm_up={WARM_UP}\n".encode())["seconds"])

    def profile(self, repeats: int = 1) -> list[dict[str, Any]]:
        """Give each operation's median seconds, as the native ``Engine.profile``."""
        answer = self._runner.ask(f"profile program={self._number} repeats={repeats}\n".encode())
        return [
            {"name": node["name"], "algorithm": node.get("algorithm", ""), **row}
            for node, row in zip(self.sized.program.operations, answer["operations"], strict=True)
        ]

    def close(self) -> None:
        """Give its memory back."""
        self._runner.ask(f"forget program={self._number}\n".encode())


def connect(
    host: str,
    *,
    program: str | Path | None = None,
    remote_program: str | None = None,
    threads: int = 1,
    isa: str | None = None,
    timeout: float = TIMEOUT,
) -> RemoteRunner:
    """Start tilewise-measure on another machine, through ssh; it is copied there first where it is not there yet.

    Parameters
    ----------
    host : str
        As ssh takes it: ``"user@host"``, or a name of its configuration. A key must let it in without a password.
    program : path, optional
        The program on this machine, built for that one. It is kept there in ``~/.cache/tilewise``.
    remote_program : str, optional
        In its place the path of a program that is there already.
    threads, isa, timeout
        As for :class:`RemoteRunner`.

    Raises
    ------
    ValueError
        If neither or both programs are given, ``host`` is no host's name, or the program is for another architecture.
    FileNotFoundError
        If there is no such program here.
    ConnectionError
        If ssh does not get there, or the program does not start.
    """
    if not host or host.startswith("-") or any(c.isspace() for c in host):
        raise ValueError(f"host is {host!r}; allowed: a name as ssh takes it, such as user@host")
    if (program is None) == (remote_program is None):
        raise ValueError(
            "a remote machine needs one of two: program, a tilewise-measure built for it (make measure-aarch64), "
            "or remote_program, the path of one that is there"
        )
    path = remote_program if program is None else _installed(host, Path(program))
    assert path is not None
    return RemoteRunner([*SSH, host, shlex.quote(path)], threads=threads, isa=isa, timeout=timeout)


def _installed(host: str, program: Path) -> str:
    """Give the program's path on the host, where it is copied to unless the same one is there."""
    if not program.is_file():
        raise FileNotFoundError(f"no program at {program}; build it: make measure-aarch64, or with -DTILEWISE_TOOLS=ON")
    content = program.read_bytes()
    wanted = _architecture(content, program)
    path = f".cache/tilewise/measure-{hashlib.sha256(content).hexdigest()[:16]}"
    architecture, *found = _ssh(host, f"uname -m; if test -x {path}; then echo found; fi").split()
    if architecture != wanted:
        raise ValueError(f"{program} is for {wanted}; {host} is {architecture}")
    if not found:
        part = f"{path}.{os.getpid()}"
        _ssh(host, f"mkdir -p .cache/tilewise && cat > {part} && chmod 755 {part} && mv {part} {path}", content)
    return path


def _architecture(content: bytes, program: Path) -> str:
    """Tell from its header what an ELF file is for."""
    machine = int.from_bytes(content[18:20], "little")
    if content[:4] != b"\x7fELF" or machine not in ARCHITECTURES:
        raise ValueError(f"{program} is no Linux program for {' or '.join(ARCHITECTURES.values())}")
    return ARCHITECTURES[machine]


def _ssh(host: str, command: str, content: bytes = b"") -> str:
    """Run a command there; give what it says."""
    try:
        done = subprocess.run(  # noqa: S603 - ssh, to the caller's own host
            [*SSH, host, command], check=False, input=content, capture_output=True, timeout=TIMEOUT
        )
    except FileNotFoundError:
        raise ConnectionError("there is no ssh on this machine; it is needed for a remote one") from None
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{host} has not answered for {TIMEOUT:g} seconds") from None
    if done.returncode != 0 or not (done.stdout or content):
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ConnectionError(f"ssh to {host} ended with status {done.returncode}: {lines[-1] if lines else ''}")
    return done.stdout.decode(errors="replace")
