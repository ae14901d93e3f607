"""Compaction: few large shards of many small ones, at no moment with a row less for any reader."""

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import read
from orchestrator.results import keep
from orchestrator.storage import compaction
from orchestrator.storage.files import Files
from orchestrator.storage.shards import Shards
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from tests.makers.stored import choice_unit, error, files, fill, flip, rows, unit
from tests.makers.world import ROOT

# Writes, compacts and removes without end, in steps small enough to meet a reader at each.
CHURN = """
import sys
from orchestrator.storage import compaction
from orchestrator.storage.shards import Shards
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from tests.makers.stored import error, fill, unit
compaction.SETTLE_SECONDS = 0.2
store = Store(sys.argv[1])
with store.lock():
    for step in range(1000):
        fill(store, 30, start=step * 30)
        cell = unit(f"x{step:04d}_Latn").cells[0]
        store.write_errors([error(cell)])
        store.compact(min_shards=2)
        print(step, flush=True)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SETTLE_SECONDS", 0.0)


def seen(root: Path) -> set[str]:
    """The cells that a report would show; every one once."""
    found = read.rows([root])
    assert found.alignment["key"].is_unique
    assert not found.items.duplicated(["key", "item"]).any()
    assert found.notes == (), "nobody is told of repetitions that are ours"
    return set(found.alignment["key"]) | set(found.items["key"])


def test_many_shards_become_one_with_the_same_rows(tmp_path: Path):
    store, items = Store(tmp_path), choice_unit("deu_Latn", "fra_Latn")
    keys = fill(store, 20)
    keep(store, items, rows(items))
    before = read.table([tmp_path], name="alignment")
    assert store.compact(min_shards=21) == 0
    assert store.compact(min_shards=20) == 20
    assert store.compact(min_shards=1) == 0, "one shard is not many"
    assert len(list(tmp_path.glob("tables/alignment/*"))) == 1
    assert len(list(tmp_path.glob("tables/items/*"))) == 1
    after = read.table([tmp_path], name="alignment")
    order = ["language", "layer"]
    assert (
        before.sort_values(order)
        .reset_index(drop=True)
        .equals(after.sort_values(order).reset_index(drop=True))
    )
    assert store.keys() == keys | {cell.key for cell in items.cells}
    more = fill(store, 3, start=20)
    assert store.compact(min_shards=2) == 4, "small ones made before are merged again"
    assert seen(tmp_path) == store.keys() >= more
    assert files(tmp_path) == {name for name in files(tmp_path) if name.startswith("tables/")}


def test_items_are_merged_by_key_and_item_and_repeated_rows_are_dropped(tmp_path: Path):
    store = Store(tmp_path)
    one, two = choice_unit("deu_Latn"), choice_unit("deu_Latn", "fra_Latn")
    for each in (one, two):
        keep(store, each, rows(each))
    assert store.compact(min_shards=2) == 2
    (path,) = tmp_path.glob("tables/items/*")
    assert pq.read_table(path).num_rows == 6
    assert store.keys() == {cell.key for cell in two.cells}


def test_shards_too_large_are_left_and_batches_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = Store(tmp_path)
    keys = fill(store, 12)
    monkeypatch.setattr(compaction, "BATCH_BYTES", 2000)
    monkeypatch.setattr(compaction, "READ_FILES", 3)
    assert store.compact(min_shards=2) == 12
    made = list(tmp_path.glob("tables/alignment/*"))
    assert 1 < len(made) < 12
    monkeypatch.setattr(compaction, "SMALL_BYTES", 10)
    assert store.compact(min_shards=1) == 0
    assert seen(tmp_path) == store.keys() == keys


def test_shards_of_an_older_version_are_merged_with_those_of_today(tmp_path: Path):
    store = Store(tmp_path)
    keys = fill(store, 2)
    path = min(tmp_path.glob("tables/alignment/*"))
    older = pq.read_table(path).drop_columns(["truncated"]).replace_schema_metadata(None)
    pq.write_table(older, path)
    assert store.compact(min_shards=2) == 2
    found = read.rows([tmp_path]).alignment
    assert set(found["key"]) == keys
    assert found["truncated"].isna().sum() == 2


def test_a_damaged_shard_met_by_compaction_is_set_aside(tmp_path: Path):
    store = Store(tmp_path)
    keys = fill(store, 5)
    path = min(tmp_path.glob("tables/alignment/*"))
    lost = set(pq.read_table(path)["key"].to_pylist())
    path.write_bytes(path.read_bytes()[:100])
    store.compact(min_shards=2)
    assert seen(tmp_path) == store.keys() == keys - lost
    assert len(store.quarantined) == 1
    assert len(list(tmp_path.glob("quarantine/alignment/*"))) == 1


class KilledError(BaseException):
    """The process ends here: nothing more is written, not even on the way out."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die instead of its change number `step` to the files."""
    left = [step]

    def dying(change: Callable[..., None]) -> Callable[..., None]:
        def changed(self: Files, *arguments: object, **options: object) -> None:
            if "leases/" in str(arguments[0]):
                change(self, *arguments, **options)
                return
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            change(self, *arguments, **options)

        return changed

    for name in ("put", "delete", "move"):
        monkeypatch.setattr(Files, name, dying(getattr(Files, name)))


