"""Show any item of a run: what the model was given, the right answer, and what it answered.

The store keeps a few items; any other is rendered again by the run's own command from the same
data, and its fingerprint must be the one that the run wrote down.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from analysis import example_answers, read
from orchestrator import examples, models
from orchestrator import plan as plans
from orchestrator.examples import ExampleRecord
from orchestrator.flags import Request
from orchestrator.storage.store import Store
from studies.flags import Options
from studies.kinds import tables
from studies.rows import Source
from studies.spec import ModelFacts, digest


def lines(
    store: Store,
    *,
    benchmark: str | None,
    language: str | None,
    item: str | None,
    key: str | None,
    data_root: Path | None,
    recorded: Callable[[list[str]], Request],
) -> Iterator[str]:
    """The text of items, as lines for people.

    Args:
        store: the run.
        benchmark: a benchmark or parallel text; None with `key`.
        language: the language; None with `key`.
        item: the item's id; None shows those that the run kept, three of each text.
        key: the key of a cell, or its beginning, in place of benchmark and language.
        data_root: where the data lie now, if not where the command says.
        recorded: what a command asked for, from its words.

    Raises:
        ValueError: there is no such run, cell or item, or the data are other ones by now.
    """
    manifest = store.recorded()
    if key is not None:
        benchmark, language = _of_key(store, key)
    if not benchmark or not language:
        raise ValueError("name the item's --benchmark and --language, or a cell's --key")
    stored = [one for one in examples.read(store) if _is_of(one, benchmark, language)]
    found = _with_item(stored, item)
    if not found:
        found = _with_item(_again(manifest, benchmark, language, data_root, recorded), item)
        if not found and item is None:
            raise ValueError(f"this run read no text of {benchmark} in {language}: name another")
        if not found:
            raise ValueError(
                f"{benchmark} in {language} has no item {item!r} in this run: look at the column "
                "`item` of its rows"
            )
        found = examples.worded(found, wordings=_wordings(_recorded(manifest)))
    answers = example_answers.answers(read.rows([store.files.where]), found)
    for record in found:
        for one in record["items"]:
            yield from _text(record, one)
            yield from _said(answers.get(example_answers.place(record, one), ()))


def _again(
    manifest: Mapping[str, object],
    benchmark: str,
    language: str,
    data_root: Path | None,
    recorded: Callable[[list[str]], Request],
) -> list[ExampleRecord]:
    """All items of a benchmark in a language, read by the run's command and held against it."""
    provenance = manifest.get("provenance")
    arguments = provenance.get("arguments") if isinstance(provenance, dict) else None
    if not isinstance(arguments, list) or not arguments:
        raise ValueError("the run does not say by which command it was made, so no text of it can "
                         "be read again")  # fmt: skip
    asked = recorded([str(word) for word in arguments])
    study = asked.recipe.study(_about(asked.options, benchmark))
    source = Source(data_root=data_root) if data_root else asked.where.source
    found: list[ExampleRecord] = []
    grids = tuple(
        replace(grid, languages=(language,))
        for grid in study.grids
        if benchmark in (getattr(grid, "dataset", None), getattr(grid, "benchmark", None))
    )
    if not grids:
        raise ValueError(f"the run's study asks nothing of {benchmark}: name one of its benchmarks")
    plan = plans.build(
        replace(study, grids=grids),
        models.read(study.models),
        source=source,
        on_content=lambda *read: found.append(examples.of_content(*read, most=None)),
    )
    pins = manifest.get("pins")
    assert isinstance(pins, dict)
    own = [one for one in found if _is_of(one, benchmark, language)]
    for one in own:
        now, before = str(plan.pins[one["name"]]), pins.get(one["name"])
        if before is not None and before != now:
            raise ValueError(
                f"{one['name']}: the texts are other ones than those of the run (fingerprint "
                f"{now[:12]}, the run has {str(before)[:12]}): say with --data-root where the data "
                "lie that it was made from"
            )
    return own


