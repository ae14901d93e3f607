"""No secret stands in what is shown or stored: flags, addresses, environment, workers' errors."""

import contextlib
import io
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from actors import model_actor
from analysis.storage import record
from analysis.storage.redact import redact
from orchestrator import __main__ as program
from orchestrator import asked_for, provenance
from orchestrator import cluster as clusters
from orchestrator.storage.store import Store
from tests.makers import world
from tests.orchestrator.storage.test_s3 import bucket as bucket
from tests.orchestrator.storage.test_s3 import server as server

SECRET = "PLANTED"
TEXTS = {
    "s3://KEY:PLANTED@bucket/run?region=x": "s3://bucket/run?region=x",
    "s3:/KEY:PLANTED@bucket/run": "s3:/bucket/run",
    "--out=s3://KEY:PLANTED@bucket/run": "--out=s3://bucket/run",
    "s3://KEY:PLAN/PLANTED/x@bucket/run": "s3://bucket/run",
    "s3://KEY:PL?PLANTED@bucket/run": "s3://***?***",
    "s3://b/r?endpoint_override=http://u:PLANTED@host:9&scheme=http":
        "s3://b/r?endpoint_override=host:9&scheme=http",
    "s3://b/r?endpoint_override=http%3A%2F%2Fu:PLANTED@host": "s3://b/r?endpoint_override=host",
    "https://u:PLANTED@h/x?token=PLANTED#access_token=PLANTED":
        "https://h/x?token=***&access_token=***",
    "https://h/x?X-Amz-Signature=PLANTED&X-Amz-Date=1": "https://h/x?X-Amz-Signature=***"
        "&X-Amz-Date=***",
    "(https://acct.blob.net/c?sv=1&sig=PLANTED%3D).": "(https://acct.blob.net/c?sv=***&sig=***).",
    "https://h/x?PLANTED": "https://h/x?***",
    "ray://user:PLANTED@head:10001": "ray://head:10001",
    "unknown cluster 'user:PLANTED@head:10001': ...": "unknown cluster 'head:10001': ...",
    "Illegal header value b'Bearer PLANTED0000 '": "Illegal header value b'Bearer *** '",
    "token hf_PLANTEDPLANTED is": "token *** is",
    "of the environment: PLANTEDenv123, twice PLANTEDenv123":
        "of the environment: ***, twice ***",
}  # fmt: skip
PLAIN = (
    "ID@REVISION", "/models/a@main", "host:6379", "https://host:443/a@b", "a b c: d", "eng_Latn",
    "C:\\x", "12:30:05, foo@bar.org", "s3://bucket/run", "file:///a/b", "--switch=a=b",
    "see https://docs.ray.io/en/latest: there", "TOKENIZERS_PARALLELISM=false",
)  # fmt: skip


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets where users have them."""
    for name in ("HF_TOKEN", "AWS_SESSION_TOKEN", "MY_PASSWORD", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, f"{SECRET}env123")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_shown_without_what_opens_anything(text: str):
    assert redact(text) == TEXTS[text]
    assert redact(redact(text)) == redact(text)


def test_other_texts_stay_as_they_are():
    for text in PLAIN:
        assert redact(text) == text


def test_an_older_record_is_shown_without_what_was_typed():
    arguments = ["run", "--out", "s3://K:PLANTED@b/r"]
    content = {"version": 2, "study": "x", "provenance": {"arguments": arguments}}
    found = record.parse(json.dumps(content).encode(), where="")
    assert SECRET not in str(found) and "s3://b/r" in str(found)
    assert SECRET not in str(provenance.capture(arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "demo", "--out", "s3://K:PLANTED@b/r?x=PLANTED"),
        ("plan", "demo", "--out", "s3://K:PLANTED@b:9/r"),
        ("plan", "demo", "--out", "gs://K:PLANTED@b/r"),
        ("plan", "demo", "--cluster", "ray://u:PLANTED@head"),
        ("plan", "demo", "--cluster", "u:PLANTED@head:1"),
        ("plan", "neuronxa", "--model", "https://u:PLANTED@h/m?token=PLANTED"),
        ("plan", "neuronxa", "--model", "miniworld-llama", "--adapter", "https://u:PLANTED@h/m"),
        ("plan", "neuronxa", "--model", "miniworld-llama", "--data-root", "https://u:PLANTED@h/m"),
        ("plan", "generate", "--model", "miniworld-llama", "--prompts", "https://u:PLANTED@h/m"),
        ("plan", "https://u:PLANTED@h/study.py:x"),
        ("report", "s3://K:PLANTED@b/r?PLANTED"),
        ("status", "https://u:PLANTED@h/r"),
    ],
)
def test_errors_of_the_command_line_hold_no_secret(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    assert world.run(*arguments, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    assert "error: " in printed.err and SECRET not in printed.out + printed.err
    assert SECRET not in " ".join(sys.argv)


def test_an_error_that_nobody_foresaw_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def broken(*_: object) -> None:
        raise RuntimeError("no answer from https://u:PLANTED@h/x?token=PLANTED")

    monkeypatch.setattr(asked_for, "store", broken)
    assert world.run("plan", "demo", monkeypatch=monkeypatch) == 1
    text = capsys.readouterr().err
    assert SECRET not in text and "RuntimeError: no answer from https://h/x?token=***" in text


def test_ray_is_told_a_command_line_without_secrets(monkeypatch: pytest.MonkeyPatch):
    """It asks the system for it, and keeps it in the cluster's table of jobs and its logs."""
    import ray

    kept: list[str] = []
    utils = ray._private.utils
    monkeypatch.setattr(utils, "get_entrypoint_name", utils.get_entrypoint_name)
    monkeypatch.setattr(ray, "init", lambda **_: kept.append(utils.get_entrypoint_name()))
    monkeypatch.setattr(sys, "argv", ["babelscope", "--out", "s3://K:PLANTED@b/r"])
    session = object.__new__(clusters.RaySession)
    session.ray = ray
    session._init("local")
    assert kept == ["babelscope --out s3://b/r"]


