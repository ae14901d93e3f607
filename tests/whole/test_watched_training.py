"""A training whose checkpoints the watch evaluates: in place, beside it, after it was resumed."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from actors.training.callback import MARKER, EvaluateCheckpoints
from tests.actors.training.test_callback import trainer
from tests.makers import tiny, world

pytestmark = pytest.mark.long


def asked(root: Path, store: Path) -> list[str]:
    """A small study of alignment and accuracy, without a model."""
    return [
        *("neuronxa", "--parallel", "flores200", "--pairs", "8", "--measure", "nasca"),
        *("--benchmark", "xstorycloze", "--data-root", str(root)),
        *("--out", str(store), "--cluster", "inline", "--no-report"),
    ]


def seen(store: Path) -> dict[int, dict[str, Any]]:
    """What the watch knows of each step."""
    records = json.loads((store / "watch.json").read_text())["checkpoints"]
    return {record["step"]: record for record in records}


def states(store: Path) -> dict[int, str]:
    return {step: record["state"] for step, record in seen(store).items()}


def rows(store: Path) -> pd.DataFrame:
    """What each checkpoint got, of every table."""
    tables = [pd.read_parquet(path) for path in sorted((store / "tables").rglob("*.parquet"))]
    return pd.concat(tables)


def watch(training: Path, root: Path, store: Path, *extra: str, patch: pytest.MonkeyPatch) -> int:
    """One look from beside the training."""
    here = ("--model", str(training), "--marker", MARKER, "--once")
    return world.run("watch", *asked(root, store), *here, *extra, monkeypatch=patch)


def test_in_place_every_checkpoint_is_evaluated_and_the_training_is_what_it_would_be(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Also those that rotation deletes; and the same weights come out as without."""
    store = tmp_path / "store"
    study = shlex.join(asked(root, store))
    callback = EvaluateCheckpoints(study)
    trainer(tmp_path / "watched", callback, save_total_limit=1).train()
    trainer(tmp_path / "alone").train()
    assert not [one.message for one in caplog.records if one.name == "actors.training.callback"]
    assert states(store) == {2: "done", 4: "done", 6: "done"}
    computed = rows(store)
    assert set(computed.revision) == {"checkpoint-2", "checkpoint-4", "checkpoint-6"}
    counts = computed.groupby("revision").size()
    assert counts.nunique() == 1 and counts.iloc[0] > 1
    assert [path.name for path in (tmp_path / "watched").iterdir()] == ["checkpoint-6"]
    watched, alone = (
        load_file(tmp_path / name / "checkpoint-6" / "model.safetensors")
        for name in ("watched", "alone")
    )
    assert watched.keys() == alone.keys()
    assert all(torch.equal(watched[name], alone[name]) for name in alone)


def test_a_checkpoint_that_rotation_deletes_while_it_waits_is_gone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    training, store = tmp_path / "training", tmp_path / "store"

    class Looking(TrainerCallback):
        """A watch that sees the first checkpoint, but has not come to evaluate it."""

        def on_save(self, args, state, control, **given):
            if state.global_step == 2:
                assert watch(training, root, store, "--nth", "4", patch=monkeypatch) == 0

    trainer(training, EvaluateCheckpoints(), Looking(), save_total_limit=1).train()
    assert states(store) == {2: "waiting"}
    assert watch(training, root, store, patch=monkeypatch) == 0
    assert states(store) == {2: "gone", 6: "done"}
    assert set(rows(store).revision) == {"checkpoint-6"}


def test_a_resumed_training_costs_no_evaluation_twice(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is not marked waits; a step that is written again with the same weights is the same."""
    training, store = tmp_path / "training", tmp_path / "store"
    steady = {"lr_scheduler_type": "constant"}  # does not depend on where the training ends
    trainer(training, EvaluateCheckpoints(), steps=4, **steady).train()
    assert watch(training, root, store, patch=monkeypatch) == 0
    assert states(store) == {2: "done", 4: "done"}
    before, first = rows(store), seen(store)
    during: list[dict[int, str]] = []

    class Looking(TrainerCallback):
        def on_train_begin(self, args, state, control, **given):
            """Of a folder that waits for its marker, nothing is evaluated or said to be new."""
            (training / "checkpoint-6").mkdir()
            assert watch(training, root, store, patch=monkeypatch) == 0
            during.append(states(store))

    again = trainer(training, EvaluateCheckpoints(), Looking(), **steady)
    again.train(resume_from_checkpoint=str(training / "checkpoint-2"))
    assert during == [{2: "done", 4: "done", 6: "waiting"}]
    assert watch(training, root, store, patch=monkeypatch) == 0
    assert states(store) == {2: "done", 4: "done", 6: "done"}
    now = rows(store)
    kept = now[now.revision != "checkpoint-6"]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), before.reset_index(drop=True))
    assert len(now) == len(before) * 3 / 2
    after = seen(store)
    assert after[4]["finished"] == first[4]["finished"], "it was not evaluated again"
    assert after[4]["fingerprint"] != first[4]["fingerprint"], "though its files are new"


def test_the_adapters_of_a_training_are_merged_before_they_are_evaluated(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """By the script and the flag that docs/watch.md shows."""
    peft = pytest.importorskip("peft")
    training, store = tmp_path / "lora", tmp_path / "store"
    made = trainer(training, EvaluateCheckpoints(), steps=4, learning_rate=0.1)
    config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    made.model = made.model_wrapped = peft.get_peft_model(made.model, config)
    made.train()
    assert (training / "checkpoint-2" / "adapter_config.json").is_file()
    script = shlex.join([sys.executable, str(world.ROOT / "docs" / "deploy" / "merge_adapter.py")])
    convert = ("--convert", f"{script} {{checkpoint}} {{out}}", "--keep", "converted=1")
    assert watch(training, root, store, *convert, patch=monkeypatch) == 0
    assert states(store) == {2: "done", 4: "done"}
    identities = {record["identity"] for record in seen(store).values()}
    assert len(identities) == 2, "the weights moved in between"
    assert set(rows(store).model) == {"lora"}
    (kept,) = (store / "converted").rglob("model.safetensors")
    merged, base = load_file(kept), load_file(Path(tiny.make("llama").folder) / "model.safetensors")
    assert merged.keys() == base.keys()
    assert not all(torch.equal(merged[name], base[name]) for name in base)