def _about(options: Options, benchmark: str) -> Options:
    """The options without a choice of languages, and with the benchmark among theirs."""
    changes: dict[str, Any] = {}
    if hasattr(options, "languages"):
        changes["languages"] = ()
    asked = getattr(options, "benchmarks", ())
    if asked and benchmark not in (*asked, *getattr(options, "parallels", ())):
        changes["benchmarks"] = (benchmark,)
    return replace(options, **changes)


def _is_of(record: ExampleRecord, benchmark: str, language: str) -> bool:
    """Whether a record is of a benchmark, adapted or not, in a language."""
    names = {benchmark, benchmark.removeprefix("questions/"), benchmark.removeprefix("transfer/")}
    return record["benchmark"] in names and record["language"] == language


def _with_item(records: list[ExampleRecord], item: str | None) -> list[ExampleRecord]:
    """The records with that item alone, or their first items."""
    found = []
    for record in records:
        items = [one for one in record["items"] if item is None or one["id"] == item]
        if items:
            found.append(record | {"items": items[: None if item else examples.KEPT]})
    once = {digest([one["prompt"], one["chat"], one["items"]]): one for one in found}
    return list(once.values())


def _recorded(manifest: Mapping[str, object]) -> list[dict[str, object]]:
    """The models that run.json lists."""
    found = manifest.get("models")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _wordings(recorded: list[dict[str, object]]) -> dict[str, examples.Wording]:
    """How each model is given a text, where its files are on this machine."""
    names = {field.name for field in fields(ModelFacts)}
    facts = []
    for model in recorded:
        try:
            facts.append(ModelFacts(**{k: v for k, v in model.items() if k in names}))  # type: ignore[arg-type]
        except TypeError:
            continue
    return examples.wordings(facts)


def _of_key(store: Store, key: str) -> tuple[str, str]:
    """The benchmark and language of a cell."""
    found: set[tuple[str, str]] = set()
    for name, table in tables().items():
        column = "benchmark" if "benchmark" in table.types else "dataset"
        for shard in read.shards(
            [store.files.where], name=name, columns=["key", column, "language"]
        ):
            own = shard.filter(pc.starts_with(shard["key"], key))
            places = own.group_by([column, "language"]).aggregate([])
            found |= {(str(row[column]), str(row["language"])) for row in places.to_pylist()}
    if not found:
        raise ValueError(f"{store.address} has no cell with the key {key!r}")
    if len(found) > 1:
        named = read.listed((f"{text} in {code}" for text, code in sorted(found)), most=4)
        raise ValueError(f"{key!r} begins keys of several texts, {named}: give more of the key")
    return next(iter(found))


def _text(record: ExampleRecord, one: ExampleRecord) -> Iterator[str]:
    """An item's heading, what was given, its options and right answers."""
    pivot = f" (pivot {record['pivot']})" if record["pivot"] else ""
    yield f"== {record['name']}{pivot}, prompt {record['prompt'] or '-'}, item {one['id']}"
    for text, names in example_answers.wordings(one).items():
        chat = "" if record["chat"] is None else ", in the model's chat template"
        yield f"-- given to {', '.join(names)}:" if names else f"-- text{chat}:"
        yield text
    if "beside" in one:
        yield "-- beside it:"
        yield one["beside"]
    for place, option in enumerate(one.get("options", ())):
        right = " (right)" if place == one.get("gold") else ""
        yield f"-- option {place}{right}: {json.dumps(option, ensure_ascii=False)}"
    for right in one.get("right", ()):
        yield f"-- right: {json.dumps(right, ensure_ascii=False)}"


def _said(answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What every model answered to an item."""
    for row in answers:
        shown = read.label(str(row["model"]), revision=str(row["revision"]))
        if "prediction" in row:
            right = "right" if row["correct"] else "wrong"
            yield f"-- {shown} chose option {row['prediction']:.0f} ({right})"
        else:
            yield f"-- {shown} wrote: {json.dumps(row['output'], ensure_ascii=False)}"
