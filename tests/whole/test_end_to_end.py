"""A study from the command line to rows and report: rerun, kill, fail, refuse, and real Ray."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from orchestrator import cluster as clusters
from tests.makers import tiny, world
from tests.makers.world import ROOT, run, same, table


def test_a_study_fills_tables_and_report(undisturbed: Path):
    alignment, items = table(undisturbed, "alignment"), table(undisturbed, "items")
    assert set(alignment.language) == {"deu_Latn", "fra_Latn", "swh_Latn"}
    assert set(alignment.n) == {8}
    assert alignment.key.is_unique
    assert not items.duplicated(["key", "item"]).any()
    assert set(items.language) == {"eng_Latn", "spa_Latn", "swh_Latn"}
    assert (items.correct == (items.gold == items.prediction)).all()
    page = (undisturbed / "report" / "index.html").read_text(encoding="utf-8")
    assert "nasca" in page.lower()
    manifest = json.loads((undisturbed / "run.json").read_text())
    assert manifest["study"] == "neuronxa"
    points = table(undisturbed, "points")
    stored = [found.key.nunique() for found in (alignment, items, points)]
    assert sum(manifest["cells"].values()) == sum(stored)
    assert manifest["provenance"]["packages"]["torch"]
    for label in manifest["cells"]:
        assert manifest["running"][label]["attention"] == "sdpa"


def test_the_same_command_again_computes_nothing(
    root: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*.parquet")}
    arguments = world.arguments(root, undisturbed, models=world.models())
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert "0 cells to compute" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*.parquet")}


def test_a_study_grown_step_by_step_is_the_study_run_at_once(
    root: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, second = world.models()
    for models, extra in (
        ([first], ["--measure", "mexa", "--part", "scores"]),
        ([first], ["--layer", "1", "--pooling", "last", "--part", "scores"]),
        ([second, first], []),
    ):
        arguments = world.arguments(root, tmp_path / "run", *extra, models=models)
        assert run(*arguments, monkeypatch=monkeypatch) == 0
    same(tmp_path / "run", undisturbed)


@pytest.mark.parametrize("shards", [1, 3])
def test_killed_and_run_again_equals_undisturbed(
    root: Path, undisturbed: Path, tmp_path: Path, shards: int, monkeypatch: pytest.MonkeyPatch
):
    """SIGKILL as soon as some shards are there; small units make many chances to be hit."""
    out = tmp_path / "run"
    monkeypatch.setattr("orchestrator.plan.UNIT_CHARACTERS", 1)
    code = (
        "import orchestrator.plan as plan; plan.UNIT_CHARACTERS = 1\n"
        "from orchestrator.__main__ import main; main()"
    )
    arguments = world.arguments(root, out, models=world.models())
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob("tables/*/*.parquet"))) < shards:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = len(list(out.glob("tables/*/*.parquet")))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert len(list(out.glob("tables/*/*.parquet"))) > left
    same(out, undisturbed)


def test_interrupted_and_run_again_equals_undisturbed(
    root: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    """Ctrl-C in the middle: what was computed is kept, and the user is told."""
    out = tmp_path / "run"
    arguments = world.arguments(root, out, models=world.models())
    wait, events = clusters.InlineCluster.wait, []

    def interrupted(self: clusters.InlineCluster, *, seconds: float):
        events.append(seconds)
        if len(events) == 4:
            raise KeyboardInterrupt
        return wait(self, seconds=seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters.InlineCluster, "wait", interrupted)
        assert run(*arguments, monkeypatch=patch) == 130
    assert "the same command continues" in capsys.readouterr().out
    assert list(out.glob("tables/*/*.parquet"))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    same(out, undisturbed)


def test_a_failing_language_becomes_error_rows_and_can_be_retried(
    root: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    """The actor's own code raises for one language: the rest is computed, nothing is lost."""
    from actors import work

    out = tmp_path / "run"
    arguments = world.arguments(root, out, models=world.models())
    sound = work.run_unit

    def poisoned(loaded, unit, **rest):
        if any(cell.language == "fra_Latn" for cell in unit.cells):
            raise RuntimeError("no French today")
        return sound(loaded, unit, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actors.model_actor.run_unit", poisoned)
        assert run(*arguments, monkeypatch=patch) == 1
    assert "no French today" in capsys.readouterr().out
    errors = pd.read_parquet(out / "errors.parquet")
    assert set(errors.language) == {"fra_Latn"}
    assert set(errors.attempts) == {2}
    assert errors.traceback.str.contains("poisoned").all()
    expected = table(undisturbed, "alignment")
    assert len(errors) == (expected.language == "fra_Latn").sum()
    assert len(table(out, "alignment")) == (expected.language != "fra_Latn").sum()

    assert run(*arguments, monkeypatch=monkeypatch) == 1, "a plain rerun leaves failures alone"
    assert run(*arguments, "--retry-errors", monkeypatch=monkeypatch) == 0
    assert pd.read_parquet(out / "errors.parquet").empty
    same(out, undisturbed)


def test_a_model_that_does_not_load_fails_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """Weights that are no numbers: files that fit together, but no model."""
    broken = Path(shutil.copytree(tiny.make("llama").folder, tmp_path / "broken"))
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    good = tiny.make("qwen2").folder
    out = tmp_path / "run"
    arguments = world.arguments(root, out, models=[str(broken), good])
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert "failed: " in capsys.readouterr().out
    errors = pd.read_parquet(out / "errors.parquet")
    assert set(errors.model) == {"broken"}
    assert set(table(out, "alignment").model) == {Path(good).name}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "neuronx"], "unknown recipe 'neuronx'"),
        (["run", "study.py:make"], "does not exist"),
        (["run", "neuronxa"], "no model given"),
        (["run", "neuronxa", "--model", "nowhere"], "unknown model 'nowhere'"),
        (["run", "neuronxa", "--model", "LLAMA", "--pairs", "1"], "--pairs 1"),
        (["run", "neuronxa", "--model", "LLAMA", "--switch", "x=1"], "unknown switch"),
        (["run", "neuronxa", "--model", "LLAMA", "--cluster", "mars"], "unknown cluster 'mars'"),
        (["run", "neuronxa", "--model", "LLAMA", "--device", "tpu"], "unknown device 'tpu'"),
        (["run", "neuronxa", "--model", "LLAMA", "--workers", "0"], "--workers 0"),
        (["run", "neuronxa", "--model", "LLAMA", "--data-root", "nowhere"], "nowhere"),
        (["status", "nowhere"], "not a run folder"),
        (["report", "nowhere"], "nowhere"),
        (["report", "a", "b"], "say where with --out"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    arguments: list[str],
    message: str,
):
    monkeypatch.chdir(tmp_path)
    named = [tiny.make("llama").folder if part == "LLAMA" else part for part in arguments]
    capsys.readouterr()  # making the model may have shown a bar
    assert run(*named, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert error.startswith("error: ")
    assert "\n" not in error
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize("place", ["under a file", "other study", "not a run", "read only", "full"])
def test_places_that_cannot_be_written_are_refused(
    root: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    place: str,
):
    out, extra = tmp_path / "run", []
    if place == "under a file":
        (tmp_path / "file").write_text("")
        out, message = tmp_path / "file" / "run", "a part of the path is a file"
    elif place == "other study":
        out = Path(shutil.copytree(undisturbed, out))
        extra, message = ["--switch", "include_bos=false"], "include_bos True, this run has False"
    elif place == "not a run":
        out.mkdir()
        (out / "thesis.tex").write_text("")
        message = "is not a run folder"
    elif place == "read only":
        out, message = Path("/proc/run"), "cannot write /proc/run"
    else:
        monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        message = "has 0.0 MB free"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    arguments = world.arguments(root, out, *extra, models=world.models()[:1])
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before == after, "nothing is written"


def test_a_text_beyond_the_context_needs_a_word_from_the_user(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    data = Path(shutil.copytree(root, tmp_path / "data"))
    path = data / "flores200" / "fra_Latn.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = json.dumps({"id": 3, "sentence": "mot " * 90})
    path.write_text("\n".join(lines))
    out = tmp_path / "run"
    arguments = world.arguments(data, out, models=world.models()[:1])
    assert run(*arguments, "--dry-run", monkeypatch=monkeypatch) == 0
    assert "too long: 1 texts of flores200/fra_Latn" in capsys.readouterr().out.replace("\n", " ")
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert "--allow-truncation" in capsys.readouterr().err
    assert not out.exists()
    assert run(*arguments, "--allow-truncation", monkeypatch=monkeypatch) == 0
    cut = table(out, "alignment").groupby("language").truncated.max()
    assert cut.to_dict() == {"deu_Latn": 0, "fra_Latn": 1, "swh_Latn": 0}


def test_a_recipe_of_ones_own(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from dataclasses import replace\n"
        "from studies.recipes import neuronxa\n"
        "def study(options: neuronxa.Options):\n"
        "    return replace(neuronxa.study(options), name='mine')\n"
    )
    arguments = world.arguments(root, tmp_path / "run", models=world.models()[:1])
    arguments[1] = f"{recipe}:study"
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert set(table(tmp_path / "run", "alignment").study) == {"mine"}


def test_status_counts_what_is_there(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    assert run("status", str(undisturbed), monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    cells = json.loads((undisturbed / "run.json").read_text())["cells"]
    for label, total in cells.items():
        line = next(line for line in shown.splitlines() if label in line)
        assert line.split("│")[2:6] == [f" {total:>5} ", f" {total:>4} ", "      0 ", "     0 "]


@pytest.mark.ray
@pytest.mark.usefixtures("one_ray")
def test_ray_gives_the_same_rows_even_when_an_actor_is_killed(
    root: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two real Ray actors; one is killed with SIGKILL while it holds a model."""
    processes: dict[int, int] = {}
    killed: list[int] = []
    submit, wait = clusters.RayCluster.submit, clusters.RayCluster.wait

    def watchful(self: clusters.RayCluster, *, seconds: float):
        event = wait(self, seconds=seconds)
        if event is not None and event.kind == "open":
            processes[event.worker] = int(str(event.about["process"]))
        return event

    def murderous(self: clusters.RayCluster, worker: int, unit, artifacts):
        submit(self, worker, unit, artifacts)
        if not killed:
            os.kill(processes[worker], signal.SIGKILL)
            killed.append(processes[worker])

    monkeypatch.setattr(clusters.RayCluster, "wait", watchful)
    monkeypatch.setattr(clusters.RayCluster, "submit", murderous)
    monkeypatch.setattr("orchestrator.plan.UNIT_CHARACTERS", 100)
    out = tmp_path / "run"
    arguments = world.arguments(root, out, "--workers", "2", models=world.models())
    arguments[arguments.index("inline")] = "local"
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert killed
    assert not (out / "errors.parquet").exists()
    same(out, undisturbed)


@pytest.mark.ray
@pytest.mark.usefixtures("one_ray")
def test_two_workers_give_the_bytes_that_one_gives(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not nearly the same numbers: the same, however the units were shared out."""
    monkeypatch.setattr("orchestrator.plan.UNIT_CHARACTERS", 100)
    threads = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        arguments = world.arguments(root, out, "--workers", workers, models=world.models())
        arguments[arguments.index("inline")] = "local"
        assert run(*arguments, monkeypatch=monkeypatch) == 0
        running = json.loads((out / "run.json").read_text())["running"].values()
        threads.append([about["threads"] for about in running])
    assert threads[0] == threads[1] == [1, 1]
    for name in ("alignment", "items"):
        one, two = (table(tmp_path / workers, name) for workers in ("1", "2"))
        assert list(one) == list(two)
        for column in one:
            assert list(map(_bits, one[column])) == list(map(_bits, two[column])), column


def _bits(value: object) -> object:
    """A number or an array of numbers as its bytes; NaN equals NaN."""
    return np.asarray(value).tobytes() if isinstance(value, float | np.ndarray) else value
