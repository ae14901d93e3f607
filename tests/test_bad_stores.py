"""What is no place for a run, or a damaged one: one sentence each, nothing written or lost."""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import places, read, seal
from analysis.places import Place
from orchestrator import __main__ as program
from orchestrator.showing.standing import Standing
from orchestrator.storage import compact
from orchestrator.storage.lease import Claim, holder
from orchestrator.storage.process import here
from orchestrator.storage.shards import Damage, listed, load
from orchestrator.storage.store import Store
from tests.stored import choice_unit, error, files, fill, flip, rows, unit

UNIT = unit("deu_Latn", "fra_Latn")
RECORD: dict[str, object] = {
    "study": "test",
    "settings": {"pairs": 5},
    "pins": {"model a": "w1", "text flores200/deu_Latn-eng_Latn": "t1"},
    "cells": {"a": 4},
}


def command(
    *arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """The command line in this process; its exit status and all that it printed."""
    monkeypatch.setattr(sys, "argv", ["babelscope", *arguments])
    try:
        program.main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0
    printed = capsys.readouterr()
    return status, printed.out + printed.err


ADDRESSES = {
    "gs://bucket/run": "gs: is not known",
    "abfs://container@account/run": "abfs: is not known",
    "abfss://c@a.dfs.core.windows.net/run": "abfss: is not known",
    "az://bucket/run": "az: is not known",
    "hdfs://host:9000/run": "hdfs: is not known",
    "hdfs:/run": "hdfs: is not known",
    "s3a://bucket/run": "s3a: is not known",
    "http://host/run": "http: is not known",
    "nonsense+x://y": r"nonsense\+x: is not known",
    "s3://": "names no bucket",
    "s3:///run": "names no bucket",
    "S3:///run": "names no bucket",
    "s3://@/run": "names no bucket",
    "s3:bucket/run": "expected a folder or an address",
    "s3://bu cket/run": "no bucket has such a name",
    "s3://bucket:x/run": "no bucket has such a name",
    "s3://KEY:PLAN/TED@bucket/run": "a / in a secret key written as %2F",
    "s3://KEY@bucket/run": "expected key and secret",
    "s3://:PLANTED@bucket/run": "expected key and secret",
    "s3://bucket/a//b": "a part of the path is empty",
    "s3://bucket/../other": "a part of the path is empty or made of dots",
    "s3://bucket/run?colour=PLANTED": "unknown option 'colour'",
    "s3://bucket/run?PLANTED": "is no address",
    "s3://bucket/run?region=a&region=b": "gives an option twice",
    "s3://bucket/run?scheme=ftp": "expected scheme=http or scheme=https",
    "s3://bucket/run?endpoint_override=http://u:PLANTED@host": "without user and path",
    "s3://[::1/run": "is no address",
    "file://elsewhere/run": "names another machine",
    "file:run": "expected file:///folder",
    "file:///run%00": "cannot be printed",
    "": "an empty name",
    "  ": "an empty name",
    "run\n": "cannot be printed",
    "run\x1b[2J": "cannot be printed",
    "run\u202efdp": "cannot be printed",
    "run\udcff": "cannot be printed",
}


@pytest.mark.parametrize("address", ADDRESSES, ids=ascii)
def test_an_address_that_is_none_is_one_sentence_before_anything_is_reached(address: str):
    for kind in (Store, Place):
        with pytest.raises(ValueError, match=ADDRESSES[address]) as refused:
            kind(address)
        text = str(refused.value)
        assert "\n" not in text and "PLAN" not in text and text.isprintable()


def test_addresses_that_are_some():
    for address, shown in {
        "S3://bucket/Run#2": "s3://bucket/Run#2",
        "s3:/bucket/run": "s3://bucket/run",
        "s3://K:S%2FS@bucket/run/?region=x": "s3://bucket/run",
        "file:///a%20b": "/a b",
        "file://localhost/a": "/a",
        "~/runs": str(Path("~/runs").expanduser()),
        "runs/a:b@c?d#e": "runs/a:b@c?d#e",
    }.items():
        assert Place(address).address == shown


def test_the_command_line_refuses_addresses_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
):
    """As the command hands them on: a Path would have made `run` of `s3:///run` a bucket."""
    monkeypatch.chdir(tmp_path)
    for address in ("gs://b/r", "abfs://c@a/r", "s3:///run", "", "s3://K:PLANTED@/r", "http://h/r"):
        for asked in (["plan", "demo", "--out"], ["status"], ["report"]):
            status, text = command(*asked, address, monkeypatch=monkeypatch, capsys=capsys)
            assert status == 2 and text.startswith("error: ") and len(text.splitlines()) == 1
            assert "PLANTED" not in text
    status, text = command(
        "report", str(tmp_path), "--out", "s3://b/r", monkeypatch=monkeypatch, capsys=capsys
    )
    assert status == 2 and "s3://b/r is no folder of this machine" in text
    assert not list(tmp_path.iterdir())


