"""What may be deleted of evaluated checkpoints is, and nothing else: rows never."""

from pathlib import Path

import pyarrow as pa
import pytest

from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from orchestrator.watching import disk
from orchestrator.watching.options import KEPT
from orchestrator.watching.state import Record, Watched
from studies.spec import Row
from tests.makers import watched as made

STEPS = (1, 2, 3)
VALUES: dict[pa.DataType, object] = {pa.string(): "x", pa.int32(): 1, pa.float64(): 0.5}


def row(table: str, key: str, revision: str) -> Row:
    """A row with some value in every column."""
    schema = ALL_TABLES[table].schema
    values = {field.name: VALUES.get(field.type) for field in schema}
    return {**values, "key": key, "model": "run", "revision": revision}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three checkpoints, each with rows, two artifacts and an adapter."""
    found = Store(tmp_path / "store")
    with found.lock():
        for step in STEPS:
            for table, kind in (("vectors", "v"), ("training", "a")):
                keys = [f"{kind}{step}{number}" for number in range(2 if kind == "v" else 1)]
                rows = [row(table, key, f"step-{step}") for key in keys]
                found.write(table, rows, name=f"{step:032x}", keys=keys)
                for key in keys:
                    found.write_artifact(key, b"data of " + key.encode())
        found.write_artifact("stranger", b"of no row")
    return found


def seen() -> Watched:
    """They were evaluated in this order."""
    watched = Watched()
    for step in STEPS:
        watched.put(
            Record(name=f"run@step-{step}", source="run", state="done", model="run",
                   revision=f"step-{step}", finished=f"2026-01-0{step}T00:00:00+00:00")
        )  # fmt: skip
    return watched


def bound(store: Store, watched: Watched, **kept: int) -> list[str]:
    said: list[str] = []
    disk.bound(store, watched, kept={**KEPT, **kept}, tell=said.append)
    return said


def test_artifacts_are_found_by_table_and_model(store: Store):
    found = store.artifacts_by_model()
    assert found["vectors", "run", "step-2"] == {"v20", "v21"}
    assert found["training", "run", "step-3"] == {"a30"}
    assert "stranger" not in {key for keys in found.values() for key in keys}


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        ({}, {"v10", "v11", "a10", "v20", "v21", "a20", "v30", "v31", "a30"}),
        ({"artifacts": 1}, {"a10", "a20", "v30", "v31", "a30"}),
        ({"adapters": 0}, {"v10", "v11", "v20", "v21", "v30", "v31"}),
        ({"adapters": 2, "artifacts": 0}, {"a20", "a30"}),
    ],
)
def test_the_newest_keep_theirs_and_rows_stay(kept: dict[str, int], left: set[str], store: Store):
    keys = store.keys()
    assert bound(store, seen(), **kept) == []
    assert store.artifact_files.keys() == {*left, "stranger"}
    assert Store(store.files.where).keys(verify=True) == keys
    assert store.holder() is None


def test_what_is_not_evaluated_keeps_everything(store: Store):
    watched = seen()
    watched.change("run@step-1", state="failed")
    bound(store, watched, artifacts=0, adapters=0)
    assert store.artifact_files.keys() == {"v10", "v11", "a10", "stranger"}


def test_a_store_that_a_run_holds_is_left_alone_and_said(store: Store):
    with Store(store.files.where).lock():
        said = bound(store, seen(), artifacts=0)
    assert len(said) == 1 and "could be deleted: " in said[0] and "is in use by" in said[0]
    assert len(store.artifact_files.keys()) == 10


def test_converted_models_of_the_newest_stay(store: Store, tmp_path: Path):
    place = store.files.local / "converted" / "run"
    for step in STEPS:
        made.checkpoint(place / f"step-{step}")
    bound(store, seen(), converted=1)
    assert [path.name for path in place.iterdir()] == ["step-3"]
    bound(store, seen(), converted=0)
    assert not place.exists()
