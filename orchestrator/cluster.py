"""Where units run: in this process, or in Ray actors; the only file that knows Ray.

Both clusters offer the same few verbs to the loop: open a model on a worker, submit a unit to it,
wait for whatever happens next. What is in a unit is unknown here.
"""

import logging
import os
import re
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from studies.spec import ModelFacts, Row, Unit

NAMES = ("inline", "local")
DEVICES = ("auto", "cpu", "cuda", "spread")


class Event(NamedTuple):
    """What happened on a worker: its model is `open`, its unit is `done`, or either failed.

    `about` describes the loaded model (device, attention backend, ...) when it is open; `gone`
    says that the worker's process died with the failure.
    """

    worker: int
    kind: Literal["open", "done", "open_failed", "unit_failed"]
    rows: list[Row]
    error: str = ""
    traceback: str = ""
    gone: bool = False
    about: Mapping[str, object] = {}


class Cluster(Protocol):
    """Workers that each hold at most one model and do one thing at a time."""

    workers: int

    def open(self, worker: int, model: ModelFacts) -> None:
        """Begin to load a model on a worker, in place of what it holds."""

    def submit(self, worker: int, unit: Unit) -> None:
        """Begin a unit on a worker that holds the unit's model."""

    def wait(self, *, seconds: float) -> Event | None:
        """The next event, or None after `seconds` without one."""

    def close(self) -> None:
        """End all workers."""


def check(name: str, *, device: str) -> None:
    """Refuse a cluster or device that does not exist, before anything is written.

    Raises:
        ValueError: the name is unknown, or a GPU is asked for where there is none.
    """
    if name not in NAMES:
        raise ValueError(f"unknown cluster {name!r}: expected one of {', '.join(NAMES)}")
    if device not in DEVICES and not re.fullmatch(r"cuda:\d+", device):
        raise ValueError(f"unknown device {device!r}: expected {', '.join(DEVICES)} or cuda:N")
    if device == "spread" and name != "inline":
        raise ValueError(
            f"--device spread with --cluster {name}: a worker there has one GPU; use --cluster "
            "inline, whose one worker takes them all"
        )
    if device.startswith("cuda") and not _gpus():
        raise ValueError(f"--device {device}: this machine shows no GPU; use --device cpu or auto")


def connect(name: str, *, device: str, workers: int) -> Cluster:
    """The cluster of this name, which `check` has accepted."""
    if name == "inline":
        return InlineCluster(device=device)
    return RayCluster(device=device, workers=workers)


def default_workers(device: str, *, models: int, units: int) -> int:
    """One worker per GPU, or per CPU core without one, as far as there is work for them."""
    gpus = 0 if device == "cpu" else _gpus()
    return max(1, min(gpus or os.cpu_count() or 1, max(units, models)))


class InlineCluster:
    """One worker in this very process: no Ray, no subprocess, errors where they happen."""

    workers = 1

    def __init__(self, *, device: str) -> None:
        """Remember the device; models are loaded when they are asked for."""
        self._device = device
        self._actor: Any = None
        self._todo: deque[ModelFacts | Unit] = deque()

    def open(self, worker: int, model: ModelFacts) -> None:
        """Note the model; `wait` loads it."""
        assert worker == 0
        self._todo.append(model)

    def submit(self, worker: int, unit: Unit) -> None:
        """Note the unit; `wait` computes it."""
        assert worker == 0
        self._todo.append(unit)

    def wait(self, *, seconds: float) -> Event | None:  # noqa: ARG002  # never idle
        """Do the next thing noted and say how it went."""
        if not self._todo:
            return None
        task = self._todo.popleft()
        opening = isinstance(task, ModelFacts)
        try:
            if isinstance(task, ModelFacts):
                self._actor = None  # free the old model before the new one takes its memory
                self._actor = _model_actor(task, device=self._device, threads=None)
                return Event(0, "open", [], about=_about(self._actor))
            return Event(0, "done", self._actor.run(task))
        except Exception as error:  # the boundary of a unit: whatever it was becomes an error row
            kind: Literal["open_failed", "unit_failed"] = (
                "open_failed" if opening else "unit_failed"
            )
            return Event(0, kind, [], summary(error), traceback.format_exc())

    def close(self) -> None:
        """Let go of the model."""
        self._actor = None


