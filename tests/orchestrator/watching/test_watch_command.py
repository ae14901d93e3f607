"""`babelscope watch` as it is typed: what is refused, the list of what was seen, one watcher."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.storage.files import Files
from orchestrator.storage.store import Store
from orchestrator.watching import state
from orchestrator.watching.start import held, inside
from orchestrator.watching.state import Record, Watched
from studies.recipes import RECIPES
from tests.makers.watched import STUDY, checkpoint
from tests.makers.world import ROOT, run
from tests.orchestrator.storage.test_s3 import bucket as bucket
from tests.orchestrator.storage.test_s3 import server as server

REFUSED = {
    "--once --every 6h": "--every and --once both say when to look: give one of them",
    "": "watch must know when to look: add --every 6h",
    "--every 0s": "--every 0s: expected a number with its unit, such as 90s, 30m, 6h",
    "--every soon": "--every soon: expected a number with its unit",
    "--cron daily": r"--cron daily cannot be read \(it has 1 field\): expected five fields",
    "--once --nth 0": "--nth 0: expected a whole number from 1",
    "--once --order latest": "unknown order 'latest': expected one of newest, oldest",
    "--once --keep tables=1": "--keep tables=1: expected NAME=NUMBER with one of downloads,",
    "--once --keep downloads=-1": "--keep downloads -1: expected a whole number from 0",
    "--once --keep downloads=1,downloads=2": "--keep downloads is given twice",
    "--once --convert echo": "--convert echo has no {checkpoint}",
    "--once --checkpoints /abs": "--checkpoints /abs: expected names inside",
    "--once --webhook file:///etc/passwd": "--webhook: what is given is no web address",
    "--once --cross nasca": "--cross tells nobody: add --on-cross COMMAND or --webhook ADDRESS",
    "--once --on-cross true": "--on-cross waits for nothing: add --cross",
    "--once --on-cross true --cross nasca": "no threshold can be read from 'nasca'",
    "--once --on-cross true --cross 'NASCAA/x -0.05'": "unknown measure 'nascaa': .* mean nasca",
    "--once --json": "--json belongs to --list STORE",
    "--once --skip-bad-models": "--skip-bad-models: a watch goes on with the others anyway",
    "--once --models-from nowhere": "--models-from nowhere cannot be read: No such file",
    "--once --cluster nowhere": "unknown cluster 'nowhere'",
    "--once --measure nasca,nope": "unknown measure 'nope'",
    "--list .": "--model has no effect beside --list: leave it out",
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_input_is_one_sentence_and_writes_nothing(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    recipe = [] if "--list" in words else ["neuronxa", "--out", "store"]
    status = run("watch", *recipe, "--model", "run", *shlex.split(words), monkeypatch=monkeypatch)
    said = capsys.readouterr().err
    assert status == 2
    assert "\n" not in said.removeprefix("error: ").rstrip("\n")
    assert re.search(REFUSED[words], said.replace("\\", "")), said
    assert not (tmp_path / "store").exists()


def test_nothing_to_watch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert run("watch", "demo", "--once", monkeypatch=monkeypatch) == 2
    assert "nothing to watch: name a training run's folder" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_study_can_be_watched(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """No flag of a study is one of the watch's, and help shows both."""
    monkeypatch.chdir(tmp_path)
    assert run("watch", recipe, "--help", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "--every" in shown and "--model" in shown


def test_a_place_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    words = ("watch", "neuronxa", "--model", "run", "--once", "--out", f"{tmp_path}/file/store")
    assert run(*words, monkeypatch=monkeypatch) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_store_of_another_study_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    store = Store(tmp_path / "store")
    store.write_manifest({"study": "dali", "settings": {}, "pins": {}, "models": []})
    words = ("watch", "neuronxa", "--model", "run", "--once", "--out", str(tmp_path / "store"))
    assert run(*words, monkeypatch=monkeypatch) == 2
    assert "holds the study 'dali', this is 'neuronxa'" in capsys.readouterr().err
    assert not (tmp_path / "store" / "watch.json").exists()


def test_a_second_watcher_is_refused_and_runs_are_not(tmp_path: Path):
    store = Store(tmp_path / "store")
    with held(store):
        code = (
            "import sys; from orchestrator.storage.store import Store; "
            "from orchestrator.watching.start import held\n"
            "store = Store(sys.argv[1])\n"
            "with store.lock(): print('a run', store.holder() is not None)\n"
            "with held(store): print('both')"
        )
        second = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "store")],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        assert store.holder() is None, "status does not take the watcher for a run"
    assert second.stdout == "a run True\n"
    assert f"is watched already by {os.environ.get('USER', '')}" in second.stderr
    assert f"process {os.getpid()}" in second.stderr
    with held(store):
        pass


def test_a_store_in_a_bucket_is_watched_too(bucket: str):
    """The query of its address stays behind the folder's name."""
    store = Store(bucket)
    with held(store) as files:
        state.write(files, Watched(study="s"))
        with pytest.raises(ValueError, match="is watched already by"), held(Store(bucket)):
            pass
    assert state.read(Files(bucket)).study == "s"
    assert store.files.entries("watching") == []


def test_addresses_inside_a_store():
    assert inside("/a/b/", "c") == "/a/b/c" and inside("a?b", "c") == "a?b/c"
    assert inside("s3://bucket/run?region=x", "c") == "s3://bucket/run/c?region=x"


def test_a_store_may_hold_a_watch_before_its_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "run").mkdir()
    words = ("watch", "neuronxa", *STUDY, "--model", f"{tmp_path}/run", "--once")
    out = ("--out", str(tmp_path / "store"))
    for _ in range(2):
        assert run(*words, *out, monkeypatch=monkeypatch) == 0
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [
        "watch.json", "watching",
    ]  # fmt: skip


def test_what_was_seen_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = str(tmp_path / "store")
    assert run("watch", "--list", out, monkeypatch=monkeypatch) == 2
    assert "was never watched: it holds no watch.json" in capsys.readouterr().err
    watched = Watched()
    watched.put(Record(name="run@step-1", source="run", step=1, state="done"))
    watched.put(Record(name="run@step-2", source="run", step=2, state="left", attempts=4,
                       error="it is broken"))  # fmt: skip
    watched.webhook.failed = 3
    state.write(Files(out), watched)
    assert run("watch", "--list", out, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "1 done, 1 left; nobody watches now" in shown and "it is broken" in shown
    assert "the webhook missed 3 of 3 messages" in shown
    with held(Store(out)):
        assert run("watch", "--list", out, "--json", monkeypatch=monkeypatch) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["watching"] and [one["name"] for one in told["checkpoints"]] == [
        "run@step-1", "run@step-2",
    ]  # fmt: skip


def test_a_preview_needs_no_time_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    checkpoint(tmp_path / "run" / "step-1")
    words = ("watch", "neuronxa", *STUDY, "--model", f"{tmp_path}/run", "--dry-run")
    assert run(*words, "--out", f"{tmp_path}/store", monkeypatch=monkeypatch) == 0
    assert "1 would be evaluated:" in capsys.readouterr().out
    assert not (tmp_path / "store").exists()
