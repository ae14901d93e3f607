"""Which runs a report is of: each once, by study, and in what runs of one study differ.

Runs of one study are one table, runs of two studies are two pages, and whatever makes rows of
several runs unlike is said.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from analysis.storage.folder import Entry, Folder
from analysis.storage.record import (
    ERRORS_FILE,
    ERRORS_FOLDER,
    NAME,
    TABLES,
    error_files,
    parquet,
    parse,
)

Run = Path | str
# What makes one model another under the same name, and what may make its numbers others.
OF_MODEL = ("dtype", "weights", "tokenizer", "adapter_weights", "quantisation")
MOST = 8
LONGEST = 24
# Records that are kept for the next table of the same runs.
MOST_RECORDS = 64


class Group(NamedTuple):
    """The runs of one study; "" where none of them names one."""

    study: str
    runs: tuple[Run, ...]


def distinct(runs: Sequence[Run]) -> tuple[tuple[Run, ...], list[str]]:
    """The runs, each folder once, and a sentence for every one that was named again."""
    kept: dict[str, Run] = {}
    notes = []
    for run in runs:
        folder = Folder(run)
        if folder.identity in kept:
            notes.append(f"{folder.address} was named more than once: it is read once.")
        kept.setdefault(folder.identity, run)
    return tuple(kept.values()), list(dict.fromkeys(notes))


def by_study(runs: Sequence[Run], *, of_rows: Callable[[Run], str]) -> list[Group]:
    """The runs of every study, in the order they were named, one that was named twice twice.

    `of_rows` is asked for the study of a run whose run.json names none; a run of no study at all
    stands with the first one's.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        refuse_no_run(Folder(run))
        study = record(Folder(run)).get("study") or of_rows(run)
        found.setdefault(str(study), []).append(run)
    nameless = found.pop("", [])
    if not found:
        return [Group("", tuple(nameless))]
    first = next(iter(found))
    found[first] += nameless
    return [Group(study, tuple(own)) for study, own in found.items()]


def unlike(runs: Sequence[Run], records: Sequence[Mapping[str, object]]) -> list[str]:
    """Sentences on what the runs of one study differ in: settings, models, versions, emptiness."""
    folders = [Folder(run) for run in runs]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [folder.address for folder in folders]
    notes = []
    for name, folder in zip(names, folders, strict=True):
        if not parquet(folder.entries(TABLES)):
            failed = bool(error_files(folder))
            why = "every cell that was tried failed" if failed else "nothing of it is shown"
            notes.append(f"{name} holds no rows: {why}.")
    settings = _differences(names, [_flat(record.get("settings")) for record in records])
    if settings:
        notes.append(f"The runs differ in their settings: {settings}.")
    models = _differences(names, [_of_models(record.get("models")) for record in records])
    if models:
        notes.append(
            f"The runs differ in models of one name: {models}. Their rows stand under that name."
        )
    versions = _differences(names, [_versions(record.get("provenance")) for record in records])
    if versions:
        notes.append(f"The runs were made with different versions: {versions}.")
    return notes


def record(run: Folder) -> Mapping[str, object]:
    """The run.json of a run as it stands, with the run's folder name; empty where there is none."""
    try:
        return {"run": run.name, **_parsed(run.where, run.entry(NAME))}
    except FileNotFoundError:
        return {"run": run.name}


@lru_cache(maxsize=MOST_RECORDS)
def _parsed(where: str, _: Entry | None) -> Mapping[str, object]:
    """The run.json of a run, read again when its size or time is another."""
    run = Folder(where)
    return parse(run.read(NAME), where=run.text(NAME))


def refuse_no_run(run: Folder) -> None:
    """Say what is missing where a run was expected."""
    if run.kind() != "folder":
        raise ValueError(
            f"no run at {run.address}: there is no such folder; name the --out of a run"
        )
    if not {NAME, TABLES, ERRORS_FOLDER, ERRORS_FILE} & set(run.children()):
        raise ValueError(
            f"no run at {run.address}: expected {NAME} or {TABLES}/ in it; name the --out of a run"
        )


def _differences(names: Sequence[str], records: Sequence[Mapping[str, str]]) -> str:
    """The fields that not all records that have them agree on, with the run that says which."""
    said = []
    for field in dict.fromkeys(field for record in records for field in record):
        held = [
            (name, own[field]) for name, own in zip(names, records, strict=True) if field in own
        ]
        if len({value for _, value in held}) > 1:
            values = ", ".join(f"{value} ({name})" for name, value in held)
            said.append(f"{field}: {values}")
    rest = f"; and {len(said) - MOST} more" if len(said) > MOST else ""
    return "; ".join(said[:MOST]) + rest


def _flat(value: object) -> dict[str, str]:
    """Settings as texts."""
    return {str(name): _brief(part) for name, part in _mapping(value).items()}


def _of_models(value: object) -> dict[str, str]:
    """What bears the identity of each model, by its name and field."""
    models = value if isinstance(value, list) else []
    return {
        f"{model.get('name')}@{model.get('revision')} {field}": _brief(model[field])
        for model in models
        if isinstance(model, dict)
        for field in OF_MODEL
        if field in model
    }


def _versions(value: object) -> dict[str, str]:
    """The versions of the code and of what it stands on."""
    provenance = _mapping(value)
    packages = {name: _brief(part) for name, part in _mapping(provenance.get("packages")).items()}
    commit = provenance.get("commit")
    return {**({"commit": _brief(commit)} if commit else {}), **packages}


def _mapping(value: object) -> Mapping[str, object]:
    """A JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def _brief(value: object) -> str:
    """A value in a sentence; a long hash is cut where it still tells two apart."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
