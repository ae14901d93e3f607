"""Benchmarks of lm-evaluation-harness as question sets like any other.

`harness/m_arc` is a family with a task for each language, `harness/hellaswag@eng_Latn` any other
multiple-choice task and the language it is in. Questions come from the hub as the harness loads
them, or from `<root>/<family>/<language>.jsonl` with the same columns. How the harness renders them
is in harness_tasks.py, how options are scored in actors/harness/.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from studies import harness_tasks as tasks
from studies import languages as codes
from studies.rows import SUFFIXES, Source, read_file
from studies.texts import ChoiceItem, ChoiceSet

if TYPE_CHECKING:
    from datasets import Dataset

PREFIX = "harness/"
FEWSHOT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A multilingual benchmark of the harness, with a task (or a group of tasks) per language.

    Attributes:
        task: the task's name, from the data set's own code for the language.
        folder: where its definitions lie under lm_eval/tasks.
        codes: the data set whose codes the tasks use, if it is not called like the family.
        optional: columns that files on disk may lack; they are read as empty.
    """

    task: str
    folder: str
    codes: str = ""
    optional: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    "m_arc": Family(task="arc_{code}", folder="okapi/arc_multilingual", optional=("option_e",)),
    "m_mmlu": Family(task="m_mmlu_{code}", folder="okapi/mmlu_multilingual"),
    "m_hellaswag": Family(task="hellaswag_{code}", folder="okapi/hellaswag_multilingual"),
    "m_truthfulqa": Family(
        task="truthfulqa_{code}_mc1", folder="okapi/truthfulqa_multilingual", codes="m_arc"
    ),
    "belebele": Family(task="belebele_{code}", folder="belebele"),
    "xnli": Family(task="xnli_{code}", folder="xnli"),
    "xcopa": Family(task="xcopa_{code}", folder="xcopa"),
    "xstorycloze": Family(task="xstorycloze_{code}", folder="xstorycloze"),
    "pawsx": Family(task="paws_{code}", folder="paws-x"),
    "global_mmlu_lite": Family(task="global_mmlu_{code}", folder="global_mmlu"),
    "global_mmlu": Family(task="global_mmlu_full_{code}", folder="global_mmlu"),
}


class _Name(NamedTuple):
    """What follows `harness/`: a family, or a task and the one language it is in."""

    task: str
    language: str
    family: Family | None

    @property
    def folder(self) -> str:
        """Where a family's definitions lie, "" for any task."""
        return self.family.folder if self.family else ""


class _Files(NamedTuple):
    """A language's rows on disk, and those its few-shot examples come from, if they are apart."""

    rows: Path
    examples: Path | None


def languages(benchmark: str, *, source: Source) -> tuple[str, ...]:
    """All languages a harness benchmark has where `source` looks, sorted.

    Raises:
        ValueError: there is no such family or task, or lm_eval is not installed.
    """
    name = _parse(benchmark)
    if name.family is None:
        return (name.language,)
    known, root = _tasks(name), source.data_root
    if root is None:
        return tuple(sorted(known))
    there = [language for language in known if _files(name, language, root=root)]
    if not there:
        raise ValueError(
            f"no rows for {benchmark} under {root}: expected {root / name.task}/LANGUAGE.jsonl or "
            f".parquet, where LANGUAGE is one of {len(known)}, such as {next(iter(known))}"
        )
    return tuple(sorted(there))


def load(
    benchmark: str,
    *,
    language: str,
    source: Source,
    limit: int | None = None,
    prompt: str | None = None,
) -> ChoiceSet:
    """The questions of a harness benchmark in one language, as the harness would put them.

    Args:
        limit: look at the first rows only; None looks at all.
        prompt: how many examples stand before each question, such as `5-shot`; None is that,
            unless the task fixes their number.

    Raises:
        ValueError: there is no such task, it is none of choosing, or its data cannot be read.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected at least 1, or none for all items")
    name = _parse(benchmark)
    task = _task_of(name, language)
    leaves = tasks.definitions(task, folder=name.folder)
    for leaf, config in leaves.items():
        tasks.check(leaf, config)
    shots = _shots(benchmark, prompt, leaves)
    local = _splits(name, language, source=source)
    items: list[ChoiceItem] = []
    with tasks.seeded():
        for leaf, config in leaves.items():
            left = None if limit is None else limit - len(items)
            if left == 0:
                break
            own = tasks.questions(leaf, {**config, **local}, shots=shots, limit=left)
            # No other member of a group has the ids of this one.
            member = "" if leaf == task else leaf.removeprefix(task + "_") + "/"
            items += [replace(item, id=member + item.id) for item in own]
    if not items:
        raise ValueError(f"{benchmark} in {language}: no row holds a question of {task}")
    version = ", ".join(sorted({str(config["metadata"]["version"]) for config in leaves.values()}))
    return ChoiceSet(
        benchmark=benchmark,
        language=language,
        prompt=f"{shots}-shot",
        items=tuple(items),
        commit=f"lm_eval {tasks.version()}, {task} {version}",
    )


def _parse(benchmark: str) -> _Name:
    """The family or task that a benchmark's name says."""
    task, at, language = benchmark.removeprefix(PREFIX).partition("@")
    if at:
        codes.check((language,))
        return _Name(task, language, None)
    if task in FAMILIES:
        return _Name(task, "", FAMILIES[task])
    near = difflib.get_close_matches(task, FAMILIES, n=3)
    known = f"did you mean {' or '.join(PREFIX + one for one in near)}?" if near else ""
    raise ValueError(
        f"{benchmark} names no language and is no multilingual family: "
        f"{known or 'families are ' + ', '.join(FAMILIES)}; "
        f"any other task goes as {PREFIX}TASK@LANGUAGE, such as {PREFIX}hellaswag@eng_Latn"
    )


