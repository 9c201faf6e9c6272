"""Places for results: what may be written over, where nothing can be written, who else is at work there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tilewise.common.files import Kind, kind_of, write_whole
from tilewise.common.places import check_place, sole_use

CONTENTS: dict[Kind, bytes] = {
    "Tilewise file": b'\x20\0\0\0\0\0\0\0{"__metadata__": {"tilewise": "{}"}}',
    "JSON file": b'{"a": 1}',
    "PNG picture": b"\x89PNG\r\n\x1a\n",
    "file of another kind": b'\x20\0\0\0\0\0\0\0{"__metadata__": {"format": "pt"}}',
}

HOLDING = """
import sys, time
from pathlib import Path
from tilewise.common.places import sole_use
with sole_use(Path(sys.argv[1])):
    print("has it", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("there", CONTENTS)
@pytest.mark.parametrize("new", CONTENTS)
def test_only_files_of_the_same_kind_are_replaced(tmp_path: Path, there: Kind, new: Kind) -> None:
    path = tmp_path / "a"
    path.write_bytes(CONTENTS[there])
    assert kind_of(CONTENTS[new]) == new
    if there == new:
        write_whole(path, CONTENTS[new] + b" ")
        assert path.read_bytes() == CONTENTS[new] + b" "
        return
    with pytest.raises(ValueError, match=f"{path} is a {there} already, and a {new} would replace it"):
        write_whole(path, CONTENTS[new])
    with pytest.raises(ValueError, match=f"a {new} would replace it"):
        check_place(path, new)
    assert path.read_bytes() == CONTENTS[there]


def test_an_empty_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    check_place(tmp_path / "a", "JSON file")
    write_whole(tmp_path / "a", CONTENTS["JSON file"])


@pytest.mark.parametrize("path", ["/dev/null", "/dev", "/proc/self/fd/0"])
def test_devices_and_folders_are_no_places_for_files(path: str) -> None:
    before = Path(path).stat().st_rdev
    with pytest.raises(ValueError, match="is no file"):
        check_place(Path(path), "JSON file")
    with pytest.raises(ValueError, match="is no file"):
        write_whole(Path(path), b"{}")
    assert Path(path).stat().st_rdev == before


def test_a_place_need_not_be_there_and_looking_leaves_nothing(tmp_path: Path) -> None:
    check_place(tmp_path / "a" / "b", "folder")
    check_place(tmp_path / "a" / "b.json", "JSON file")
    check_place(tmp_path, "folder")
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    for path in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(NotADirectoryError, match=f"{tmp_path / 'file'} is no folder"):
            check_place(path, "folder")
    with pytest.raises(NotADirectoryError, match=f"{tmp_path / 'file'} is no folder"):
        check_place(tmp_path / "file" / "b.json", "JSON file")


@pytest.mark.parametrize("place", ["folder", "JSON file"])
def test_a_folder_that_takes_no_files_is_found_at_once(place: Kind) -> None:
    with pytest.raises(OSError, match=r"can not be written.*'/proc/1'"):  # whoever asks, the superuser too
        check_place(Path("/proc/1/a"), place)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'a'}'"):
        write_whole(tmp_path / "a", b"new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_place_has_one_user_until_it_ends_or_is_killed(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.touch()
    with subprocess.Popen([sys.executable, "-c", HOLDING, place], stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "has it\n"
        with pytest.raises(ValueError, match=f"{place} is in use by process {user.pid}; wait"), sole_use(place):
            pass
        if kind == "folder":
            with pytest.raises(ValueError, match=f"process {user.pid}"):
                check_place(place, "folder")
        user.send_signal(signal.SIGKILL)
    with sole_use(place), pytest.raises(ValueError, match=f"process {os.getpid()}"), sole_use(place):
        pass
    with sole_use(place):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["place"]
