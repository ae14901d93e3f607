"""Damaged files of a run, and files of another: noticed, said, set aside, computed again."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import read
from analysis.storage import folder as storage
from analysis.storage import seal
from orchestrator import as_json
from orchestrator.results import keep
from orchestrator.storage import compaction
from orchestrator.storage.shards import Damage, Shards
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from tests.makers.stored import choice_unit, error, fill, flip, rows, unit
from tests.orchestrator.storage.test_bad_stores import RECORD, UNIT, command


def test_every_flipped_byte_of_a_shard_is_noticed(tmp_path: Path):
    """Checksums of pages leave headers and footer open: some flips there change what is read."""
    store = Store(tmp_path)
    shards = Shards(store.files, ALL_TABLES)
    path = tmp_path / keep(store, UNIT, rows(UNIT))
    whole = path.read_bytes()
    place = whole.rindex(seal.NAME)
    for position in range(len(whole)):
        spoilt = whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
        assert seal.intact(spoilt) is (
            None if place <= position < place + len(seal.MARK) else False
        ), position
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
        (entry,) = shards.listed()
        found = shards.load(entry, columns=["key"])
        if not (place <= position < place + len(seal.MARK)):
            assert isinstance(found, Damage)
            with pytest.raises(ValueError, match="is damaged"):
                read.table([tmp_path], name="alignment")


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("column", ["value", "language", "p_null", "switches"])
def test_damage_outside_of_the_keys_is_found_and_its_cells_count_as_missing(
    tmp_path: Path, column: str, merged: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compaction, "SETTLE_SECONDS", 0.0)
    store, large = Store(tmp_path), unit("deu_Latn", layers=100)
    content = [row | {"value": number / 100} for number, row in enumerate(rows(large))]
    keep(store, large, content)
    other = fill(store, 2)
    if merged:
        store.compact(min_shards=2)
    path = max(tmp_path.glob("tables/alignment/*"), key=lambda path: path.stat().st_size)
    flip(path, column=column)
    left = set() if merged else other
    assert Store(tmp_path).keys() == left
    # Of a large shard only the keys are read, unless everything is asked for.
    for module in (storage, sys.modules["orchestrator.storage.shards"]):
        monkeypatch.setattr(module, "WHOLE_BYTES", 0)
    assert Store(tmp_path).keys() == other | {cell.key for cell in large.cells}
    assert Store(tmp_path).keys(verify=True) == left
    with pytest.raises(ValueError, match=r"run the study's command again with --verify"):
        read.rows([tmp_path])
    with store.lock():
        assert store.keys(verify=True) == left and not path.exists()
    assert len(list(tmp_path.glob("quarantine/alignment/*.parquet"))) == 1


def test_a_shard_without_a_seal_is_verified_by_its_pages(tmp_path: Path):
    """As an older version wrote it."""
    store, large = Store(tmp_path), unit("deu_Latn", layers=200)
    content = [row | {"value": number / 200} for number, row in enumerate(rows(large))]
    path = tmp_path / keep(store, large, content)
    older = pq.read_table(path).replace_schema_metadata(None)
    pq.write_table(older, path, write_page_checksum=True)
    flip(path, column="value")
    assert len(store.keys()) == 200
    assert Store(tmp_path).keys(verify=True) == set()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def swapped(path: Path) -> None:
    items = next(path.parents[1].glob("items/*"))
    one, other = path.read_bytes(), items.read_bytes()
    path.write_bytes(other)
    items.write_bytes(one)


@pytest.mark.parametrize("spoil", [emptied, cut, swapped])
@pytest.mark.parametrize("merged", [False, True])
def test_a_spoilt_file_costs_its_own_rows_alone(
    tmp_path: Path, spoil: Callable[[Path], None], merged: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compaction, "SETTLE_SECONDS", 0.0)
    store, items = Store(tmp_path), choice_unit("deu_Latn")
    fill(store, 3)
    keep(store, items, rows(items))
    if merged:
        store.compact(min_shards=2)
    path = min(tmp_path.glob("tables/alignment/*"))
    lost = set(pq.read_table(path)["key"].to_pylist())
    if spoil is swapped:
        lost |= {cell.key for cell in items.cells}
    before = store.keys()
    spoil(path)
    assert Store(tmp_path).keys() == before - lost
    with store.lock():
        assert store.keys() == before - lost
    assert len(list(tmp_path.glob("quarantine/*/*"))) == (2 if spoil is swapped else 1)


def test_copies_and_other_names_of_a_shard_count_once(tmp_path: Path):
    store = started(tmp_path)
    for path in tmp_path.glob("tables/alignment/*"):
        path.unlink()
    keys = fill(store, 2)
    one, other = sorted(tmp_path.glob("tables/alignment/*"))
    shutil.copy(one, one.with_name("copy.parquet"))
    other.rename(other.with_name("moved.parquet"))
    assert store.keys() == keys and store.count_by_model()[0] == {"a": 4}
    assert len(read.rows([tmp_path]).alignment) == 4
    store.compact(min_shards=2)
    (merged,) = tmp_path.glob("tables/alignment/*")
    assert pq.read_table(merged).num_rows == 4 and not store.quarantined


def test_a_spoilt_file_of_errors_is_set_aside(tmp_path: Path):
    store = Store(tmp_path)
    with store.lock():
        store.write_errors([error(UNIT.cells[0])])
    errors = tmp_path / "errors.parquet"
    for position in (10, 400):
        whole = errors.read_bytes()
        flipped = bytes([whole[position] ^ 4])
        errors.write_bytes(whole[:position] + flipped + whole[position + 1 :])
        again = Store(tmp_path)
        assert again.failed() == set() and "is damaged" in again.quarantined[0]
        with again.lock():
            assert not errors.exists()
            again.write_errors([error(UNIT.cells[0])])
    assert len(list(tmp_path.glob("quarantine/errors/*"))) == 2


@pytest.mark.parametrize("spoil", [emptied, cut, lambda path: path.write_bytes(b"x" * 7)])
def test_a_spoilt_artifact_counts_as_missing(tmp_path: Path, spoil: Callable[[Path], None]):
    store = Store(tmp_path)
    store.write_artifact("ab", b"tensors of ab")
    store.write_artifact("cd", b"tensors of cd")
    spoil(tmp_path / "artifacts" / "ab.safetensors")
    again = Store(tmp_path)
    assert again.artifact_files.sound(["ab", "cd", "ef"]) == {"cd"}
    assert again.artifacts(["ab", "cd"]) == {"cd": b"tensors of cd"}
    cell = UNIT.cells[0].key
    keep(store, UNIT, rows(UNIT))
    store.write_artifact(cell, b"made by a cell that is done")
    spoil(tmp_path / "artifacts" / f"{cell}.safetensors")
    plain, verified = Store(tmp_path).keys(), Store(tmp_path).keys(verify=True)
    assert cell in plain and cell not in verified


def started(folder: Path, **parts: object) -> Store:
    """A run of two cells of German."""
    store = Store(folder)
    with store.lock():
        store.write_manifest({**RECORD, **parts})
        keep(store, unit("deu_Latn"), rows(unit("deu_Latn")))
    return store


STRANGERS = {
    "study": ({"study": "other"}, "holds the study 'other', this is 'test'"),
    "setting": ({"settings": {"pairs": 6}}, "was run with pairs 6, this run has 5"),
    "weights": ({"pins": {"model a": "w2"}}, "was computed from another model a than this run"),
    "text": (
        {"pins": {"text flores200/deu_Latn-eng_Latn": "t2"}},
        "was computed from another text flores200/deu_Latn-eng_Latn than this run",
    ),
}


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("name", STRANGERS)
def test_shards_of_another_run_are_said_and_not_counted(
    tmp_path: Path,
    name: str,
    merged: bool,
    older: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    monkeypatch.setattr(compaction, "SETTLE_SECONDS", 0.0)
    parts, sentence = STRANGERS[name]
    theirs, ours = started(tmp_path / "theirs", **parts), started(tmp_path / "ours")
    with theirs.lock():
        keep(theirs, unit("deu_Latn", layers=3), rows(unit("deu_Latn", layers=3)))
        if merged:
            theirs.compact(min_shards=2)
    for number, path in enumerate(sorted(theirs.files.local.glob("tables/alignment/*"))):
        copy = ours.files.local / "tables" / "alignment" / f"{number:032d}.parquet"
        shutil.copy(path, copy)
        if older:  # whose rows alone say what they are of
            content = pq.read_table(copy).replace_schema_metadata(None)
            study = pa.array([str(parts.get("study", "test"))] * content.num_rows, pa.string())
            pq.write_table(content.set_column(0, "study", study), copy)
    if older and name != "study":
        assert len(Store(ours.files.local).keys()) == 3, "nothing tells them from our own"
        return
    own = {cell.key for cell in unit("deu_Latn").cells}
    again = Store(ours.files.local)
    assert again.keys() == own and again.quarantined
    assert all(sentence in each and "are not counted" in each for each in again.quarantined)
    status, text = command("status", str(ours.files.local), monkeypatch=monkeypatch, capsys=capsys)
    assert status == 0 and sentence in text.replace("\n", " ")
    with pytest.raises(ValueError, match=r"it is of another run; move it out of tables/"):
        read.rows([ours.files.local])
    with again.lock():
        assert again.keys() == own
    assert set(read.rows([ours.files.local]).alignment["key"]) == own
    moved = list(ours.files.local.glob("quarantine/alignment/*"))
    counted = sum(pq.read_metadata(path).num_rows for path in moved)
    status, text = command("status", str(ours.files.local), monkeypatch=monkeypatch, capsys=capsys)
    said = (
        f"quarantine/ holds {len(moved)} file(s) of another run ({sentence}), to be moved to "
        f"tables/ of that run: {counted} readable rows of alignment, not counted here"
    )
    assert status == 0 and said in text.replace("\n", " ")
    assert any(said in note for note in as_json.status(Store(ours.files.local))["notes"])


def test_shards_of_the_same_study_settings_and_texts_may_be_brought_together(tmp_path: Path):
    """A key is an answer, whoever computed it; models that no launch named are said."""
    ours, theirs = started(tmp_path / "ours"), started(tmp_path / "theirs", pins={})
    keys = fill(theirs, 2)
    for path in theirs.files.local.glob("tables/alignment/*"):
        shutil.copy(path, ours.files.local / "tables" / "alignment" / path.name)
    assert ours.keys() == keys | {cell.key for cell in unit("deu_Latn").cells}
    assert not ours.quarantined and len(read.rows([ours.files.local]).alignment) == 6


def test_a_lost_record_costs_no_rows(tmp_path: Path):
    started(tmp_path)
    (tmp_path / "run.json").unlink()
    again = Store(tmp_path)
    keys = {cell.key for cell in unit("deu_Latn").cells}
    assert again.manifest() is None and again.keys() == keys
    with again.lock():
        again.write_manifest(RECORD)
        assert again.keys() == keys and not again.quarantined
