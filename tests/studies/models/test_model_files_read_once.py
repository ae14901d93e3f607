"""A process reads a model's files once, and again as soon as they may have changed."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch

from actors.loading import values
from actors.loading.weights import refuse_odd
from actors.model import load
from studies.models import hashing
from studies.models.facts import facts
from studies.models.hashing import IN_FULL, file_hash, per_file
from studies.models.weights import tensors_in
from studies.spec import Model
from tests.makers import tiny
from tests.makers.broken import UP, fill, put
from tests.makers.folders import plain, sharded


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as settled."""
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1e9)


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[tuple[str, str]]]:
    """How often each safetensors file was opened, for its header (np) or its numbers (pt)."""
    counts: Counter[tuple[str, str]] = Counter()
    plainly = safetensors.safe_open

    def opened(path: Path, framework: str) -> Any:
        counts[Path(path).resolve().name, framework] += 1
        return plainly(path, framework=framework)

    monkeypatch.setattr(safetensors, "safe_open", opened)
    monkeypatch.setattr(values, "safe_open", opened)
    return counts


@pytest.mark.usefixtures("settled")
def test_headers_and_numbers_are_read_once_by_a_process(
    tmp_path: Path, openings: Counter[tuple[str, str]]
):
    model = facts(Model(id=str(sharded(tmp_path / "model"))))
    for _ in range(2):
        load(model, device="cpu")
    files = ("0.safetensors", "1.safetensors")
    assert openings == {(name, kind): 1 for name in files for kind in ("np", "pt")}


CHANGES: dict[str, Callable[[Path], object]] = {
    "a number": fill(UP, float("nan"), only=slice(0, 1)),
    "a tensor more": put("model.layers.0.more.weight", torch.ones(2, 2)),
}


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", CHANGES)
def test_files_that_changed_are_read_again(change: str, tmp_path: Path):
    folder = plain(tmp_path / "model")
    model = facts(Model(id=str(folder)))
    refuse_odd(model, folder=str(folder))
    CHANGES[change](folder)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"holds NaN|stored without a place"):
            refuse_odd(model, folder=str(folder))


@pytest.mark.usefixtures("settled")
def test_weights_are_judged_again_for_another_dtype(tmp_path: Path):
    folder = plain(tmp_path / "model")
    fill(UP, 1e6, only=slice(0, 1))(folder)
    refuse_odd(facts(Model(id=str(folder))), folder=str(folder))
    with pytest.raises(ValueError, match="too large for float16"):
        refuse_odd(facts(Model(id=str(folder), dtype="float16")), folder=str(folder))


def test_a_file_that_changed_just_now_is_read_each_time(tmp_path: Path):
    """Within one tick of its clock a file system tells of no second change."""
    calls = []

    @per_file()
    def size(path: Path) -> int:
        calls.append(path)
        return path.stat().st_size

    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert [size(path), size(path)] == [3, 3]
    assert calls == [path, path]


@pytest.mark.usefixtures("settled")
def test_an_error_is_not_kept(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"no header")
    with pytest.raises(ValueError, match="not a safetensors file"):
        tensors_in(path)
    shutil.copy(Path(tiny.make("llama").folder) / path.name, path)
    assert UP in tensors_in(path)


@pytest.mark.usefixtures("settled")
def test_a_process_that_hashes_in_full_reads_a_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hashing, "REMEMBERED_BYTES", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(IN_FULL, "1")
    read: list[Path] = []
    plainly = hashing._read
    monkeypatch.setattr(hashing, "_read", lambda path: (read.append(path), plainly(path))[1])
    folder = plain(tmp_path / "model")
    weights = folder / "model.safetensors"
    first = facts(Model(id=str(folder)))
    assert facts(Model(id=str(folder))) == first
    assert read.count(weights) == 1
    fill(UP, 1.0)(folder)
    assert facts(Model(id=str(folder))).weights != first.weights
    assert read.count(weights) == 2
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", 1e9)
    assert file_hash(weights) == file_hash(weights)
    assert read.count(weights) == 4, "what changed just now may change again unnoticed"
