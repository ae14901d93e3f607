"""A real Trainer on a tiny model hands over its checkpoints, each when it is complete."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)

from actors.training.callback import MARKER, EvaluateCheckpoints
from tests.makers import tiny
from tests.makers.world import ROOT


def trainer(out: Path, *callbacks: TrainerCallback, steps: int = 6, **given: Any) -> Trainer:
    """A Trainer that saves every second step of a tiny Llama."""
    folder = tiny.make("llama").folder
    tokenizer = given.pop("tokenizer", AutoTokenizer.from_pretrained(folder))
    lesson = {"input_ids": [40, 41, 42, 43], "labels": [40, 41, 42, 43]}
    return Trainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        args=TrainingArguments(
            output_dir=str(out),
            max_steps=steps,
            save_steps=2,
            per_device_train_batch_size=1,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            **given,
        ),
        train_dataset=[lesson] * 8,
        data_collator=default_data_collator,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def marked(out: Path) -> set[int]:
    """The steps whose checkpoints are handed over."""
    return {
        int(marker.parent.name.removeprefix("checkpoint-"))
        for marker in out.glob(f"checkpoint-*/{MARKER}")
    }


class Watching(TrainerCallback):
    """What somebody beside the training sees when a step begins, ends and is saved."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seen: list[tuple[str, int, set[int]]] = []

    def on_step_begin(self, args, state, control, **given):
        self.seen.append(("begin", state.global_step, marked(self.out)))

    def on_step_end(self, args, state, control, **given):
        self.seen.append(("end", state.global_step, marked(self.out)))


def test_a_checkpoint_is_marked_once_all_of_it_is_there(tmp_path: Path):
    files: dict[int, set[str]] = {}

    class Before(TrainerCallback):
        """Comes before ours: the checkpoint is whole, and no marker is there."""

        def on_save(self, args, state, control, **given):
            folder = tmp_path / f"checkpoint-{state.global_step}"
            files[state.global_step] = {path.name for path in folder.iterdir()}

    watching = Watching(tmp_path)
    trainer(tmp_path, Before(), EvaluateCheckpoints(), watching).train()
    for step in (2, 4, 6):
        now = {path.name for path in (tmp_path / f"checkpoint-{step}").iterdir()}
        assert now - files[step] == {MARKER}, "nothing but the marker came after the save"
        assert {"model.safetensors", "trainer_state.json", "tokenizer.json"} <= files[step]
        told = json.loads((tmp_path / f"checkpoint-{step}" / MARKER).read_text())
        assert told == {"step": step}
    assert watching.seen[3:5] == [("end", 2, set()), ("begin", 2, {2})]


def test_rotated_checkpoints_take_their_markers_with_them(tmp_path: Path):
    trainer(tmp_path, EvaluateCheckpoints(), save_total_limit=2).train()
    assert marked(tmp_path) == {4, 6}
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-6"}


def test_a_resumed_training_takes_back_what_it_will_write_again(tmp_path: Path):
    """A checkpoint that is half overwritten must not look complete."""
    trainer(tmp_path, EvaluateCheckpoints()).train()
    day = 86400 * 10**9
    for step, when in ((2, day), (4, 2 * day), (6, 3 * day)):
        os.utime(tmp_path / f"checkpoint-{step}", ns=(when, when))
    watching = Watching(tmp_path)
    resumed = trainer(tmp_path, EvaluateCheckpoints(), watching)
    ages: list[float] = []

    class Ages(TrainerCallback):
        def on_train_begin(self, args, state, control, **given):
            ages.extend((tmp_path / f"checkpoint-{s}").stat().st_mtime_ns for s in (2, 4, 6))

    resumed.add_callback(Ages())
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert watching.seen[0] == ("begin", 2, {2}), "those of 4 and 6 are gone when it begins"
    assert ages == [day, 2 * day, 3 * day], "which is the oldest has not changed"
    assert marked(tmp_path) == {2, 4, 6}


def test_strange_names_beside_the_checkpoints_are_left_alone(tmp_path: Path):
    kept = tmp_path / "checkpoint-best" / MARKER
    kept.parent.mkdir()
    kept.touch()
    trainer(tmp_path, EvaluateCheckpoints(), steps=2).train()
    assert kept.is_file()


def test_several_processes_write_one_marker_after_all_have_saved(tmp_path: Path):
    """Each process saves its random state; the slow one is not overtaken."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            """
            import faulthandler, sys, time
            from pathlib import Path
            from tests.actors.training.test_callback import EvaluateCheckpoints, marked, trainer
            from transformers import Trainer

            faulthandler.dump_traceback_later(240, exit=True)  # none waits for ever
            out, saved = Path(sys.argv[1]), Trainer._save_rng_state

            def slowly(self, folder):
                if self.args.process_index == 1:
                    time.sleep(3)
                    assert not marked(out), "marked while a process still saves"
                saved(self, folder)

            Trainer._save_rng_state = slowly
            trainer(out, EvaluateCheckpoints(), steps=2, ddp_backend="gloo").train()
            """
        )
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*launch, str(script), str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert marked(tmp_path / "out") == {2}
    assert (tmp_path / "out" / "checkpoint-2" / "rng_state_1.pth").is_file()
    assert not list((tmp_path / "out").rglob("*.unfinished"))


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        ("neuronxa --model llama --out o", "given --model: the model, the marker and when to look"),
        ("neuronxa --every=6h --out o", "given --every: the model, the marker"),
        ("neuronxa --limit 3", "given 'neuronxa --limit 3' without --out: say in which store"),
    ],
)
def test_what_a_study_may_not_say_is_a_sentence(study: str, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        EvaluateCheckpoints(study)


def test_a_trainer_without_tokenizer_is_refused_before_the_first_step(tmp_path: Path):
    with pytest.raises(ValueError, match="give it processing_class=tokenizer"):
        trainer(tmp_path, EvaluateCheckpoints(), tokenizer=None).train()
    assert not list(tmp_path.glob("checkpoint-*"))


def test_several_processes_are_not_kept_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    callback = EvaluateCheckpoints("neuronxa --out store")
    made = trainer(tmp_path, callback)
    monkeypatch.setattr(TrainingArguments, "world_size", 2)
    with pytest.raises(ValueError, match="2 processes train, and would have to wait"):
        callback.on_train_begin(made.args, made.state, made.control, processing_class="there")


def test_a_failed_evaluation_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    store = tmp_path / "store"
    trainer(tmp_path / "run", EvaluateCheckpoints(f"moon --out {store}"), steps=2).train()
    assert marked(tmp_path / "run") == {2}
    (warning,) = (record for record in caplog.records if record.name.startswith("actors."))
    assert re.search(r"ended with status 2: .*\w", warning.message), "and what is wrong"