@pytest.mark.parametrize("step", range(9))
def test_a_compaction_killed_at_any_step_costs_nothing(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
):
    """Five shards and two files of errors: two puts, seven removals."""
    store = Store(tmp_path)
    keys = fill(store, 5)
    failed = unit("zzz_Latn").cells
    for cell in failed:
        store.write_errors([error(cell)])
    monkeypatch.setattr(compaction, "ThreadPoolExecutor", OneAtATime)
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.storage.files.ThreadPoolExecutor", OneAtATime)
        killed_at(step, patch)
        with pytest.raises(KilledError), store.lock():
            store.compact(min_shards=2)
    after = Store(tmp_path)
    assert seen(tmp_path) == after.keys() == keys
    assert after.failed() == {cell.key for cell in failed}
    assert len(read.rows([tmp_path]).errors) == len(failed)
    assert after.count_by_model() == ({"a": 10}, {"a": 2})
    with after.lock():
        pass
    left = list(tmp_path.glob("tables/alignment/*"))
    assert len(left) in (1, 5), "the next start ends what was begun, or nothing was"
    after.compact(min_shards=2)
    assert len(files(tmp_path)) == 2, "one shard and one file of errors"
    assert seen(tmp_path) == after.keys() == keys
    assert after.failed() == {cell.key for cell in failed}


class OneAtATime:
    """Threads that take turns, so that a step has one meaning."""

    def __init__(self, *_: object) -> None:
        self.map = map

    def __enter__(self) -> "OneAtATime":
        return self

    def __exit__(self, *_: object) -> None:
        return None


