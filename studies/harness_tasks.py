"""Tasks of lm-evaluation-harness: their definitions, and the questions its own code renders.

No template is written here. Examples are sampled and texts rendered by the harness, seeded as
`lm_eval.simple_evaluate` seeds it, so that a set holds what that would ask. lm_eval takes a second
to import, and is not always installed: hence inside functions.
"""

import contextlib
import difflib
import io
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.texts import ChoiceItem

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._index import Entry

FEWSHOT_SEED, SEED = 1234, 0

# Columns that name a question in every language, best first; a row's number where there are none.
IDS = (("story_id",), ("sample_id",), ("idx",), ("id",), ("link", "question_number"))


def version() -> str:
    """The version of the harness that is installed."""
    from importlib import metadata

    return metadata.version("lm_eval")


@cache
def index(folder: str = "") -> Mapping[str, "Entry"]:
    """The harness's tasks and groups by name: of one of its folders, or of all in ten seconds."""
    try:
        from lm_eval import tasks
    except ImportError as error:
        raise ValueError(
            "benchmarks named harness/... need lm_eval, which is not installed: "
            "pip install 'babelscope[harness]'"
        ) from error
    if not folder:
        return dict(tasks.TaskManager().task_index)
    where = Path(tasks.__file__).parent / folder
    return dict(tasks.TaskManager(include_defaults=False, include_path=str(where)).task_index)


def definitions(task: str, *, folder: str) -> dict[str, dict[str, Any]]:
    """The whole definition of a task, or of every task of a group in `folder`, by their names.

    Raises:
        ValueError: there is no such task, or it is a group of any tasks.
    """
    there = index(folder)
    from lm_eval.tasks._yaml_loader import load_yaml

    entry = there.get(task)
    if entry is None:
        near = difflib.get_close_matches(task, [*there], n=4)
        close = f": did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"lm_eval {version()} has no task {task!r}{close}")
    if entry.kind.name in ("GROUP", "TAG"):
        members = sorted(entry.tags) if entry.kind.name == "TAG" else entry.cfg["task"]
        if not folder:
            raise ValueError(
                f"{task!r} is a group of tasks of the harness: name one of them, such as "
                f"{members[0]}"
            )
        return {
            name: own for one in members for name, own in definitions(one, folder=folder).items()
        }
    config = load_yaml(entry.yaml_path) if entry.yaml_path else dict(entry.cfg)
    metadata = config.get("metadata")
    config["metadata"] = {"version": "", **(metadata if isinstance(metadata, dict) else {})}
    return {task: config}


def check(task: str, config: Mapping[str, Any]) -> None:
    """Refuse a task that ranking options cannot stand for."""
    kind = config.get("output_type", "generate_until")
    reason = f"has output type {kind}" if kind != "multiple_choice" else ""
    if config.get("class"):
        reason = "is written in Python"
    elif not reason and callable(config.get("process_results")):
        reason = "scores its answers by code of its own"
    if reason:
        raise _not_a_choice(task, reason)


def _not_a_choice(task: str, reason: str) -> ValueError:
    return ValueError(
        f"harness task {task} {reason}, so it is no set of questions with options; it runs with "
        f"lm_eval.simple_evaluate(HarnessLM(loaded), tasks=[{task!r}]) (docs/harness.md)"
    )


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """As under `simple_evaluate`: seeded, since some tasks shuffle; but without its talk."""
    import numpy as np

    log = logging.getLogger("lm_eval")
    level, state, state_of_numpy = log.level, random.getstate(), np.random.get_state()
    random.seed(SEED)
    np.random.seed(FEWSHOT_SEED)
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(level)
        random.setstate(state)
        np.random.set_state(state_of_numpy)


def questions(
    name: str, config: Mapping[str, Any], *, shots: int, limit: int | None
) -> list[ChoiceItem]:
    """The questions of one task, its first `limit` rows, as its own code renders them."""
    task = _made(name, config, shots=shots)
    if task is None:
        return []
    if task.multiple_input:
        raise _not_a_choice(name, "puts its options into the question")
    try:
        task.build_all_requests(limit=limit)
        asked: dict[int, list[Instance]] = {}
        for request in task.instances:
            asked.setdefault(request.doc_id, []).append(request)
        ids = _ids(task)
        return [_item(name, task, requests, id=ids[row]) for row, requests in asked.items()]
    except (KeyError, IndexError, AssertionError, TypeError) as error:
        raise ValueError(_unread(name, config, error)) from error


def _made(name: str, config: Mapping[str, Any], *, shots: int) -> "ConfigurableTask | None":
    """The harness's own task over its data; None if no row belongs to it.

    Raises:
        ValueError: the data cannot be had, or is not what the task reads.
    """
    from jinja2 import TemplateError
    from lm_eval.api.task import ConfigurableTask

    own = {key: value for key, value in config.items() if key not in ("tag", "group", "task_list")}
    own["num_fewshot"] = shots
    if own.get("fewshot_config") and own.get("custom_dataset"):
        given = dict(own["fewshot_config"])
        own["fewshot_config"] = {
            **given,
            "split": None if "samples" in given else own["fewshot_split"],
        }
    try:
        task = ConfigurableTask(config=own)
    except IndexError:
        return None
    except (
        OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, TemplateError
    ) as error:  # fmt: skip
        raise ValueError(_unread(name, config, error)) from error
    task.set_fewshot_seed(FEWSHOT_SEED)
    return task


def _unread(name: str, config: Mapping[str, Any], error: Exception) -> str:
    """The sentence that says why a task has no questions."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, KeyError):
        reason = f"there is no column {reason}"
    where = " ".join(
        str(config[key]) for key in ("dataset_path", "dataset_name") if config.get(key)
    )
    if config.get("custom_dataset"):
        return f"harness task {name} cannot be made of {config['dataset_path']}: {reason}"
    return (
        f"harness task {name} cannot be made of {where} on the hub: {reason}; with the files on "
        "disk, give --data-root DIR with DIR/FAMILY/LANGUAGE.jsonl"
    )


def _ids(task: "ConfigurableTask") -> list[str]:
    """What names each row: the first columns that are there and never repeat, or its number."""
    rows = task.task_docs
    for columns in IDS:
        if all(column in rows.features for column in columns):
            values = zip(*(rows[column] for column in columns), strict=True)
            ids = [" ".join(map(str, value)) for value in values]
            if len(set(ids)) == len(ids):
                return ids
    return [str(row) for row in range(len(rows))]


def _item(
    name: str, task: "ConfigurableTask", requests: Sequence["Instance"], *, id: str
) -> ChoiceItem:
    """One question; where no option is right `gold` is -1, and any answer wrong, as it is there."""
    row = requests[0].doc
    options = task.doc_to_choice(row)
    gold = task.doc_to_target(row)
    if isinstance(gold, list):
        raise _not_a_choice(name, "has questions with several right answers")
    if isinstance(gold, str):
        gold = options.index(gold) if gold in options else -1
    asked = [request.args for request in requests[: len(options)]]
    return ChoiceItem(
        id=id,
        context=asked[0][0],
        options=tuple(continuation for _, continuation in asked),
        gold=int(gold) if 0 <= gold < len(options) else -1,
    )
