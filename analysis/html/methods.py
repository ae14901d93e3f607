"""How a study was done, in the words of a paper: from its rows and the resolved switches of a run.

Every setting that a run recorded is said, a switch in a phrase (choices.csv) and anything else by
its name; a switch that has no effect on what was computed is left out.
"""

import csv
import json
import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from analysis.html import references
from analysis.layout.prose import Block, say
from analysis.read import Rows, label, listed
from analysis.results import conditions
from analysis.storage.folder import Folder
from analysis.storage.record import parquet
from studies.kinds import tables

FILE = Path(__file__).parent / "choices.csv"
ANY = "*"
text = partial(Block, "method.jinja")
# What a run was made of, by the names of its pins: `items belebele/deu_Latn`.
PINNED = re.compile(r"[a-z][a-z ]* (\S+)/[a-z]{3}_[A-Z][a-z]{3}")
# Texts of the project itself.
EMBEDDED = re.compile(r"miniworld|mini_\w+")
# How a data set is called where another column names what of it was read.
QUESTIONS = "questions/"
LEARNED = "_train"


class Choice(NamedTuple):
    """What a value of a switch means; `needs` are the uses of which one must be there."""

    phrase: str
    needs: frozenset[str]


class Method(NamedTuple):
    """Paragraphs, and the BibTeX of what they name."""

    paragraphs: tuple[str, ...]
    bibtex: str


