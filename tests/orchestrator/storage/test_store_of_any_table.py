"""The store knows no study: any table of rows with keys is kept, checked, merged, judged alike."""

import ast
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.storage import folder as storage
from analysis.storage.record import BELONGS
from orchestrator.storage import compaction, shards
from orchestrator.storage.schema import NEEDED, Row, Table
from orchestrator.storage.store import Store
from tests.makers.world import ROOT

TEXT = pa.string()
COUNTS = Table(
    "counts",
    pa.schema([*((name, TEXT) for name in NEEDED), ("word", TEXT), ("count", pa.int32())]),
    ("key", "word"),
)
ERRORS = Table("errors", pa.schema([*((name, TEXT) for name in NEEDED), ("error", TEXT)]), ("key",))
TABLES = {table.name: table for table in (COUNTS, ERRORS)}
RECORD = {"study": "words", "settings": {}, "pins": {}}


def row(key: str, word: str, **others: object) -> Row:
    return {"key": key, "model": "m", "revision": "main", "word": word, "count": 1, **others}


def put(store: Store, name: str, *keys: str, record: object = None) -> str:
    """A shard of two words for each key."""
    rows = [row(key, word) for key in keys for word in ("one", "two")]
    return store.write("counts", rows, name=name, keys=keys, belongs=record or store.record)


def names(number: int) -> str:
    return f"{number:032x}"


def test_a_table_of_ones_own_is_kept_counted_merged_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compaction, "SETTLE_SECONDS", 0.0)
    store = Store(tmp_path, tables=TABLES)
    with store.lock():
        store.write_manifest(RECORD)
        put(store, names(1), "a", "b")
        put(store, names(2), "b", "c")
        store.write_errors([{**dict.fromkeys(ERRORS.schema.names, "d"), "error": "no such word"}])
        assert store.compact(min_shards=2) == 2
    (merged,) = tmp_path.glob("tables/counts/*")
    table = pq.read_table(merged)
    assert table.num_rows == 6 and table.schema.remove_metadata() == COUNTS.schema
    again = Store(tmp_path, tables=TABLES)
    assert again.keys() == {"a", "b", "c"} and again.failed() == {"d"}
    assert again.count_by_model() == ({"m": 3}, {"d@d": 1})
    again.write_errors([], forget=["d"])
    assert not again.failed() and not again.quarantined


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (row("a", "two", count=0.5), "takes whole numbers in 'count': 0.5"),
        (row("a", "two", count="x"), "a row does not fit table 'counts'"),
        (row("a", "one"), "1 rows of a unit repeat another's key and word"),
        (row("b", "one"), "0 of 1 cells of a unit came back without a row, and 1 rows belong to"),
        (row("a", "two", more=1), "a row of table 'counts' differs in column 'more'"),
    ],
)
def test_rows_that_do_not_fit_are_refused_whole(tmp_path: Path, spoilt: Row, said: str):
    store = Store(tmp_path, tables=TABLES)
    with pytest.raises(ValueError, match=said):
        store.write("counts", [row("a", "one"), spoilt], name=names(1), keys=["a"])
    assert not list(tmp_path.iterdir())


def test_a_table_that_is_not_named_is_kept_as_it_is_and_its_keys_count(tmp_path: Path):
    put(Store(tmp_path, tables=TABLES), names(1), "a")
    put(Store(tmp_path, tables=TABLES), names(2), "b")
    other = Store(tmp_path, tables={"errors": ERRORS})
    assert other.keys() == {"a", "b"}
    assert other.compact(min_shards=2) == 0 and not other.quarantined


def test_a_large_shard_of_another_run_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its metadata say what it is of; the rows of a large one may be gigabytes."""
    store = Store(tmp_path, tables=TABLES)
    with store.lock():
        store.write_manifest(RECORD)
        put(store, names(1), "a")
        put(store, names(2), "b", record={**RECORD, "study": "other"})
    for module in (storage, shards):
        monkeypatch.setattr(module, "WHOLE_BYTES", 0)
    read: list[str] = []
    whole = storage.Folder.read

    def noted(self: storage.Folder, name: str) -> bytes:
        read.append(name)
        return whole(self, name)

    monkeypatch.setattr(storage.Folder, "read", noted)
    again = Store(tmp_path, tables=TABLES)
    assert again.keys() == {"a"}
    (sentence,) = again.quarantined
    assert "holds the study 'other', this is 'words': its rows are not counted" in sentence
    assert read == ["run.json"]


def test_the_record_is_told_by_what_was_written_and_as_json_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Shards name the settings as JSON has them: a tuple there is a list."""
    store = Store(tmp_path, tables=TABLES)
    with store.lock():
        with monkeypatch.context() as patch:
            patch.setattr(storage.Folder, "read", lambda *_: pytest.fail("it was just written"))
            store.write_manifest({**RECORD, "settings": {"layers": (1, 2)}})
        put(store, names(1), "a")
    assert store.record == {**RECORD, "settings": {"layers": [1, 2]}}
    assert Store(tmp_path, tables=TABLES).keys() == {"a"}


