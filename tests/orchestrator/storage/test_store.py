"""The store as the rest relies on it: all or nothing, once, and refusing what must not mix."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import read
from orchestrator.results import keep
from orchestrator.storage.store import Store
from tests.makers.stored import choice_unit, error, files, fill, flip, rows, unit
from tests.makers.world import ROOT

UNIT = unit("deu_Latn", "fra_Latn")


def shards(store: Store) -> list[Path]:
    return sorted(store.files.local.glob("tables/*/*.parquet"))


def test_what_is_written_is_read_and_counted(tmp_path: Path):
    store = Store(tmp_path / "run")
    assert store.keys() == set()
    keep(store, UNIT, rows(UNIT))
    keep(store, UNIT, rows(UNIT))
    items = choice_unit("deu_Latn", "fra_Latn")
    keep(store, items, rows(items))
    assert store.keys() == {cell.key for cell in UNIT.cells + items.cells}
    done, failed = store.count_by_model()
    assert done == {"a": len(UNIT.cells) + len(items.cells)}
    assert not failed
    assert store.quarantined == []


@pytest.mark.parametrize(
    "spoil", ["missing row", "strange row", "missing column", "more columns", "twice", "half", "x"]
)
def test_rows_that_are_not_exactly_the_units_are_refused(tmp_path: Path, spoil: str):
    store, content = Store(tmp_path), rows(UNIT)
    if spoil == "missing row":
        content.pop()
    elif spoil == "strange row":
        content[0]["key"] = "another"
    elif spoil == "missing column":
        del content[0]["value"]
    elif spoil == "more columns":
        content[0]["extra"] = 1
    elif spoil == "twice":
        content.append(content[0])
    else:
        content[0]["layer"] = 0.5 if spoil == "half" else "x"
    expected = r"without a row|differs in column|repeat another|whole numbers|does not fit table"
    with pytest.raises(ValueError, match=expected):
        keep(store, UNIT, content)
    assert store.keys() == set()


def overfill(folder: Path) -> None:
    """Write to a folder that soon takes no more, and look at what is left."""
    store, kept = Store(folder), set()
    ballast = folder / "ballast.log"  # somebody's, who makes room in the end
    ballast.write_bytes(b"0" * 6000)
    with store.lock(), pytest.raises(OSError, match=r"No space left|File too large"):  # noqa: PT012
        for number in range(1, 100):
            kept |= fill(store, 1, start=number)
            # Files that may not grow: this one does in the end.
            large = unit("deu_Latn", layers=number * 10)
            keep(store, large, rows(large))
            kept |= {cell.key for cell in large.cells}
    assert kept
    assert store.keys() == kept
    ballast.unlink()
    assert not [name for name in files(folder) if "/." in name]
    with store.lock():
        assert store.keys() == kept


def test_a_full_disk_leaves_what_was_there_and_no_half(tmp_path: Path):
    """Where mounting is not allowed, the test below shows the same with files that may not grow."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        overfill(tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_files_that_may_not_grow_leave_what_was_there_and_no_half(tmp_path: Path):
    """In a process of its own: the limit holds for all its files, its own output among them."""
    code = (
        "import pathlib, resource, sys, tests.orchestrator.storage.test_store as tests\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (7000, hard))\n"
        "tests.overfill(pathlib.Path(sys.argv[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_leftovers_of_killed_writers_are_not_read_and_go_with_the_next_lock(tmp_path: Path):
    store = Store(tmp_path)
    with store.lock():
        keep(store, UNIT, rows(UNIT))
        store.write_artifact("ab", b"1")
        store.write_manifest({"study": "test"})
        sound = {name for name in files(tmp_path) if not name.startswith("leases")}
    (tmp_path / "tables" / "alignment" / f".{UNIT.id}.parquet.123").write_bytes(b"half a shard")
    (tmp_path / "artifacts" / ".ab.safetensors.0f").write_bytes(b"half")
    (tmp_path / ".run.json.9").write_bytes(b"{")
    (tmp_path / ".my notes").write_bytes(b"mine")
    old, new = tmp_path / "leases" / ".0.json.0", tmp_path / "leases" / ".1.json.0"
    for path in (old, new):
        path.write_bytes(b"{")
    os.utime(old, (0, 0))
    assert store.keys() == {cell.key for cell in UNIT.cells}
    with store.lock():
        pass
    # Of a lease that was begun a moment ago the writer may be alive.
    assert files(tmp_path) == sound | {".my notes", "leases/.1.json.0"}


def spoilt(path: Path, how: str) -> bytes:
    """A shard's bytes after an accident."""
    whole = path.read_bytes()
    if how == "a flipped bit":
        flip(path, column="key")
        return path.read_bytes()
    if how in ("another table", "no key", "another type"):
        columns = {"key": ["1"], "model": ["a"], "revision": ["main"], "value": [0.5]}
        if how == "no key":
            del columns["key"]
        elif how == "another table":
            columns["gold"] = [1]
        else:
            columns["value"] = ["a half"]
        pq.write_table(pa.table(columns), path)
        return path.read_bytes()
    return {"truncated": whole[:-40], "empty": b"", "garbage": b"\x07" * len(whole)}[how]


@pytest.mark.parametrize(
    "how",
    ["truncated", "empty", "garbage", "a flipped bit", "another table", "no key", "another type"],
)
def test_a_damaged_shard_is_named_set_aside_and_computed_again(tmp_path: Path, how: str):
    store = Store(tmp_path)
    other = unit("swh_Latn")
    for each in (UNIT, other):
        keep(store, each, rows(each))
    path = tmp_path / "tables" / "alignment" / f"{UNIT.id}.parquet"
    bad = spoilt(path, how)
    path.write_bytes(bad)

    again = Store(tmp_path)
    assert again.keys() == {cell.key for cell in other.cells}
    assert again.count_by_model()[0] == {"a": len(other.cells)}
    (note,) = again.quarantined
    assert str(path) in note and "computed again" in note and "quarantine/" in note
    assert path.read_bytes() == bad, "without the lock nothing is moved"

    with again.lock():
        keep(again, UNIT, rows(UNIT))
    (kept,) = tmp_path.glob("quarantine/alignment/*.parquet")
    assert kept.read_bytes() == bad
    fresh = Store(tmp_path)
    assert fresh.keys() == {cell.key for cell in UNIT.cells + other.cells}
    assert fresh.quarantined == []


def test_a_flipped_bit_in_a_column_that_no_scan_reads_is_named_by_the_report(tmp_path: Path):
    store, large = Store(tmp_path), unit("deu_Latn", layers=200)
    content = [row | {"value": number / 200} for number, row in enumerate(rows(large))]
    path = tmp_path / keep(store, large, content)
    flip(path, column="value")
    with pytest.raises(ValueError, match=rf"{path} is damaged .*: run the study's command"):
        read.rows([tmp_path])


def test_a_shard_that_was_mended_before_the_lock_stays(tmp_path: Path):
    store = Store(tmp_path)
    path = tmp_path / keep(store, UNIT, rows(UNIT))
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert store.keys() == set()
    path.write_bytes(whole)
    with store.lock():
        assert store.keys() == {cell.key for cell in UNIT.cells}
    assert not (tmp_path / "quarantine").exists()


def test_a_damaged_shard_met_under_the_lock_is_set_aside_at_once(tmp_path: Path):
    store = Store(tmp_path)
    path = tmp_path / keep(store, UNIT, rows(UNIT))
    store.write_errors([error(UNIT.cells[0])])
    (failures,) = tmp_path.glob("errors/*.parquet")
    path.write_bytes(b"")
    failures.write_bytes(b"")
    with store.lock():
        assert store.keys() == store.failed() == set()
        assert not path.exists() and not failures.exists()
    assert len(list(tmp_path.glob("quarantine/alignment/*"))) == 1
    assert len(list(tmp_path.glob("quarantine/errors/*"))) == 1
    assert len(store.quarantined) == 2


def test_errors_are_added_forgotten_and_outdone(tmp_path: Path):
    store = Store(tmp_path)
    first, second = UNIT.cells[:2]
    with store.lock():
        store.write_errors([error(first)])
        store.write_errors([error(second, "bang")])
        store.write_errors([error(first, "boom again")])
        assert store.failed() == {first.key, second.key}
        assert not (tmp_path / "errors.parquet").exists(), "no failure rewrites those before"
        assert sorted(read.table([tmp_path], name="errors")["error"]) == [
            "bang",
            "boom",
            "boom again",
        ]
    table = pq.read_table(tmp_path / "errors.parquet").to_pylist()
    assert [(row["language"], row["error"], row["measure"]) for row in table] == [
        ("deu_Latn", "bang", "mexa"),
        ("deu_Latn", "boom again", "mexa"),
    ]
    assert files(tmp_path) == {"errors.parquet"}
    store.write_errors([], forget=[first.key])
    assert store.failed() == {second.key}
    assert store.count_by_model() == ({}, {"a": 1})
    keep(store, UNIT, rows(UNIT))
    done, failed = store.count_by_model()
    assert done["a"] == len(UNIT.cells)
    assert not failed


def test_errors_of_a_killed_run_are_there_for_the_next(tmp_path: Path):
    Store(tmp_path).write_errors([error(UNIT.cells[0])])
    store = Store(tmp_path)
    assert store.failed() == {UNIT.cells[0].key}
    with store.lock():
        pass
    assert files(tmp_path) == {"errors.parquet"}
    assert store.failed() == {UNIT.cells[0].key}


def test_another_study_is_refused(tmp_path: Path):
    store = Store(tmp_path / "run")
    store.admit("neuronxa", settings={"pairs": 5}, pins={"text x": "1"})
    store.write_manifest(
        {"study": "neuronxa", "settings": {"pairs": 5}, "pins": {"text x": "1"}, "cells": {}}
    )
    store.admit("neuronxa", settings={"pairs": 5}, pins={"text x": "1", "text y": "2"})
    with pytest.raises(ValueError, match="holds the study 'neuronxa', this is 'demo'"):
        store.admit("demo", settings={"pairs": 5}, pins={})
    with pytest.raises(ValueError, match="was run with pairs 5, this run has 6"):
        store.admit("neuronxa", settings={"pairs": 6}, pins={})
    with pytest.raises(ValueError, match="was computed from another text x"):
        store.admit("neuronxa", settings={"pairs": 5}, pins={"text x": "2"})


def test_folders_that_are_no_runs_are_refused(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"is not a run folder \(it holds 'thesis.tex'"):
        Store(tmp_path).manifest()
    with pytest.raises(ValueError, match="is a file"):
        Store(tmp_path / "thesis.tex").manifest()
    with pytest.raises(ValueError, match=r"htp://x is no place for runs"):
        Store("htp://x").manifest()
    with pytest.raises(ValueError, match="unknown option 'endpoint' in s3://"):
        Store("s3://bucket/run?endpoint=x").manifest()


def test_a_newer_store_is_refused_and_an_older_one_is_read(tmp_path: Path):
    store = Store(tmp_path)
    keep(store, UNIT, rows(UNIT))
    (tmp_path / "run.json").write_text(json.dumps({"version": 99}))
    for ask in (store.manifest, lambda: store.lock().__enter__(), lambda: read.rows([tmp_path])):
        with pytest.raises(ValueError, match=r"newer Babelscope .store version 99, this one knows"):
            ask()
    (tmp_path / "run.json").write_text("{")
    for ask in (store.manifest, lambda: read.rows([tmp_path])):
        with pytest.raises(ValueError, match="not valid JSON"):
            ask()
    # As the first version wrote it: one file of errors, shards without checksums, columns missing.
    (tmp_path / "run.json").write_text(json.dumps({"version": 1, "study": "test"}))
    (path,) = shards(store)
    older = pq.read_table(path).drop_columns(["truncated"]).replace_schema_metadata(None)
    pq.write_table(older, path)
    store.write_errors([error(unit("tur_Latn").cells[0])])
    with store.lock():
        assert store.keys() == {cell.key for cell in UNIT.cells}
    assert store.manifest() == {"version": 1, "study": "test"}
    store.write_manifest({**(store.manifest() or {}), "running": {}})
    assert store.manifest() == {"version": 2, "study": "test", "running": {}}
    found = read.rows([tmp_path])
    assert set(found.alignment["key"]) == {cell.key for cell in UNIT.cells}
    assert found.alignment["truncated"].isna().all()
    assert len(found.errors) == 1


def test_artifacts_are_kept_under_their_keys(tmp_path: Path):
    store = Store(tmp_path)
    assert store.artifacts(["0ab1"]) == {} and store.artifact_files.sound(["0ab1"]) == set()
    store.write_artifact("0ab1", b"tensors")
    assert store.artifacts(["0ab1"]) == {"0ab1": b"tensors"}
    assert store.artifact_files.sound(["0ab1"]) == {"0ab1"}
    assert files(tmp_path) == {"artifacts/0ab1.safetensors", "artifacts/0ab1.safetensors.sha256"}
    for key in ("../x", "a/b", ".x", ""):
        with pytest.raises(ValueError, match="artifact key"):
            store.write_artifact(key, b"")


def test_the_status_is_small_whole_and_anyones_to_read(tmp_path: Path):
    assert Store(tmp_path).read_status() is None
    Store(tmp_path).write_status({"done": 3, "model": "añ"})
    assert Store(tmp_path).read_status() == {"done": 3, "model": "añ"}
    assert json.loads((tmp_path / "status.json").read_text()) == {"done": 3, "model": "añ"}


def test_a_file_address_is_a_folder_of_this_machine(tmp_path: Path):
    keys = fill(Store(tmp_path / "run"), 1)
    for address in (f"file://{tmp_path}/run", Path(f"file://{tmp_path}/run")):
        store = Store(address)
        assert store.keys() == keys
        assert store.address == str(store.files.local) == str(tmp_path / "run")


def test_room_is_checked_before_anything_is_written(tmp_path: Path):
    store = Store(tmp_path / "new" / "run")
    store.files.check_room(1000)
    with pytest.raises(ValueError, match=r"MB free and the study needs about .*choose another"):
        store.files.check_room(10**18)
    assert not list(tmp_path.iterdir())
