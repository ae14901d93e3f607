"""A training run in one process, a watch of it in another that is killed again and again: every
checkpoint is evaluated once, and the table is that of one run over all of them.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis import trends
from orchestrator.signals import Wish
from orchestrator.storage.files import Files
from orchestrator.watching import state
from orchestrator.watching.crossing import crossed
from tests.makers import tiny
from tests.makers.hub_server import served
from tests.makers.watched import checkpoint
from tests.makers.world import ROOT, table

STEPS = (10, 20, 30)
KILLS = 3
PATIENCE = 300.0
STUDY = (
    *("neuronxa", "--parallel", "miniworld", "--pairs", "5", "--measure", "nasca,cka"),
    *("--language", "eng_Latn,deu_Latn", "--pooling", "weighted", "--cluster", "inline"),
    *("--benchmark", "mini_xstorycloze", "--limit", "4", "--part", "scores", "--no-report"),
)
# Next-token training of a tiny model, which saves as it goes: each file of a checkpoint after the
# other, with its weights last but one, and a half-written one that never becomes whole.
TRAINING = """
import shutil, sys, time
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

source, out, pace = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(source)
tokenizer = AutoTokenizer.from_pretrained(source)
ids = tokenizer("Anna is at home. Anna ist zu Hause.", return_tensors="pt")["input_ids"]
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
for step in range(1, 31):
    optimiser.zero_grad()
    model(input_ids=ids, labels=ids).loss.backward()
    optimiser.step()
    if step % 10 == 0:
        aside, folder = out / f"aside-{step}", out / f"checkpoint-{step}"
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        folder.mkdir(parents=True)
        names = sorted(path.name for path in aside.iterdir())
        for name in sorted(names, key="config.json model.safetensors tokenizer.json".find):
            content = (aside / name).read_bytes()
            for part in (content[: len(content) // 2], content):
                (folder / name).write_bytes(part)
                time.sleep(pace / 20)
        shutil.rmtree(aside)
    time.sleep(pace / 10)
half = out / "checkpoint-40"
shutil.copytree(out / "checkpoint-30", half)
weights = half / "model.safetensors"
weights.write_bytes(weights.read_bytes()[:-1])
"""


class Processes:
    """Processes of a test, and an end for those that it leaves."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log, self.environment = folder / "log", environment
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            started = subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, env=self.environment, stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.started.append(started)
        return started

    def babelscope(self, *words: str) -> subprocess.Popen[bytes]:
        return self.start("-m", "orchestrator", *words)

    def run(self, *words: str) -> int:
        return self.babelscope(*words).wait(timeout=PATIENCE)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(tmp_path, {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    yield found
    for one in found.started:
        if one.poll() is None:
            one.kill()
            one.wait()


def evaluated(log: Path) -> list[str]:
    """The checkpoints whose evaluation was finished, in order, by what the watches said."""
    lines = log.read_text().splitlines()
    ends = [line.partition(" is evaluated (")[0] for line in lines if " is evaluated (" in line]
    return [line.rpartition("@")[2] for line in ends]


def records(store: Path) -> dict[str, state.Record]:
    found = state.read(Files(store)).records
    return {name.rpartition("@")[2]: one for name, one in found.items()}


@pytest.mark.quiet
def test_a_killed_watch_evaluates_every_checkpoint_of_a_training_once(
    tmp_path: Path, processes: Processes
):
    source = random.Random(7)
    training, store = tmp_path / "training", tmp_path / "store"
    words = ("watch", *STUDY, "--model", str(training), "--out", str(store), "--every", "1s")
    trainer = processes.start("-c", TRAINING, tiny.make("llama").folder, str(training), "1.0")
    done: set[str] = set()
    for _ in range(KILLS):
        watch = processes.babelscope(*words)
        _wait_until_it_works(watch, store, log=processes.log)
        time.sleep(source.uniform(0.0, 8.0))
        watch.send_signal(signal.SIGKILL)
        watch.wait()
        now = {name for name, one in records(store).items() if one.state == "done"}
        assert done <= now, "what was done stays done"
        done = now
    assert trainer.wait(timeout=PATIENCE) == 0
    watch = processes.babelscope(*words, "--until", "30")
    assert watch.wait(timeout=PATIENCE) == 0, processes.log.read_text()
    assert records(store)["checkpoint-40"].reason == "beyond --until 30"
    watch = processes.babelscope(*words[:-2], "--once")
    assert watch.wait(timeout=PATIENCE) == 0, processes.log.read_text()
    log = processes.log.read_text()
    found = records(store)
    assert {name: one.state for name, one in found.items()} == {
        **{f"checkpoint-{step}": "done" for step in STEPS}, "checkpoint-40": "waiting",
    }, log  # fmt: skip
    assert all(one.attempts == 0 for one in found.values()), log
    assert sorted(evaluated(processes.log)) == [f"checkpoint-{step}" for step in STEPS], log
    assert found["checkpoint-40"].reason == "model.safetensors is not whole yet"

    models = [word for step in STEPS for word in ("--model", f"{training}@checkpoint-{step}")]
    assert processes.run("run", *STUDY, *models, "--out", str(tmp_path / "whole")) == 0
    for name in ("alignment", "items"):
        one, other = table(store, name), table(tmp_path / "whole", name)
        assert set(one["revision"]) == {f"checkpoint-{step}" for step in STEPS}
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        keys = ["key", "item"] if name == "items" else ["key"]
        assert not pd.read_parquet(store / "tables" / name).duplicated(keys).any()
    pins = json.loads((store / "run.json").read_text())["pins"]
    for step in STEPS:
        label = f"training@checkpoint-{step}"
        assert found[f"checkpoint-{step}"].identity == pins[f"model {label}"]

    # What is told of measures that moved is what the page of the study has.
    place = {"model": "training", "revision": "checkpoint-30"}
    asked = ["nasca 0.000001", "cka 0.000001", "accuracy/mini_xstorycloze 0.000001"]
    moved = crossed(str(store), **place, thresholds=asked, wish=Wish())
    expected = trends.crossed(trends.changes([store], **place), asked)
    assert [(one["threshold"], one["change"]) for one in moved] == [
        (row.threshold, pytest.approx(row.change, abs=1e-9)) for row in expected.itertuples()
    ]
    assert moved, "the weights of a training move"
    with pytest.raises(ValueError, match="--cross: nothing here is called nope"):
        crossed(str(store), **place, thresholds=["nope 1"], wish=Wish())

    # Written anew: the store keeps the rows it has, and says so.
    checkpoint(training / "checkpoint-20", seed=3)
    assert processes.run(*words[:-2], "--once") == 0
    assert records(store)["checkpoint-20"].state == "rewritten"
    pd.testing.assert_frame_equal(table(store, "alignment"), table(tmp_path / "whole", "alignment"))


def _wait_until_it_works(watch: "subprocess.Popen[bytes]", store: Path, *, log: Path) -> None:
    """Until a watch has begun to look, or has nothing more to do."""
    end = time.monotonic() + PATIENCE
    leases = store / "watching" / "leases"
    while not (
        leases.is_dir() and any(str(watch.pid) in one.read_text() for one in _files(leases))
    ):
        assert watch.poll() is None, log.read_text()
        assert time.monotonic() < end
        time.sleep(0.02)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix == ".json" and path.exists()]


@pytest.mark.quiet
def test_branches_of_the_hub_become_rows(tmp_path: Path, processes: Processes):
    """As a user names another hub: by its environment alone."""
    with served(tmp_path / "hub") as hub:
        for step in (1, 2):
            made = checkpoint(tmp_path / f"made-{step}", seed=step)
            hub.push("org/tiny", made, branch=f"step{step}", tag="v1" if step == 2 else None)
        processes.environment |= hub.environment(tmp_path / "hub-cache")
        words = ("watch", *STUDY, "--model", "org/tiny", "--once", "--out", str(tmp_path / "store"))
        assert processes.run(*words, "--keep", "downloads=0") == 0, processes.log.read_text()
        found = records(tmp_path / "store")
        assert {name: one.state for name, one in found.items()} == dict.fromkeys(
            ("step1", "step2"), "done"
        )
        commits = hub.models["org/tiny"].branches
        assert {one.fingerprint for one in found.values()} == set(commits.values())
        rows = table(tmp_path / "store", "alignment")
        assert set(rows["model"]) == {"org/tiny"} and set(rows["revision"]) == {"step1", "step2"}
        assert not list((tmp_path / "hub-cache").rglob("*.safetensors")), "nothing is kept"


@pytest.mark.quiet
def test_a_checkpoint_that_cannot_be_loaded_stops_no_other(tmp_path: Path, processes: Processes):
    """Whole by its files, and refused by the run: one sentence, and the others are evaluated."""
    training, store = tmp_path / "training", tmp_path / "store"
    checkpoint(training / "step-1", seed=1)
    broken = checkpoint(training / "step-2", seed=2)
    settings = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(settings | {"num_hidden_layers": 77}))
    words = ("watch", *STUDY, "--model", str(training), "--once", "--retries", "0")
    assert processes.run(*words, "--out", str(store)) == 1
    found = records(store)
    assert found["step-1"].state == "done" and found["step-2"].state == "left"
    assert "promises 77 layers" in found["step-2"].error