def put(path: Path, content: bytes | str = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def loop(path: Path) -> None:
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


OTHERS = (
    ".git/HEAD", ".bashrc", ".ssh/id_rsa", "main.py", "package.json", "README.md", "thesis.tex",
    "tables/data.csv", "tables/alignment/theirs.parquet", "tables/.git/config",
    "tables/2024/0123456789abcdef0123456789abcdef.parquet", "artifacts/app.js",
    "artifacts/build/app.safetensors", "errors/today.log/x", "leases/flat.pdf", "tables",
    "report/index.html", "runs/first/run.json",
)  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_that_holds_other_things_is_no_place_for_a_run(tmp_path: Path, name: str):
    put(tmp_path / name)
    before = files(tmp_path)
    store = Store(tmp_path)
    for ask in (store.manifest, lambda: store.lock().__enter__()):
        with pytest.raises(ValueError, match=r"is not a run folder \(it holds '.*and no run.json"):
            ask()
    assert files(tmp_path) == before and not (tmp_path / "run.lock").exists()


@pytest.mark.parametrize(
    "name",
    [
        "", ".DS_Store", ".gitkeep", ".gitignore", "slurm-12.out", "run.log", "nohup.out",
        "logs/today.txt", "lost+found/x", "Thumbs.db", "tables/alignment/.DS_Store",
        f"tables/alignment/{'0' * 32}.parquet", f"leases/{'0' * 32}.json", "status.html",
        f"tables/alignment/.{'0' * 32}.parquet.{'f' * 32}", f".status.html.{'f' * 32}",
        "artifacts/ab12.safetensors", "quarantine/alignment/x.parquet", "run.lock",
    ],
)  # fmt: skip
def test_a_folder_that_is_new_or_was_begun_is_one(tmp_path: Path, name: str):
    if name:
        put(tmp_path / name)
    assert Store(tmp_path).manifest() is None


def written(content: bytes) -> Callable[[Path], None]:
    return lambda path: put(path, content)


def changed(**parts: object) -> Callable[[Path], None]:
    return written(json.dumps({"version": 2, **RECORD, **parts}).encode())


RECORDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a list": (written(b"[]"), "is not the record of a run"),
    "null": (written(b"null"), "is not the record of a run"),
    "a number": (written(b"3"), "is not the record of a run"),
    "a text": (written(b'"x"'), "is not the record of a run"),
    "an empty object": (written(b"{}"), "is not the record of a run"),
    "package.json": (written(b'{"name": "x", "version": "1.0.2"}'), "is not the record of a run"),
    "another's version": (written(b'{"version": 2, "id": 7}'), "is not the record of a run"),
    "true version": (changed(version=True), "is not the record of a run"),
    "newer": (changed(version=3), "newer Babelscope"),
    "empty": (written(b""), "not valid JSON"),
    "cut off": (written(b'{"version": 2, "study'), "not valid JSON"),
    "no text": (written(b"\xff\xfe\x00"), "not valid JSON"),
    "deep": (written(b"[" * 100_000), "not valid JSON"),
    "study": (changed(study=["test"]), "its 'study' is no str"),
    "settings": (changed(settings=[]), "its 'settings' is no dict"),
    "pins": (changed(pins="x"), "its 'pins' is no dict"),
    "cells": (changed(cells={"a": "4"}), "'cells' are no numbers"),
    "models": (changed(models={}), "its 'models' is no list"),
    "provenance": (changed(provenance=[]), "its 'provenance' is no dict"),
    "a folder": (lambda path: put(path / "x"), "no regular file"),
    "a pipe": (os.mkfifo, "no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "a loop": (loop, "symbolic links"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_is_not_ours_is_one_sentence_for_every_command(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    keys = fill(Store(tmp_path), 1)
    spoil, sentence = RECORDS[name]
    spoil(tmp_path / "run.json")
    before = files(tmp_path)
    commands = (["status"], ["report"], ["plan", "demo", "--out"], ["run", "demo", "--out"])
    for asked in commands:
        status, text = command(*asked, str(tmp_path), monkeypatch=monkeypatch, capsys=capsys)
        assert status == 2 and sentence in text, text
        assert len(text.splitlines()) == 1 and str(tmp_path) in text
    assert files(tmp_path) == before
    for path in (tmp_path / "run.json", tmp_path / "other"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    assert Store(tmp_path).keys() == keys


def test_names_too_long_and_links_in_circles_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    loop(tmp_path / "circle")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    for out, why in {
        "n" * 300: "File name too long",
        "deep/" * 1000: "File name too long",
        "circle": "symbolic links",
        "circle/run": "symbolic links",
        "file": "is a file|no such folder",
        "file/run": "",
    }.items():
        for asked in (["status"], ["report"], ["run", "demo", "--cluster", "inline", "--out"]):
            status, text = command(*asked, out, monkeypatch=monkeypatch, capsys=capsys)
            last = text.splitlines()[-1]
            assert status == 2 and last.startswith("error: ") and len(last) < 450, text
            assert not why or any(part in last for part in why.split("|")), text
    status, text = command(
        *("run", "demo", "--cluster", "inline", "--out", "dangling"),
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert status == 2 and "a link there leads nowhere" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("circle", "dangling", "file", "other"),
    ]


@contextmanager
def somebody_else() -> Iterator[Path]:
    """A folder of ours, and no rights but those of others while the context is open."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if os.geteuid() != os.getuid():
            os.seteuid(os.getuid())
        shutil.rmtree(folder)


@pytest.mark.parametrize("what", ["run.json", "tables/alignment", "shard", "status.json", "leases"])
def test_what_may_not_be_read_is_one_sentence_and_no_damage(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    with somebody_else() as folder:
        store = Store(folder / "run")
        with store.lock():
            store.write_manifest(RECORD)
            shard = store.write(UNIT, rows(UNIT))
            store.write_status({})
        before = files(folder)
        locked = folder / "run" / (shard if what == "shard" else what)
        locked.chmod(0)
        if os.getuid() == 0:  # who may read everything
            os.seteuid(65534)
        status, text = command("status", str(store.root), monkeypatch=monkeypatch, capsys=capsys)
        if what == "status.json":
            assert status == 0, "nobody runs here, so nobody asks it"
        else:
            last = text.splitlines()[-1]
            assert status == 2 and "Permission denied" in last and str(locked) in last, text
        os.seteuid(os.getuid())
        locked.chmod(0o755)
        assert files(folder) == before and Store(folder / "run").keys() == {
            cell.key for cell in UNIT.cells
        }


STATUSES = {
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "no text": b"\xff",
    "deep": b"[" * 100_000,
    "another's": b'{"state": "ok"}',
    "cut off": None,
}


def snapshot() -> dict[str, object]:
    standing = Standing(
        study="test", totals={"a": 4}, missing={"a": 4}, failed_before={}, work={"a": 1.0},
        units=1, started=0.0,
    )  # fmt: skip
    standing.opening(0, model="a", node="n", gpus=0.0, now=1.0)
    return json.loads(json.dumps(standing.snapshot(now=2.0).as_json()))


def spoilt_statuses() -> dict[str, bytes]:
    whole = json.dumps(snapshot()).encode()
    spoilt = {name: whole[:90] if text is None else text for name, text in STATUSES.items()}
    for name, value in {
        "cells": "many", "done": None, "seconds_left": "soon", "state": "asleep", "models": {},
        "workers": [1], "notes": [1], "usage": [], "now": True, "started": float("nan"),
    }.items():  # fmt: skip
        spoilt[f"its {name}"] = json.dumps({**snapshot(), name: value}).encode()
    return spoilt


@pytest.mark.parametrize("name", spoilt_statuses())
def test_a_damaged_status_is_said_and_the_rows_are_counted(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    store = Store(tmp_path)
    with store.lock():
        store.write_manifest(RECORD)
        store.write(UNIT, rows(UNIT))
        store.write_status(snapshot())
        status, text = command("status", str(tmp_path), monkeypatch=monkeypatch, capsys=capsys)
        assert status == 0 and "held by" in text and "running: 0 of 4" in text
        put(tmp_path / "status.json", spoilt_statuses()[name])
        status, text = command("status", str(tmp_path), monkeypatch=monkeypatch, capsys=capsys)
    assert status == 0 and "note: " in text and "the rows are counted instead" in text, text
    assert re.search(r"a +│ +4 │ +4 │ +0 │ +0 ", text), text


LEASES = {
    "empty": b"",
    "a list": b"[]",
    "no text": b"\xff",
    "deep": b"[" * 100_000,
    "no process": b'{"id": "x"}',
}


@pytest.mark.parametrize("name", [*LEASES, "number", "heartbeat", "took", "machine", "holds"])
def test_a_garbled_lease_is_somebodys_until_it_is_old(tmp_path: Path, name: str):
    claim: dict[str, object] = {
        "id": "0", "since": "now", "heartbeat": "2026-01-01 00:00:00+00:00", "holds": True,
        "took": [], "process": {n: getattr(here(), n) for n in here().__slots__},
    }  # fmt: skip
    assert set(claim) == set(Claim.__slots__)
    if name in ("number", "machine"):
        claim["process"] = {**dict(claim["process"]), name: ["x"]}  # type: ignore[call-overload]
    elif name not in LEASES:
        claim[name] = "x" if name != "took" else 5
    path = tmp_path / "leases" / f"{'0' * 32}.json"
    put(path, LEASES[name] if name in LEASES else json.dumps(claim))
    store = Store(tmp_path)
    assert "someone on an unknown host" in str(holder(store.files))
    with pytest.raises(ValueError, match="in use by someone on an unknown host"), store.lock():
        pass
    os.utime(path, (0, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.storage.lease.BEAT_SECONDS", 0.01)
        with store.lock():
            fill(store, 1)
    assert not path.exists()


def test_every_flipped_byte_of_a_shard_is_noticed(tmp_path: Path):
    """Checksums of pages leave headers and footer open: some flips there change what is read."""
    store = Store(tmp_path)
    path = tmp_path / store.write(UNIT, rows(UNIT))
    whole = path.read_bytes()
    place = whole.rindex(seal.NAME)
    for position in range(len(whole)):
        spoilt = whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
        assert seal.intact(spoilt) is (
            None if place <= position < place + len(seal.MARK) else False
        ), position
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
        (entry,) = listed(store.files)
        found = load(store.files, entry, columns=["key"])
        if not (place <= position < place + len(seal.MARK)):
            assert isinstance(found, Damage)
            with pytest.raises(ValueError, match="is damaged"):
                read.table([tmp_path], name="alignment")


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("column", ["value", "language", "p_null", "switches"])
def test_damage_outside_of_the_keys_is_found_and_its_cells_count_as_missing(
    tmp_path: Path, column: str, merged: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compact, "SETTLE_SECONDS", 0.0)
    store, large = Store(tmp_path), unit("deu_Latn", layers=100)
    content = [row | {"value": number / 100} for number, row in enumerate(rows(large))]
    store.write(large, content)
    other = fill(store, 2)
    if merged:
        store.compact(min_shards=2)
    path = max(tmp_path.glob("tables/alignment/*"), key=lambda path: path.stat().st_size)
    flip(path, column=column)
    left = set() if merged else other
    assert Store(tmp_path).keys() == left
    # Of a large shard only the keys are read, unless everything is asked for.
    for module in (places, sys.modules["orchestrator.storage.shards"]):
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
    path = tmp_path / store.write(large, content)
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
    monkeypatch.setattr(compact, "SETTLE_SECONDS", 0.0)
    store, items = Store(tmp_path), choice_unit("deu_Latn")
    fill(store, 3)
    store.write(items, rows(items))
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
    for position in (10, 400):
        whole = store.errors_path.read_bytes()
        flipped = bytes([whole[position] ^ 4])
        store.errors_path.write_bytes(whole[:position] + flipped + whole[position + 1 :])
        again = Store(tmp_path)
        assert again.failed() == set() and "is damaged" in again.quarantined[0]
        with again.lock():
            assert not store.errors_path.exists()
            again.write_errors([error(UNIT.cells[0])])
    assert len(list(tmp_path.glob("quarantine/errors/*"))) == 2


@pytest.mark.parametrize("spoil", [emptied, cut, lambda path: path.write_bytes(b"x" * 7)])
def test_a_spoilt_artifact_counts_as_missing(tmp_path: Path, spoil: Callable[[Path], None]):
    store = Store(tmp_path)
    store.write_artifact("ab", b"tensors of ab")
    store.write_artifact("cd", b"tensors of cd")
    spoil(tmp_path / "artifacts" / "ab.safetensors")
    again = Store(tmp_path)
    assert again.sound_artifacts(["ab", "cd", "ef"]) == {"cd"}
    assert again.artifacts(["ab", "cd"]) == {"cd": b"tensors of cd"}
    with pytest.raises(ValueError, match="does not exist or is damaged"):
        again.read_artifact("ab")
    cell = UNIT.cells[0].key
    store.write(UNIT, rows(UNIT))
    store.write_artifact(cell, b"made by a cell that is done")
    spoil(tmp_path / "artifacts" / f"{cell}.safetensors")
    plain, verified = Store(tmp_path).keys(), Store(tmp_path).keys(verify=True)
    assert cell in plain and cell not in verified


def started(folder: Path, **parts: object) -> Store:
    """A run of two cells of German."""
    store = Store(folder)
    with store.lock():
        store.write_manifest({**RECORD, **parts})
        store.write(unit("deu_Latn"), rows(unit("deu_Latn")))
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
    monkeypatch.setattr(compact, "SETTLE_SECONDS", 0.0)
    parts, sentence = STRANGERS[name]
    theirs, ours = started(tmp_path / "theirs", **parts), started(tmp_path / "ours")
    with theirs.lock():
        theirs.write(unit("deu_Latn", layers=3), rows(unit("deu_Latn", layers=3)))
        if merged:
            theirs.compact(min_shards=2)
    for number, path in enumerate(sorted(theirs.root.glob("tables/alignment/*"))):
        copy = ours.root / "tables" / "alignment" / f"{number:032d}.parquet"
        shutil.copy(path, copy)
        if older:  # whose rows alone say what they are of
            content = pq.read_table(copy).replace_schema_metadata(None)
            study = pa.array([str(parts.get("study", "test"))] * content.num_rows, pa.string())
            pq.write_table(content.set_column(0, "study", study), copy)
    if older and name != "study":
        assert len(Store(ours.root).keys()) == 3, "nothing tells them from our own"
        return
    own = {cell.key for cell in unit("deu_Latn").cells}
    again = Store(ours.root)
    assert again.keys() == own and again.quarantined
    assert all(sentence in each and "are not counted" in each for each in again.quarantined)
    status, text = command("status", str(ours.root), monkeypatch=monkeypatch, capsys=capsys)
    assert status == 0 and sentence in text.replace("\n", " ")
    with pytest.raises(ValueError, match=r"it is of another run; move it out of tables/"):
        read.rows([ours.root])
    with again.lock():
        assert again.keys() == own
    assert set(read.rows([ours.root]).alignment["key"]) == own
    assert list(ours.root.glob("quarantine/alignment/*"))


def test_shards_of_the_same_study_settings_and_texts_may_be_brought_together(tmp_path: Path):
    """A key is an answer, whoever computed it; models that no launch named are said."""
    ours, theirs = started(tmp_path / "ours"), started(tmp_path / "theirs", pins={})
    keys = fill(theirs, 2)
    for path in theirs.root.glob("tables/alignment/*"):
        shutil.copy(path, ours.root / "tables" / "alignment" / path.name)
    assert ours.keys() == keys | {cell.key for cell in unit("deu_Latn").cells}
    assert not ours.quarantined and len(read.rows([ours.root]).alignment) == 6


def test_a_lost_record_costs_no_rows(tmp_path: Path):
    started(tmp_path)
    (tmp_path / "run.json").unlink()
    again = Store(tmp_path)
    keys = {cell.key for cell in unit("deu_Latn").cells}
    assert again.manifest() is None and again.keys() == keys
    with again.lock():
        again.write_manifest(RECORD)
        assert again.keys() == keys and not again.quarantined
