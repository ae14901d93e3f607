"""What is no place for a run, or a damaged one: one sentence each, nothing written or lost."""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from analysis.storage.folder import Folder
from orchestrator import __main__ as program
from orchestrator.results import keep
from orchestrator.showing.snapshot import Progress
from orchestrator.storage.lease import Claim, holder
from orchestrator.storage.process import here
from orchestrator.storage.store import Store
from tests.makers.stored import files, fill, rows, unit

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
    "file:///run%00": "control character",
    "file:///run%ff": "no Unicode text",
    "": "an empty name",
    "  ": "an empty name",
    "run\n": "U\\+000A, a control character",
    "run\x1b[2J": "U\\+001B, a control character",
    "run\u202efdp": "RIGHT-TO-LEFT OVERRIDE\\), a mark that cannot be seen",
    "run\u200b": "ZERO WIDTH SPACE",
    "run\u2028": "a line's end",
    "run\udcff": "no Unicode text",
}


@pytest.mark.parametrize("address", ADDRESSES, ids=ascii)
def test_an_address_that_is_none_is_one_sentence_before_anything_is_reached(address: str):
    for kind in (Store, Folder):
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
        "a\u00a0b/モデル\u3000一": "a\u00a0b/モデル\u3000一",
        "می\u200cخواهم": "می\u200cخواهم",
    }.items():
        assert Folder(address).address == shown


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
            shard = keep(store, UNIT, rows(UNIT))
            store.write_status({})
        before = files(folder)
        locked = folder / "run" / (shard if what == "shard" else what)
        locked.chmod(0)
        if os.getuid() == 0:  # who may read everything
            os.seteuid(65534)
        status, text = command(
            "status", str(store.files.local), monkeypatch=monkeypatch, capsys=capsys
        )
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
    progress = Progress(
        study="test", totals={"a": 4}, missing={"a": 4}, failed_before={}, work={"a": 1.0},
        units=1, started=0.0,
    )  # fmt: skip
    progress.loading(0, model="a", node="n", gpus=0.0, now=1.0)
    return json.loads(json.dumps(asdict(progress.snapshot(now=2.0))))


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
        keep(store, UNIT, rows(UNIT))
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


@pytest.mark.parametrize(
    "name", [*LEASES, "number", "heartbeat", "took", "machine", "holds", "year", "user"]
)
def test_a_garbled_lease_is_somebodys_until_it_is_old(tmp_path: Path, name: str):
    claim: dict[str, object] = {
        "id": "0", "since": "now", "heartbeat": "2026-01-01 00:00:00+00:00", "holds": True,
        "took": [], "process": {n: getattr(here(), n) for n in here().__slots__},
    }  # fmt: skip
    assert set(claim) == set(Claim.__slots__)
    if name in ("number", "machine"):
        claim["process"] = {**dict(claim["process"]), name: ["x"]}  # type: ignore[call-overload]
    elif name == "user":  # of another machine, who writes over the reader's screen
        process = {**dict(claim["process"]), "machine": "another", name: "\x1b[2Jada\nroot"}  # type: ignore[call-overload]
        claim["process"] = process
    elif name == "year":  # of which no clock can say how long ago it was
        claim["heartbeat"] = "0001-01-01 00:00:00"
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