def _tasks(name: _Name) -> dict[str, str]:
    """The task for every language that a family has one in."""
    assert name.family is not None
    dataset = name.family.codes or name.task
    known = {
        language: name.family.task.format(code=codes.source_code(dataset, language))
        for language in codes.known_languages(dataset)
    }
    there = tasks.index(name.folder)
    return {language: task for language, task in known.items() if task in there}


def _task_of(name: _Name, language: str) -> str:
    codes.check((language,))
    known = {name.language: name.task} if name.family is None else _tasks(name)
    if language not in known:
        raise ValueError(codes.absent(PREFIX + name.task, language=language, present=known))
    return known[language]


def _codes_of(name: _Name, language: str) -> tuple[str, ...]:
    """What a language's file may be called."""
    if name.family is None:
        return (language,)
    return (codes.source_code(name.family.codes or name.task, language), language)


def _files(name: _Name, language: str, *, root: Path) -> _Files | None:
    """A language's files under a data root: `de.jsonl`; `train/de.jsonl` or `de_train.jsonl`."""
    if not root.is_dir():
        raise ValueError(f"data root {str(root)!r} is not a folder: give the folder of data sets")
    folder = root / name.task

    def find(*stems: str) -> Path | None:
        paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    own = _codes_of(name, language)
    rows = find(*own)
    examples = find(*(f"train/{code}" for code in own), *(f"{code}_train" for code in own))
    return _Files(rows, examples) if rows else None


def _splits(name: _Name, language: str, *, source: Source) -> dict[str, Any]:
    """What to change in a task's definition so that it reads rows on disk, if it shall.

    Where examples have no file of their own they are drawn from the very rows that are asked. The
    harness leaves out the question itself only where both splits have one name, so they get one.
    """
    if source.data_root is None:
        return {}
    files = _files(name, language, root=source.data_root)
    if files is None:
        expected = source.data_root / name.task / f"{_codes_of(name, language)[0]}.jsonl"
        raise ValueError(
            f"no file {expected} (or .parquet) for {PREFIX}{name.task} in {language}: put the rows "
            "there, with the columns of the Hugging Face data set"
        )
    optional = name.family.optional if name.family else ()
    splits = {"test": _read(files.rows, optional=optional)}
    if files.examples:
        splits["examples"] = _read(files.examples, optional=optional)
    return {
        "custom_dataset": lambda **_: splits,
        "dataset_path": str(files.rows),
        "dataset_kwargs": None,
        "training_split": None,
        "validation_split": None,
        "test_split": "test",
        "fewshot_split": "examples" if files.examples else "test",
    }


def _read(path: Path, *, optional: Sequence[str]) -> "Dataset":
    """The rows of a file as the harness takes them, with the columns any of them has."""
    import pyarrow
    from datasets import Dataset

    rows, _ = read_file(path)
    if not rows:
        raise ValueError(f"{path} is empty: expected at least one row")
    columns = dict.fromkeys([*(column for row in rows for column in row), *optional])
    try:
        return Dataset.from_list([{column: row.get(column) for column in columns} for row in rows])
    except (ValueError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} cannot be read as rows of a data set: {error}") from error


def _shots(benchmark: str, prompt: str | None, leaves: Mapping[str, Mapping[str, Any]]) -> int:
    """How many examples stand before each question; a task that fixes none stays without."""
    fixed = {config.get("num_fewshot") for config in leaves.values()} == {0}
    if prompt is None:
        return 0 if fixed else FEWSHOT
    found = re.fullmatch(r"(\d+)-shot", prompt)
    if not found:
        raise ValueError(
            f"{benchmark} has no prompt {prompt!r}: its prompts say how many examples come first, "
            "such as 0-shot or 5-shot"
        )
    shots = int(found[1])
    if fixed and shots:
        raise ValueError(f"{benchmark} is defined without examples, and {prompt} was asked for")
    return shots