@cache
def choices() -> dict[tuple[str, str], Choice]:
    """Every phrase by the name and the value of its switch."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {
            (row["name"], row["value"]): Choice(
                row["phrase"], frozenset(filter(None, row["needs"].split("|")))
            )
            for row in csv.DictReader(file)
        }


def method(rows: Rows, *, study: str) -> Method:
    """How the runs of one study were done."""
    data = _data(rows)
    uses = {f"study:{study}"} | _uses(rows, data)
    recorded = [run for run in rows.runs if run.get("settings")]
    paragraphs = list(say(text("paragraph"), **_facts(rows, data, study)))
    distinct = _distinct(recorded)
    for names, settings in distinct:
        said, plain = _said(settings, uses)
        uses |= {f"setting:{name}" for name in said}
        runs = f"Run {names}" if len(distinct) > 1 else ""
        paragraphs += say(text("settings"), runs=runs, choices=list(said.values()), settings=plain)
    if not recorded:
        paragraphs += say(text("no_record"))
    lacking = [name for name in data if not EMBEDDED.fullmatch(name) and not _cited(name)]
    return Method(
        paragraphs=tuple(paragraphs)
        + (say(text("no_reference"), names=lacking) if lacking else ()),
        bibtex="\n\n".join(one.text for one in references.of(*uses)),
    )


def _data(rows: Rows) -> list[str]:
    """The data sets that were read, by the names of rows and of what runs are pinned to."""
    named = [
        *rows.alignment["dataset"].unique(), *rows.points["dataset"].unique(),
        *rows.items["benchmark"].unique(), *rows.generations["benchmark"].unique(),
    ]  # fmt: skip
    for run in rows.runs:
        pins = run.get("pins", {})
        found = (PINNED.match(str(pin)) for pin in (pins if isinstance(pins, Mapping) else ()))
        named += [one[1] for one in found if one]
    plain = (str(name).removeprefix(QUESTIONS).removesuffix(LEARNED) for name in named if name)
    return list(dict.fromkeys(plain))


def _uses(rows: Rows, data: list[str]) -> set[str]:
    """What was used, in the words of references.bib and choices.csv, beside data and settings."""
    found = {f"data:{part}" for name in data for part in (name, *name.split("/"))}
    for frame in (rows.alignment, rows.robustness, rows.points):
        found |= {f"measure:{name}" for name in frame["measure"].dropna().unique()}
    prompts = {
        name for frame in (rows.items, rows.generations) for name in frame["prompt"].unique()
    }
    prompts |= {_settings(run).get("prompt", "") for run in rows.runs}
    found |= {f"prompt:{str(name).partition(',')[0]}" for name in prompts}
    found |= {f"task:{name}" for name in rows.generations["task"].dropna().unique()}
    found |= {f"engine:{name.partition(' ')[0]}" for name in _engines(rows)}
    for run in rows.sources:
        folder = Folder(run)
        there = (name for name in tables() if parquet(folder.entries(f"tables/{name}")))
        found |= {f"table:{name}" for name in there}
    return found


def _engines(rows: Rows) -> list[str]:
    """What computed, with its version, such as `hf 5.23.0`."""
    running = [one for run in rows.runs for one in _mapping(run, "running").values()]
    named = [str(one.get("engine", "")) for one in running if isinstance(one, Mapping)]
    return sorted({*filter(None, named), *rows.generations["engine"].dropna().astype(str)})


def _facts(rows: Rows, data: list[str], study: str) -> dict[str, object]:
    """The numbers of the first paragraph."""
    texts = [_text(str(name), own) for name, own in _by_dataset(rows.alignment)]
    questions = [_questions(str(name), own) for name, own in rows.items.groupby("benchmark")]
    questions += [_questions(str(name), own) for name, own in rows.generations.groupby("benchmark")]
    told = {one["name"] for one in (*texts, *questions)}
    provenance = [_mapping(run, "provenance") for run in rows.runs]
    versions = {str(_mapping(one, "packages").get("babelscope", "")) for one in provenance}
    commits = {str(one.get("commit") or "")[:10] for one in provenance}
    return {
        "study": study,
        "source": references.cited(f"study:{study}"),
        "version": _version(versions, commits),
        "models": _models(rows),
        "engines": [
            _with(name.replace("hf ", "transformers "), f"engine:{name.partition(' ')[0]}")
            for name in _engines(rows)
        ],
        "texts": texts,
        "questions": questions,
        "others": [f"{name} {_cited(name)}".strip() for name in data if name not in told],
    }  # fmt: skip


def _by_dataset(alignment: pd.DataFrame) -> Any:
    """The rows of every parallel text; those of questions are named with the questions."""
    return alignment[~alignment["dataset"].str.startswith(QUESTIONS)].groupby("dataset")


def _with(name: str, use: str) -> str:
    """A name with its sources."""
    return f"{name} {references.cited(use)}".strip()


def _version(versions: set[str], commits: set[str]) -> str:
    """Version and commit of the project; empty where neither is kept."""
    version, commit = listed(sorted(versions - {""})), listed(sorted(commits - {""}))
    return f"{version} (commit {commit})" if commit else version


def _models(rows: Rows) -> list[str]:
    """The models, each with its revision and the format of its weights."""
    found: dict[str, str] = {}
    for run in rows.runs:
        models = run.get("models")
        for model in models if isinstance(models, list) else ():
            if isinstance(model, Mapping) and "name" in model:
                name = label(str(model["name"]), revision=str(model.get("revision", "")))
                found[name] = f"{name} ({model['dtype']})" if model.get("dtype") else name
    for frame in (rows.alignment, rows.items, rows.generations):
        for pair in frame[["model", "revision"]].drop_duplicates().itertuples(index=False):
            name = label(str(pair[0]), revision=str(pair[1]))
            found.setdefault(name, name)
    return list(found.values())


def _text(name: str, own: pd.DataFrame) -> dict[str, object]:
    """A parallel text: how many pairs, languages, and by which measures."""
    pairs = sorted(conditions.pairs_in_words(str(one)) for one in own["pairs"].unique())
    return {
        "name": name,
        "source": _cited(name),
        "pairs": listed(pairs),
        "languages": own["language"].nunique(),
        "pivot": listed(sorted(own["pivot"].dropna().unique())),
        "measures": [
            _with(str(one).upper(), f"measure:{one}")
            for one in sorted(own["measure"].dropna().unique())
        ],
    }


def _questions(name: str, own: pd.DataFrame) -> dict[str, object]:
    """A benchmark: how many items, languages, and by which prompts."""
    prompts = [f"the prompt `{one}`" for one in sorted(own["prompt"].dropna().unique())]
    return {
        "name": name,
        "source": _cited(name),
        "items": int(own.groupby("language")["item"].nunique().max()),
        "languages": own["language"].nunique(),
        "prompts": prompts,
    }


def _cited(data: str) -> str:
    """The sources of a data set, or of what it is a version of."""
    for part in dict.fromkeys([data, data.rpartition("/")[2]]):
        if found := references.cited(f"data:{part}"):
            return found
    return ""


def _distinct(runs: list[Mapping[str, object]]) -> list[tuple[str, Mapping[str, object]]]:
    """Settings that differ, with the names of their runs."""
    found: dict[str, list[str]] = {}
    for run in runs:
        found.setdefault(json.dumps(_settings(run), sort_keys=False), []).append(str(run["run"]))
    return [(listed(names), json.loads(settings)) for settings, names in found.items()]


def _said(settings: Mapping[str, object], uses: set[str]) -> tuple[dict[str, str], list[str]]:
    """The phrases of switches that have an effect here, by name; all else as `name = value`."""
    phrases, plain = {}, []
    for name, value in settings.items():
        written = json.dumps(value) if isinstance(value, bool | dict | list) else str(value)
        choice = choices().get((name, written)) or choices().get((name, ANY))
        if choice is None:
            plain += [f"{name} = {written}"] if written != "" else []
        elif not choice.needs or choice.needs & uses:
            number = f"{value:g}" if isinstance(value, float) else written
            phrases[name] = choice.phrase.format(number)
    return phrases, plain


def _settings(run: Mapping[str, object]) -> Mapping[str, Any]:
    """The settings of a run."""
    return _mapping(run, "settings")


def _mapping(held: Mapping[str, object], name: str) -> Mapping[str, Any]:
    """A part of a record, empty where it is none."""
    found = held.get(name)
    return found if isinstance(found, Mapping) else {}
