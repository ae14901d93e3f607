"""What can be named on the command line, a line each, from the tables that declare it."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestrator import recipe
from orchestrator.recipe import first_line
from studies import languages as codes
from studies import miniworld
from studies.addresses import ADDRESSES, TRAIN
from studies.benchmarks import BENCHMARKS
from studies.flags import bound_flags
from studies.kinds.steering import CONTROLS
from studies.measures import MEASURES
from studies.open_prompts import OPEN
from studies.parallel_text import PARALLEL_TEXTS
from studies.recipes import RECIPES
from studies.values import unknown

Lines = Iterator[tuple[str, str]]


def show(what: str | None, *, console: Console) -> None:
    """Print the names of a kind with a line each, or the kinds.

    Raises:
        ValueError: there is no such kind.
    """
    if what is not None and what not in KINDS:
        raise unknown("kind of names", what, known=KINDS)
    lines = _kinds() if what is None else KINDS[what]()
    named = list(lines)
    width = max(len(name) for name, _ in named)
    if not console.is_terminal:
        for name, text in named:
            print(f"{name:<{width}}  {text}".rstrip())
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=width)
    table.add_column(overflow="fold")
    for row in named:
        table.add_row(*map(escape, row))
    console.print(table, highlight=False)


def _kinds() -> Lines:
    for name, lines in KINDS.items():
        yield name, f"{inspect.getdoc(lines)} ({sum(1 for _ in lines())})"


def _recipes() -> Lines:
    """Studies that `babelscope run` knows."""
    for name in RECIPES:
        yield name, recipe.find(name).about


def _parts() -> Lines:
    """Parts of each study, and which tables and figures of its paper they fill."""
    for name, function in RECIPES.items():
        parts = getattr(sys.modules[function.__module__], "PARTS", {})
        yield from ((f"{name} {part}", first_line(make)) for part, make in parts.items())


def _benchmarks() -> Lines:
    """Questions with right answers; harness/TASK names one of lm-evaluation-harness."""
    for name, entry in BENCHMARKS.items():
        if not name.endswith(TRAIN):
            how = "written" if entry.generated else "chosen"
            prompts = ", ".join(OPEN.get(name, entry.prompts))
            yield name, f"answers are {how}; prompts {prompts}; {_place(name)}"


def _parallel() -> Lines:
    """Texts that are the same sentences in all their languages."""
    for name, entry in PARALLEL_TEXTS.items():
        pivot = f"; paired with {entry.pivot} alone" if entry.pivot else ""
        yield name, _place(name) + pivot


def _prompts() -> Lines:
    """Ways to put a question, and the benchmarks that have them."""
    found: dict[str, list[str]] = {}
    for benchmark, entry in BENCHMARKS.items():
        for prompt in OPEN.get(benchmark, entry.prompts):
            if not benchmark.endswith(TRAIN):
                found.setdefault(prompt, []).append(benchmark)
    yield from ((prompt, ", ".join(benchmarks)) for prompt, benchmarks in sorted(found.items()))


def _languages() -> Lines:
    """Languages by their codes."""
    for code in codes.all_codes():
        language = codes.language(code)
        yield code, f"{language.name} ({language.family or 'family unknown'})"


def _measures() -> Lines:
    """Scores of how alike two languages' activations are."""
    for name, measure in MEASURES.items():
        of = f"{measure.score.replace('_', ' ')} of {measure.site} ({measure.state})"
        yield name, f"{of}, from layer {measure.first_layer}, version {measure.version}"


def _switches() -> Lines:
    """Readings that papers leave open: --switch NAME=VALUE; the default comes first."""
    seen = set()
    for name in RECIPES:
        for one in bound_flags(recipe.find(name).options):
            if one.name == "--switch" and one.kind not in seen:
                seen.add(one.kind)
                yield from _of_record(one.kind)


def _of_record(record: type) -> Lines:
    """The fields of a record of switches, as its docstring explains them."""
    text = inspect.getdoc(record) or ""
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    meaning = {name: " ".join(about.split()) for name, about in found}
    for item in fields(record):
        if "flag" not in item.metadata:
            usual = str(item.default).lower() if isinstance(item.default, bool) else item.default
            others = [str(one) for one in get_args(item.type) if one != item.default]
            values = "|".join([str(usual), *others]) or '""'
            yield f"{item.name}={values}", meaning.get(item.name, "")


def _controls() -> Lines:
    """Controls of steering."""
    yield from ((name, "") for name in CONTROLS)


def _models() -> Lines:
    """Models that are embedded; any other is a folder or a hub id."""
    yield from ((name, "") for name in miniworld.MODELS)


KINDS: dict[str, Callable[[], Lines]] = {
    "recipes": _recipes,
    "parts": _parts,
    "benchmarks": _benchmarks,
    "parallel": _parallel,
    "prompts": _prompts,
    "languages": _languages,
    "measures": _measures,
    "switches": _switches,
    "controls": _controls,
    "models": _models,
}


def _place(dataset: str) -> str:
    """How many languages a data set has, and where it lies."""
    place = ADDRESSES.get(dataset)
    if place is None:
        return "in files of yours"
    if place.kind == "embedded":
        return f"{len(miniworld.LANGUAGES)} languages, embedded"
    count = len(codes.known_languages(dataset))
    where = f"in files of yours only, from {place.origin}" if place.kind == "local" else place.id
    return f"{count} languages, {where}"
