"""What runs in a worker's process: one model, loaded on order; and the look taken at a machine.

Plain Python that any cluster can start elsewhere. Torch is imported when a model is loaded, never
before, so that a driver can import this and a bare machine can be looked at.
"""

import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import studies
from actors.answer import Answer
from orchestrator.workers.gpus import GpuUse, read_gpus
from studies.models.folder import refuse_changed
from studies.spec import ModelFacts
from studies.unit import Unit

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "studies", "actors")
METHODS = (
    *("extract", "score", "sweep", "patch", "lens", "generate", "statistics"),
    *("steering_vectors", "describe"),
)
ENDING_SECONDS = 60.0


class Order(NamedTuple):
    """All that a worker must know to load a model.

    `node` is the name of its machine. `origin` is the folder of the package `studies` where the
    order was given, as embedded models lie in it. `ending` are processes of this machine that are
    being ended: their memory is free once they are gone.
    """

    model: ModelFacts
    device: str
    threads: int | None
    node: str
    gpus: float
    origin: str
    ending: tuple[int, ...] = ()


class Look(NamedTuple):
    """What a machine has and lacks."""

    gpus: tuple[GpuUse, ...]
    lacks: tuple[str, ...]


class Worker:
    """A process that is to hold one model for all its life: ending it is what frees memory.

    What opens the model, transformers or vLLM, lives in this process and ends with it.
    """

    def __init__(self) -> None:
        """Nothing yet: being placed and loading a model can fail for different reasons."""
        self._actor: Any = None

    def hello(self) -> int:
        """The process that this worker lives in, once there is one."""
        return os.getpid()

    def load(self, order: Order) -> Mapping[str, object]:
        """Load the model; returns how it runs."""
        wait_for_end(order.ending)
        model = found_here(order.model, origin=order.origin, node=order.node)
        self._actor = load(model, device=order.device, threads=order.threads)
        code = str(Path(studies_folder()).parent)
        return {**about(self._actor), "node": order.node, "gpus": order.gpus, "code": code}

    def run(self, unit: Unit, keys: Sequence[str], *artifacts: bytes) -> Answer:
        """The answer to a unit, from the artifacts of these keys: each is an argument of its own,
        as a cluster's object store fills in no others.
        """
        answer: Answer = self._actor.run(unit, dict(zip(keys, artifacts, strict=True)))
        return answer

    def ask(self, method: str, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """What a method of the loaded model returns."""
        return getattr(self._actor, method)(*given, **named)


def load(model: ModelFacts, *, device: str, threads: int | None) -> Any:
    """A loaded `ModelActor`, or an `Engine` where vLLM is to write; importing either brings torch,
    so it waits until it is needed.

    Raises:
        ValueError: the model's files are not those that the plan was made from, or cannot be used.
    """
    refuse_changed(model)
    actor = _actor(model, device=device, threads=threads)
    refuse_changed(model)  # who trains it may have written it anew while it was read
    return actor


def _actor(model: ModelFacts, *, device: str, threads: int | None) -> Any:
    if model.engine == "vllm":
        from actors.engine import Engine

        return Engine(model, device=device, threads=threads)
    from actors.model_actor import ModelActor

    return ModelActor(model, device=device, threads=threads)


def about(actor: Any) -> Mapping[str, object]:
    """What a model's actor says of itself, and the process it lives in."""
    return {**asdict(actor.describe()), "process": os.getpid()}


def look() -> Look:
    """What this machine has and lacks, without loading anything."""
    lacks = tuple(name for name in PACKAGES if importlib.util.find_spec(name) is None)
    return Look(gpus=read_gpus(), lacks=lacks)


def studies_folder() -> str:
    """The folder of `studies` as this process imports it."""
    return str(Path(studies.__file__).resolve().parent)


def found_here(model: ModelFacts, *, origin: str, node: str) -> ModelFacts:
    """The model with its folders as they are on this machine.

    Raises:
        ValueError: a folder of the machine that gave the order does not exist here.
    """
    folder, adapter = model.folder, model.adapter
    if not model.commit:
        folder = _folder(folder, origin=origin, what=f"model {model.label!r}", node=node)
    if adapter and not model.adapter_commit:
        what = f"the adapter of model {model.label!r}"
        adapter = _folder(adapter, origin=origin, what=what, node=node)
    return replace(model, folder=folder, adapter=adapter)


def wait_for_end(processes: Sequence[int], *, seconds: float = ENDING_SECONDS) -> None:
    """Wait until processes of this machine have ended: a GPU's memory is not free before.

    Raises:
        ValueError: one of them does not end.
    """
    until = time.monotonic() + seconds
    while left := [process for process in processes if _lives(process)]:
        if time.monotonic() > until:
            raise ValueError(
                f"process {left[0]}, which held the previous model, was killed {seconds:.0f} s "
                "ago and has not ended: its GPU may need a restart"
            )
        time.sleep(0.02)


def _folder(folder: str, *, origin: str, what: str, node: str) -> str:
    """The folder under its name on this machine."""
    here = Path(folder)
    if here.is_relative_to(origin):
        here = Path(studies_folder()) / here.relative_to(origin)
    if not here.is_dir():
        raise ValueError(
            f"{what}: folder {folder} does not exist on node {node}: copy it there under the same "
            "path, keep it on a disk that all nodes share, or name the model by its hub id"
        )
    return str(here)


def _lives(process: int) -> bool:
    """Whether a process is there and more than a name that its parent has yet to forget."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the number was given to somebody else since
        return False
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return not Path("/proc/self/stat").exists()
    return state != "Z"
