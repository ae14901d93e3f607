"""A finished study that was killed at its end, or spoilt later: the same command mends it."""

import json
import shutil
import subprocess
import sys
import uuid
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.storage import compaction
from orchestrator.storage.files import Files
from orchestrator.storage.lease import Claim
from orchestrator.storage.process import here
from orchestrator.storage.store import Store
from tests.makers import world
from tests.makers.stored import files, flip
from tests.makers.world import same
from tests.orchestrator.storage.test_lease import HOLD, start


@pytest.fixture
def out(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compaction, "SETTLE_SECONDS", 0.0)
    return Path(shutil.copytree(undisturbed, tmp_path / "run"))


def again(
    root: Path,
    out: Path,
    *extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """The same command once more; what it printed."""
    arguments = world.arguments(root, out, *extra, models=world.models())
    assert world.run(*arguments, monkeypatch=monkeypatch) == 0
    return " ".join(capsys.readouterr().out.split())


def killed_at_its_end(out: Path) -> None:
    """What a run leaves that is killed in its last compaction, of a machine that is gone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Files, "delete_all", lambda *_: None)
        Store(out).compact(min_shards=2)
    assert list(out.glob("tables/*/compact-*"))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    process = type(here())(**{**asdict(here()), "number": gone.pid})
    claim = Claim(id="0" * 32, process=process, since="", heartbeat="2026-01-01", holds=True)
    (out / "leases" / f"{'0' * 32}.json").write_text(json.dumps(asdict(claim)))
    for place in (out / "tables" / "items" / ".compact-0.parquet", out / ".status.html"):
        place.with_name(f"{place.name}.{uuid.uuid4().hex}").write_bytes(b"half")
    status = json.loads((out / "status.json").read_text())
    (out / "status.json").write_text(json.dumps({**status, "state": "running"}))


def test_a_run_killed_in_its_last_compaction_is_tidied_by_the_next(
    root: Path,
    out: Path,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    killed_at_its_end(out)
    assert Store(out).untidy()
    assert "0 cells to compute" in again(root, out, monkeypatch=monkeypatch, capsys=capsys)
    assert not [name for name in files(out) if "/." in f"/{name}" or name.startswith("leases")]
    for name in ("alignment", "items", "points"):
        stored = pd.read_parquet(out / "tables" / name)
        per = [column for column in ("key", "item", "side") if column in stored]
        assert not stored.duplicated(per).any()
    same(out, undisturbed)
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "finished" and status["done"] == status["cells"]
    assert not Store(out).untidy()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again(root, out, monkeypatch=monkeypatch, capsys=capsys)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_what_a_living_run_writes_is_left_alone(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    other = start(HOLD, str(out), "60")
    try:
        assert other.stdout and other.stdout.readline() == "held\n"
        half = out / "tables" / "items" / f".{'0' * 32}.parquet.{'f' * 32}"
        half.write_bytes(b"half")
        before = files(out)
        assert "0 cells to compute" in again(root, out, monkeypatch=monkeypatch, capsys=capsys)
        assert files(out) == before
    finally:
        other.kill()
        other.wait()
    again(root, out, monkeypatch=monkeypatch, capsys=capsys)
    assert not half.exists()


@pytest.mark.parametrize("how", ["a flipped bit", "the footer", "a large shard"])
def test_damage_after_the_end_is_computed_again_as_it_was(
    root: Path,
    out: Path,
    undisturbed: Path,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    path = max(out.glob("tables/alignment/*"), key=lambda path: path.stat().st_size)
    if how == "the footer":
        whole = path.read_bytes()
        path.write_bytes(whole[:-200] + bytes([whole[-200] ^ 8]) + whole[-199:])
    else:
        flip(path, column="value")
    extra = []
    if how == "a large shard":
        for module in ("analysis.storage.folder", "orchestrator.storage.shards"):
            monkeypatch.setattr(f"{module}.WHOLE_BYTES", 0)
        assert "0 cells to compute" in again(root, out, monkeypatch=monkeypatch, capsys=capsys)
        extra = ["--verify"]
    text = again(root, out, *extra, monkeypatch=monkeypatch, capsys=capsys)
    assert "is damaged" in text and "cells computed in" in text
    assert "quarantine/ holds 1 damaged file(s), whose cells are computed again:" in text
    same(out, undisturbed)
    assert len(list(out.glob("quarantine/alignment/*"))) == 1
    assert "0 cells to compute" in again(
        root, out, "--verify", monkeypatch=monkeypatch, capsys=capsys
    )
