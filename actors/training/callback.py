"""Hand the checkpoints of a transformers `Trainer` to `babelscope watch`, each once it is complete.

    Trainer(..., processing_class=tokenizer, callbacks=[EvaluateCheckpoints()])

marks them, and a watch beside the training (`--marker babelscope.ready`) evaluates them. With a
study, each is also evaluated at once, while the training waits: for models so small that both fit.
"""

import json
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

MARKER = "babelscope.ready"
# What the callback says itself, so a study may not.
_OWN = ("--model", "--models-from", "--marker", "--once", "--every", "--cron")
_PACKAGES = Path(__file__).parents[2]

log = logging.getLogger(__name__)


class EvaluateCheckpoints(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Mark each checkpoint once all processes have saved theirs, and evaluate it if asked to.

    A marker is a file that appears whole, written by the process that saves. When a training
    begins or resumes, the markers of later steps go: those folders will be written again.
    """

    def __init__(self, study: str | Sequence[str] = ()) -> None:
        """Mark checkpoints; with a study, evaluate them too.

        Args:
            study: what follows `babelscope watch` on a command line, such as `"neuronxa --benchmark
                belebele --out runs/curve"`, without the model and without when to look.

        Raises:
            ValueError: the study says what the callback says, or not where its store is.
        """
        self.study = shlex.split(study) if isinstance(study, str) else list(study)
        flags = {argument.partition("=")[0] for argument in self.study}
        if own := sorted(flags.intersection(_OWN)):
            raise ValueError(
                f"EvaluateCheckpoints was given {', '.join(own)}: the model, the marker and when "
                "to look are those of the training; leave them out"
            )
        if self.study and "--out" not in flags:
            raise ValueError(
                f"EvaluateCheckpoints was given {shlex.join(self.study)!r} without --out: say in "
                "which store the results belong, such as --out runs/curve"
            )
        self._alone = ["--cluster", "inline"] if "--cluster" not in flags else []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, _control: TrainerControl, **given: Any
    ) -> None:
        """Refuse what cannot be evaluated, and take back the markers of later steps.

        Raises:
            ValueError: checkpoints would have no tokenizer, or several processes train and would
                have to wait for an evaluation.
        """
        if given.get("processing_class") is None:
            raise ValueError(
                "the checkpoints of this Trainer would hold no tokenizer, and without one they "
                "cannot be evaluated: give it processing_class=tokenizer"
            )
        if self.study and args.world_size > 1:
            raise ValueError(
                f"{args.world_size} processes train, and would have to wait for one that evaluates "
                "until their communication times out: use EvaluateCheckpoints() and a watch beside "
                f"the training (babelscope watch --marker {MARKER})"
            )
        if args.should_save:
            for marker in Path(args.output_dir).glob(f"checkpoint-*/{MARKER}"):
                if _step(marker.parent) > state.global_step:
                    _unmark(marker)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any
    ) -> None:
        """Mark the checkpoint that has just been saved, and evaluate it if asked to."""
        if args.distributed_state is not None:
            args.distributed_state.wait_for_everyone()  # other processes save parts of their own
        if not args.should_save:
            return
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if not checkpoint.is_dir():
            log.warning("%s is not where this step was saved: it is not marked", checkpoint)
            return
        _mark(checkpoint / MARKER, step=state.global_step)
        if self.study:
            self._evaluate(args.output_dir)

    def _evaluate(self, training: str) -> None:
        """Look once, in a process of its own: it takes no weights, random numbers or memory of this
        one, and its failure costs a warning.
        """
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # what is reserved but unused
        command = [sys.executable, "-P", "-m", "orchestrator", "watch", *self.study, *self._alone]
        paths = [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]
        done = subprocess.run(
            [*command, "--model", training, "--marker", MARKER, "--once"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            log.warning(
                "the evaluation in %s ended with status %d: %s",
                training,
                done.returncode,
                _reason(done.stdout),
            )


def _reason(said: str) -> str:
    """Of what a watch has said the last line that tells of a failure, or else its last words."""
    lines = [line.strip(" │") for line in said.splitlines() if any(map(str.isalnum, line))]
    failures = [line for line in lines if " failed: " in line or line.startswith("error: ")]
    return (failures or lines or ["it said nothing"])[-1]


def _step(checkpoint: Path) -> int:
    """The step in a checkpoint's name, or -1 where there is none."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _mark(marker: Path, *, step: int) -> None:
    """Write the marker in one go, so that nobody sees half of it."""
    unfinished = marker.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"step": step}) + "\n", encoding="utf-8")
    unfinished.replace(marker)


def _unmark(marker: Path) -> None:
    """Remove a marker; the folder keeps its time, by which a Trainer tells which is the oldest."""
    there = marker.parent.stat()
    marker.unlink(missing_ok=True)
    os.utime(marker.parent, ns=(there.st_atime_ns, there.st_mtime_ns))