class RayCluster:
    """Ray actors on this machine, each pinned to a GPU where there is one, else to a core."""

    def __init__(self, *, device: str, workers: int) -> None:
        """Start a private Ray on this machine."""
        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)  # notices about settings, not about us
        self._ray = ray
        self.workers = workers
        self._gpus = 0 if device == "cpu" else _gpus()
        self._device = device
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, tuple[int, bool]] = {}
        ray.init(
            address="local",
            num_cpus=max(workers, os.cpu_count() or 1),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=False,
        )

    def open(self, worker: int, model: ModelFacts) -> None:
        """End the worker's actor, which frees its memory for sure, and start one for the model."""
        self._kill(worker)
        threads = None if self._gpus else 1
        actor = self._ray.remote(_Actor).options(
            num_cpus=1, num_gpus=1 if self._gpus else 0, max_restarts=0, max_task_retries=0
        )
        self._actors[worker] = actor.remote(model, device=self._device, threads=threads)
        self._pending[self._actors[worker].about.remote()] = (worker, True)

    def submit(self, worker: int, unit: Unit) -> None:
        """Send the unit to the worker's actor."""
        self._pending[self._actors[worker].run.remote(unit)] = (worker, False)

    def wait(self, *, seconds: float) -> Event | None:
        """The next answer of any actor."""
        if not self._pending:
            return None
        ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=seconds)
        if not ready:
            return None
        worker, opening = self._pending.pop(ready[0])
        kind: Literal["open_failed", "unit_failed"] = "open_failed" if opening else "unit_failed"
        try:
            result = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            return Event(worker, kind, [], summary(cause), str(error))
        except self._ray.exceptions.RayError as error:
            self._kill(worker)
            cause = getattr(error, "cause", None)
            reason = summary(cause) if isinstance(cause, Exception) else _last_line(str(error))
            return Event(worker, kind, [], reason, str(error), gone=True)
        if opening:
            return Event(worker, "open", [], about=result)
        return Event(worker, "done", result)

    def close(self) -> None:
        """End every actor and the private Ray."""
        for worker in list(self._actors):
            self._kill(worker)
        self._ray.shutdown()

    def _kill(self, worker: int) -> None:
        """End the worker's actor if it has one."""
        actor = self._actors.pop(worker, None)
        if actor is not None:
            self._ray.kill(actor, no_restart=True)


def summary(error: BaseException) -> str:
    """An exception as one line."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the worker's process died"


class _Actor:
    """A `ModelActor` in a process of its own; the driver that starts it never imports torch."""

    def __init__(self, model: ModelFacts, *, device: str, threads: int | None) -> None:
        self._actor = _model_actor(model, device=device, threads=threads)

    def about(self) -> Mapping[str, object]:
        """How the model runs; the answer comes once it is loaded."""
        return _about(self._actor)

    def run(self, unit: Unit) -> list[Row]:
        """The rows of a unit."""
        rows: list[Row] = self._actor.run(unit)
        return rows


def _about(actor: Any) -> Mapping[str, object]:
    """What a model's actor says of itself, and the process it lives in."""
    return {**asdict(actor.describe()), "process": os.getpid()}


def _model_actor(model: ModelFacts, *, device: str, threads: int | None) -> Any:
    """Load a model; importing the class brings torch, so it waits until a model is needed."""
    from actors.model_actor import ModelActor

    return ModelActor(model, device=device, threads=threads)


def _gpus() -> int:
    """GPUs this process may use, as the driver's files and CUDA_VISIBLE_DEVICES tell."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
