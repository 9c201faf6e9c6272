"""Whole files: under many writers, after kills, with the mode that they had."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tilewise.common import files
from tilewise.common.files import write_json, write_whole
from tilewise.train import load_weights, save_weights

ROUNDS = 2000


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_json(path, {"x": 1})
    assert path.read_text() == '{\n "x": 1\n}\n'
    write_whole(path, b"{}")
    assert (path.read_bytes(), names(path.parent)) == (b"{}", ["b.json"])


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_the_mode_of_a_file_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.touch()
    path.chmod(mode)
    write_whole(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "a", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_a_link_keeps_pointing_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(ValueError, match=f"{path} is no file"):
            write_whole(path, b"new")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "a", b"new")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


KILLED = """
import os, signal, sys
from pathlib import Path
from tilewise.common.files import write_whole
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_whole(Path(sys.argv[1]), b"new")
"""


def test_the_next_write_removes_what_a_kill_left_and_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / ".a.2.0123456789abcdef.tmp"
    other.touch()  # that of a file "a.2"
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    assert "a" not in names(tmp_path)
    write_whole(tmp_path / "a", b"new")
    assert names(tmp_path) == [other.name, "a"]


def test_a_temporary_file_in_use_is_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, fsync, inner = tmp_path / "a", os.fsync, []

    def write_another(descriptor: int) -> None:
        if not inner:  # while the first write is at its end, another one comes and goes
            inner.append(descriptor)
            write_whole(path, b"second")
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", write_another)
    write_whole(path, b"first")
    assert (names(tmp_path), path.read_bytes()) == (["a"], b"first")


def test_a_temporary_file_that_was_taken_for_a_leftover_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, removed = files._locked, []

    def remove_first(descriptor: int, *, wait: bool) -> bool:
        if not removed:
            removed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            Path(removed[0]).unlink()
        return locked(descriptor, wait=wait)

    monkeypatch.setattr(files, "_locked", remove_first)
    write_whole(tmp_path / "a", b"new")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"new")


def test_threads_save_and_load_one_path(tmp_path: Path) -> None:
    """Each of thousands of loads finds one of the two saved networks, whole."""
    path, stop = tmp_path / "m.safetensors", threading.Event()
    plain = torch.nn.Linear(3, 3)
    networks = [torch.nn.Linear(3, 3) for _ in range(2)]
    wanted = {network.weight.detach().numpy().tobytes() for network in networks}
    save_weights(networks[0], path)

    def save(network: torch.nn.Module) -> None:
        for _ in range(ROUNDS // 2):
            save_weights(network, path)

    def load() -> int:
        loads = 0
        while not stop.is_set() or loads < ROUNDS // 2:
            loaded = load_weights(plain, path)
            assert loaded.weight.detach().numpy().tobytes() in wanted
            loads += 1
        return loads

    with ThreadPoolExecutor(4) as threads:
        saving, loading = [threads.submit(save, n) for n in networks], [threads.submit(load) for _ in range(2)]
        try:
            for each in saving:
                each.result()
        finally:
            stop.set()
        assert sum(each.result() for each in loading) >= ROUNDS
    assert names(tmp_path) == [path.name]


SAVING = """
import sys
from pathlib import Path
from tilewise.common.files import write_whole
for _ in range(300):
    write_whole(Path(sys.argv[1]), sys.argv[2].encode() * 5000)
"""


def test_processes_write_one_path(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0" * 5000)
    writers = [subprocess.Popen([sys.executable, "-c", SAVING, path, letter]) for letter in "xy"]
    while any(writer.poll() is None for writer in writers):
        content = path.read_bytes()
        assert len(content) == 5000
        assert len(set(content)) == 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert names(tmp_path) == ["a"]