METADATA = {
    "no JSON": "{",
    "deep": "[" * 100_000,
    "a list": "[]",
    "a number": "3",
    "no study": '{"settings": {}, "pins": {}}',
    "another study's name": '{"study": ["words"]}',
    "settings": '{"study": "words", "settings": []}',
    "pins": '{"study": "words", "pins": "x"}',
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", METADATA)
def test_a_shard_that_does_not_say_of_which_run_it_is_is_damaged(
    tmp_path: Path, name: str, large: bool, monkeypatch: pytest.MonkeyPatch
):
    """No seal tells: of a large shard the footer alone is read, and older ones have none."""
    store = Store(tmp_path, tables=TABLES)
    with store.lock():
        store.write_manifest(RECORD)
        put(store, names(1), "a")
        path = tmp_path / put(store, names(2), "b")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({BELONGS: METADATA[name]}), path)
    for module in (storage, shards) if large else ():
        monkeypatch.setattr(module, "WHOLE_BYTES", 0)
    again = Store(tmp_path, tables=TABLES)
    assert again.keys() == {"a"}
    (sentence,) = again.quarantined
    assert "is damaged (it does not say of which run it is): its cells are computed" in sentence
    with again.lock():
        assert again.keys() == {"a"} and not path.exists()
    assert len(list(tmp_path.glob("quarantine/counts/*"))) == 1


def test_a_large_shard_whose_footer_names_a_column_otherwise_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The name is there more than once: in the file's schema, of its columns, and of Arrow's."""
    path = tmp_path / put(Store(tmp_path, tables=TABLES), names(1), "a")
    whole = path.read_bytes()
    for module in (storage, shards):
        monkeypatch.setattr(module, "WHOLE_BYTES", 0)
    damaged = []
    for found in re.finditer(b"revision", whole):
        path.write_bytes(whole[: found.start()] + b"R" + whole[found.start() + 1 :])
        again = Store(tmp_path, tables=TABLES)
        keys = again.count_by_model()[0]
        assert bool(keys) != bool(again.quarantined)
        damaged += again.quarantined
    assert damaged and all("is damaged" in sentence for sentence in damaged)


@pytest.mark.parametrize("replaces", ["{", "[" * 100_000, "3", "null", '[1, {"a": 2}]', '{"a": 1}'])
def test_a_merged_shard_that_does_not_say_what_it_replaces_removes_nothing(
    tmp_path: Path, replaces: str
):
    store = Store(tmp_path, tables=TABLES)
    put(store, names(1), "a")
    path = tmp_path / put(store, f"{compaction.PREFIX}{names(2)}", "b")
    table = pq.read_table(path).replace_schema_metadata({shards.REPLACES: replaces})
    pq.write_table(table, path)
    with store.lock():
        assert store.keys() == {"a", "b"}
    assert len(list(tmp_path.glob("tables/counts/*"))) == 2


def test_who_reads_a_run_gets_its_record_or_one_sentence(tmp_path: Path):
    store = Store(tmp_path, tables=TABLES)
    with pytest.raises(
        ValueError, match=rf"^{tmp_path} is not a run folder: it holds no run\.json$"
    ):
        store.recorded()
    with store.lock():
        store.write_manifest(RECORD)
    assert store.recorded() == {"version": 2, **RECORD}


def test_the_store_imports_nothing_of_studies_and_scheduling():
    """But a model's name for people, and the tables that a run has unless it is told others."""
    allowed = {"studies.spec.label"}
    found = set()
    for path in (ROOT / "orchestrator" / "storage").glob("*.py"):
        if path.stem == "tables":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{each.name}" for each in node.names}
            elif isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
    own = ("orchestrator.storage.", "analysis.")
    ours = {name for name in found if name.split(".")[0] in ("studies", "actors", "orchestrator")}
    assert {name for name in ours if not name.startswith(own)} == allowed
