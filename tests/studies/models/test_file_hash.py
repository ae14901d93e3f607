"""The hash of a file: remembered while nothing says that it changed, and never a wrong one."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from studies.models import hashing
from studies.models.hashing import IN_FULL, file_hash

# Three tensors; the header tells where each lies.
SIZE = 1000
NAMES = ("a", "b", "c")


def weights(path: Path, value: float = 0.0, *, name: str = "b", at: slice = slice(None)) -> Path:
    """A safetensors file of zeros, with `value` in some places of one tensor."""
    tensors = {one: np.zeros(SIZE, dtype=np.float32) for one in NAMES}
    tensors[name][at] = value
    save_file(tensors, path)
    return path


def true_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of notes; small and new files are remembered too."""
    monkeypatch.setattr(hashing, "REMEMBERED_BYTES", 0)
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1e9)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(IN_FULL, raising=False)
    return tmp_path / "cache/babelscope/hashes"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read whole."""
    found: list[Path] = []
    plain = hashing._read

    def read(path: Path) -> str:
        found.append(path)
        return plain(path)

    monkeypatch.setattr(hashing, "_read", read)
    return found


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that tells the same device, inode and times of every file."""
    plain = Path.stat

    def stat(self: Path, **given: Any) -> os.stat_result:
        told = plain(self, **given)
        return os.stat_result((told.st_mode, 1, 1, 1, 0, 0, told.st_size, 0, 0, 0))

    monkeypatch.setattr(Path, "stat", stat)


def test_a_file_is_read_once(tmp_path: Path, notes: Path, reads: list[Path]):
    path = weights(tmp_path / "w")
    assert file_hash(path) == file_hash(path) == true_hash(path)
    assert reads == [path]
    assert len(list(notes.iterdir())) == 1


def test_other_weights_of_equal_size_and_time_are_noticed(tmp_path: Path, notes: Path):
    """As an archive unpacks them, or a mount of an object store shows them."""
    path = weights(tmp_path / "w")
    os.utime(path, ns=(1, 1))
    first = file_hash(path)
    weights(path, 1.0)
    os.utime(path, ns=(1, 1))
    assert file_hash(path) == true_hash(path) != first
    other = weights(tmp_path / "other", 2.0)
    os.utime(other, ns=(1, 1))
    other.rename(path)
    assert file_hash(path) == true_hash(path)
    assert len(list(notes.iterdir())) == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("notes", "frozen")
def test_a_change_of_any_tensor_is_noticed_where_the_file_system_tells_nothing(
    name: str, tmp_path: Path
):
    path = weights(tmp_path / "w")
    first = file_hash(path)
    assert file_hash(weights(path, 1.0, name=name)) == true_hash(path) != first


@pytest.mark.usefixtures("notes", "frozen")
def test_a_change_of_the_header_is_noticed_where_the_file_system_tells_nothing(tmp_path: Path):
    path = weights(tmp_path / "w")
    first = file_hash(path)
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"z"'))
    assert file_hash(path) == true_hash(path) != first


@pytest.mark.usefixtures("notes", "frozen")
def test_what_no_sample_shows_is_found_by_hashing_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = weights(tmp_path / "w")
    first = file_hash(path)
    weights(path, 1.0, at=slice(0, 1))
    assert file_hash(path) == first != true_hash(path), "nothing told of the change"
    monkeypatch.setenv(IN_FULL, "1")
    assert file_hash(path) == true_hash(path)
    monkeypatch.setenv(IN_FULL, "0")
    assert file_hash(path) == true_hash(path), "the note is mended"


def test_small_files_are_read_each_time(
    tmp_path: Path, notes: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hashing, "REMEMBERED_BYTES", 16 << 20)
    path = weights(tmp_path / "w")
    assert file_hash(path) == file_hash(path) == true_hash(path)
    assert reads == [path, path]
    assert not notes.exists()


def test_a_file_that_changed_just_now_is_not_remembered(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", 1e9)
    assert file_hash(path := weights(tmp_path / "w")) == true_hash(path)
    assert not notes.exists()


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
):
    path = weights(tmp_path / "w")
    plain = hashing._read

    def read(file: Path) -> str:
        found = plain(file)
        weights(path, 3.0)
        return found

    monkeypatch.setattr(hashing, "_read", read)
    file_hash(path)
    assert not notes.exists()


@pytest.mark.parametrize("content", [b"", b"f" * 64, b"\xff\xfe\x00", b"f" * 64 + b" " + b"0" * 64])
def test_a_damaged_note_is_no_hash(content: bytes, tmp_path: Path, notes: Path, reads: list[Path]):
    path = weights(tmp_path / "w")
    file_hash(path)
    (note,) = notes.iterdir()
    whole = note.read_bytes()
    flipped = bytes([whole[5] ^ 1])
    for damaged in (content, whole[:5] + flipped + whole[6:], whole[:-1]):
        note.write_bytes(damaged)
        assert file_hash(path) == true_hash(path)
        assert note.read_bytes() == whole
    assert len(reads) == 4


def test_the_note_of_another_file_is_no_hash(tmp_path: Path, notes: Path):
    file_hash(weights(tmp_path / "w"))
    (note,) = notes.iterdir()
    theirs = note.read_bytes()
    note.unlink()
    other = weights(tmp_path / "other", 1.0)
    file_hash(other)
    (own,) = notes.iterdir()
    own.write_bytes(theirs)
    assert file_hash(other) == true_hash(other)


def _a_file_there(cache: Path, _patch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file, so that no folder can be made here")


def _folders_for_notes(cache: Path, _patch: pytest.MonkeyPatch) -> None:
    (cache / "babelscope").mkdir(parents=True)
    (cache / "babelscope/hashes").write_text("a file")


def _no_home(_cache: Path, patch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    patch.delenv("XDG_CACHE_HOME")
    patch.setattr(Path, "home", home)


def _nothing_is_written(_cache: Path, patch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    patch.setattr(os, "replace", fail)


@pytest.mark.parametrize(
    "spoil", [_a_file_there, _folders_for_notes, _no_home, _nothing_is_written]
)
def test_without_a_cache_there_is_a_hash_and_nothing_is_left(
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    tmp_path: Path,
    notes: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    spoil(tmp_path / "cache", monkeypatch)
    path = weights(tmp_path / "w")
    assert file_hash(path) == file_hash(path) == true_hash(path)
    assert not notes.is_dir() or not list(notes.iterdir())


def test_many_processes_write_one_note(tmp_path: Path, notes: Path):
    path = weights(tmp_path / "w")
    code = (
        "import sys; from pathlib import Path; from studies.models import hashing\n"
        "hashing.REMEMBERED_BYTES, hashing.SETTLED_SECONDS = 0, -1e9\n"
        "print({hashing.file_hash(Path(sys.argv[1])) for _ in range(20)})"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert {process.communicate()[0].strip() for process in running} == {str({true_hash(path)})}
    assert len(list(notes.iterdir())) == 1