def test_nothing_that_a_run_writes_or_prints_holds_a_secret(
    bucket: str, server: str, root: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every object of a run in a bucket, its tables and their metadata, and all that is printed."""
    host = server.partition("://")[2]
    out = f"{bucket.replace('s3://', f's3://{SECRET}KEY:{SECRET}%2FSECRET@')}/run"
    out += f"?endpoint_override={host}&scheme=http"
    run_unit = model_actor.run_unit

    def failing(loaded: object, unit: object, **named: object) -> object:
        if any(cell.language == "swh_Latn" for cell in unit.cells):  # type: ignore[attr-defined]
            raise RuntimeError(f"403 for https://u:{SECRET}@hub/x?token={SECRET} ({SECRET}env123)")
        return run_unit(loaded, unit, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(model_actor, "run_unit", failing)
    printed = io.StringIO()
    monkeypatch.setattr(program, "console", Console(file=printed, width=200))
    arguments = world.arguments(root, Path("x"), models=world.models()[:1], report=True)
    arguments[arguments.index("x")] = out
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
        assert world.run(*arguments, monkeypatch=monkeypatch) == 1
        for asked in (["status", out], ["report", out], ["plan", *arguments[1:-1]]):
            assert world.run(*asked, monkeypatch=monkeypatch) == 0
    text = printed.getvalue()
    assert "failed" in text and SECRET not in text
    files = Store(out).files
    names = [entry.name for hidden in (0, 1) for entry in files.entries("", hidden=bool(hidden))]
    assert {"run.json", "status.html", "errors.parquet", "report/index.html"} <= set(names)
    for name in names:
        content = files.read(name)
        assert SECRET.encode() not in content, name
        if name.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(content))
            assert SECRET not in str(table.to_pylist()) + str(table.schema.metadata), name
    errors = pq.read_table(io.BytesIO(files.read("errors.parquet"))).to_pylist()
    assert errors and all("403 for https://hub/x?token=***" in row["error"] for row in errors)
