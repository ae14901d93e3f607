"""The store as the rest relies on it: all or nothing, once, and refusing what must not mix."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.schedule import CellError
from orchestrator.store import Store
from studies.spec import Row, Unit
from tests.test_schedule import A, unit


def rows(of: Unit) -> list[Row]:
    return [
        {
            "study": of.study,
            "model": cell.model,
            "revision": cell.revision,
            "dataset": cell.dataset,
            "language": cell.language,
            "pivot": cell.pivot,
            "measure": cell.measure,
            "pooling": cell.pooling,
            "layer": cell.layer,
            "n": 2,
            "value": 0.5,
            "ties": 0,
            "p_null": 0.25,
            "key": cell.key,
            "switches": "{}",
            "truncated": 0,
        }
        for cell in of.cells
    ]


UNIT = unit(A, "deu_Latn", "fra_Latn")


def test_what_is_written_is_read_and_counted(tmp_path: Path):
    store = Store(tmp_path / "run")
    assert store.keys() == set()
    store.write(UNIT, rows(UNIT))
    store.write(UNIT, rows(UNIT))
    assert store.keys() == {cell.key for cell in UNIT.cells}
    done, failed = store.count_by_model()
    assert done == {"a": len(UNIT.cells)}
    assert not failed


@pytest.mark.parametrize("spoil", ["missing row", "strange row", "missing column", "more columns"])
def test_rows_that_are_not_exactly_the_units_are_refused(tmp_path: Path, spoil: str):
    store, content = Store(tmp_path), rows(UNIT)
    if spoil == "missing row":
        content.pop()
    elif spoil == "strange row":
        content[0]["key"] = "another"
    elif spoil == "missing column":
        del content[0]["value"]
    else:
        content[0]["extra"] = 1
    with pytest.raises(ValueError, match=r"without a row|differs in column"):
        store.write(UNIT, content)
    assert store.keys() == set()


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Store(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        store.write(UNIT, rows(UNIT))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_leftovers_of_a_killed_write_are_not_read(tmp_path: Path):
    store = Store(tmp_path)
    path = store.write(UNIT, rows(UNIT))
    path.with_name(f".{path.name}.123").write_bytes(b"half a shard")
    assert len(store.keys()) == len(UNIT.cells)


def test_a_damaged_shard_is_named(tmp_path: Path):
    store = Store(tmp_path)
    path = store.write(UNIT, rows(UNIT))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=rf"{path} is damaged .* delete it"):
        store.keys()


def test_errors_are_added_forgotten_and_outdone(tmp_path: Path):
    store = Store(tmp_path)
    first, second = UNIT.cells[:2]
    store.write_errors([CellError(cell=first, attempts=2, error="boom", traceback="Tr")])
    store.write_errors([CellError(cell=second, attempts=2, error="bang", traceback="Tr")])
    assert store.failed() == {first.key, second.key}
    table = pq.read_table(store.errors_path).to_pylist()
    assert [(row["language"], row["error"], row["measure"]) for row in table] == [
        ("deu_Latn", "boom", "mexa"),
        ("deu_Latn", "bang", "mexa"),
    ]
    store.write_errors([], forget=[first.key])
    assert store.failed() == {second.key}
    store.write(UNIT, rows(UNIT))
    done, failed = store.count_by_model()
    assert done["a"] == len(UNIT.cells)
    assert not failed


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
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "run.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(ValueError, match="newer Babelscope"):
        Store(newer).manifest()
    (newer / "run.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        Store(newer).manifest()


def test_a_folder_is_held_by_one_process(tmp_path: Path):
    store = Store(tmp_path / "run")
    code = (
        "import sys; from pathlib import Path; from orchestrator.store import Store\n"
        "with Store(Path(sys.argv[1])).lock(): print('held')"
    )
    command = [sys.executable, "-c", code, str(store.root)]
    root = Path(__file__).parents[1]
    with store.lock():
        other = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
        assert other.returncode != 0
        assert f"in use by process {os.getpid()}" in other.stderr
    free = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert free.stdout == "held\n"