def test_a_merged_shard_that_is_damaged_makes_nobody_remove_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not even where the damage is in a column that the scan for keys does not read."""
    store, large = Store(tmp_path), unit("deu_Latn", layers=300)
    content = [row | {"value": number / 300} for number, row in enumerate(rows(large))]
    keep(store, large, content)
    keys = fill(store, 3) | {cell.key for cell in large.cells}
    with monkeypatch.context() as patch:
        patch.setattr(Files, "delete_all", lambda *_: None)
        store.compact(min_shards=2)
    (merged,) = tmp_path.glob("tables/alignment/compact-*")
    flip(merged, column="value")
    again = Store(tmp_path)
    assert again.keys() == keys
    assert len(again.quarantined) == 1
    with again.lock():
        assert len(again.quarantined) == 1
    assert len(list(tmp_path.glob("tables/alignment/*"))) == 4
    assert seen(tmp_path) == again.keys() == keys


def test_two_compactions_at_once_lose_nothing(tmp_path: Path):
    """The lease forbids it; rows are safe even where it could not be kept."""
    store = Store(tmp_path)
    keys = fill(store, 60)
    shards = Shards(Files(tmp_path), ALL_TABLES)

    def merge() -> None:
        # One may find its new shard merged by another, and stops before it removes anything.
        with suppress(OSError):
            compaction.compact(shards, min_shards=2)

    threads = [threading.Thread(target=merge) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not shards.damaged
    assert seen(tmp_path) == store.keys() == keys


def test_a_reader_never_notices_compaction(tmp_path: Path):
    store = Store(tmp_path)
    keys = fill(store, 100, start=5000)
    store.write_errors([error(unit("first_Latn").cells[0])])
    churn = subprocess.Popen(
        [sys.executable, "-c", CHURN, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert churn.stdout
    try:
        failed = store.failed()
        for _ in range(6):
            churn.stdout.readline()
            there = store.keys()
            assert there >= keys
            assert seen(tmp_path) >= there
            keys = there
            now = store.failed()
            assert now >= failed
            failed = now
        assert store.quarantined == []
    finally:
        churn.kill()
        churn.wait()


def test_a_reader_that_listed_before_and_reads_after_finds_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Everything it listed is gone when it reads the first of it."""
    store = Store(tmp_path)
    keys = fill(store, 10)
    store.write_errors([error(unit("first_Latn").cells[0])])
    reader = Store(tmp_path)
    for look in (reader.keys, lambda: seen(tmp_path)):
        done: list[str] = []

        def late(self: Files, name: str, done: list[str] = done, original=Files.read) -> bytes:
            if not done:
                done.append(name)
                store.compact(min_shards=2)
                fill(store, 1, start=77)
            return original(self, name)

        with monkeypatch.context() as patch:
            patch.setattr("analysis.storage.folder.Folder.read", late)
            assert look() >= keys
        assert done


def test_errors_that_move_to_the_one_file_after_it_was_read_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = Store(tmp_path)
    cells = [unit(f"{place}_Latn").cells[0] for place in ("first", "second")]
    for look in (
        lambda: Store(tmp_path).failed(),
        lambda: set(read.rows([tmp_path]).errors["key"]),
    ):
        store.write_errors([error(cells[0])])
        store.compact()
        store.write_errors([error(cells[1])])
        done: list[str] = []

        def late(self: Files, name: str, done: list[str] = done, original=Files.read) -> bytes:
            content = bytes(original(self, name))
            if name == "errors.parquet" and not done:
                done.append(name)
                store.compact()
            return content

        with monkeypatch.context() as patch:
            patch.setattr("analysis.storage.folder.Folder.read", late)
            patch.setattr("analysis.storage.folder.SLICE", 1)
            assert look() == {cell.key for cell in cells}
        assert done
        store.write_errors([], forget=[cell.key for cell in cells])


def test_a_listing_that_missed_both_the_old_and_the_new_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A folder is listed in pieces: the new may come too early for it, the old go too soon."""
    store = Store(tmp_path)
    keys = fill(store, 10)
    entries, first = Files.entries, []

    def torn(self: Files, folder: str, **options: bool) -> list[object]:
        found = entries(self, folder, **options)
        if folder.startswith("tables") and not first:
            first.append(folder)
            store.compact(min_shards=2)
            return list(found[:4])
        return list(found)

    for look in (Store(tmp_path).keys, lambda: seen(tmp_path)):
        first.clear()
        with monkeypatch.context() as patch:
            patch.setattr("analysis.storage.folder.Folder.entries", torn)
            assert look() == keys


def test_the_table_of_a_large_shard_is_read_by_others_as_before(tmp_path: Path):
    """Columns and types are those of docs/tables.md, whatever the shard."""
    store = Store(tmp_path)
    fill(store, 2)
    before = pq.read_schema(min(tmp_path.glob("tables/alignment/*")))
    store.compact(min_shards=2)
    after = pq.read_schema(min(tmp_path.glob("tables/alignment/*")))
    assert after.remove_metadata() == before.remove_metadata()
    assert isinstance(pq.read_table(tmp_path / "tables" / "alignment"), pa.Table)
