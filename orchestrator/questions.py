"""Questions of one's own from the command line: what changed, and what goes with what.

The questions are those of analysis/questions; here flags become their arguments, and their answers
tables for people, CSV, LaTeX or JSON.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rich.console import Console
from rich.table import Table

from analysis.storage.redact import redact
from orchestrator import launch, table_width
from studies.flags import Options, flag
from studies.values import number, unknown

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["table", "csv", "latex", "json"]
NONE = "none"
TRUTHS = {"true": True, "false": False}
# Columns that a terminal has no room for; files have all of them.
LONG = ("assumes", "correction", "reading")
# What a terminal shows below the table, each sentence once.
BELOW = {"test": "test", "estimated": "estimate", "note": "note", "correction": "corrected",
         "assumes": "assumes"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Asking(Options):
    """Which rows, and what becomes of the answer."""

    of: Literal["items", "cells", "languages"] = flag(
        "What a row is, such as --of languages: an answer, a cell, or a language with its scores.",
        default="items",
    )
    by: tuple[str, ...] = flag(
        "Columns that split rows into separate questions, such as --by model,benchmark.",
        default=(),
    )
    where: str = flag(
        "Which rows to keep, such as --where \"benchmark == 'xnli'\".", default="", verbatim=True
    )
    steered: bool = flag("Also answers under an intervention.", default=False)
    correction: Literal["holm", "benjamini-hochberg", "none"] = flag(
        "How all p-values of the table are corrected together.", default="holm"
    )
    format: Format = flag("How the answer is written, such as --format csv.", default="table")
    out: Path | None = flag("A file to write the answer to, such as --out answer.csv.")


@dataclass(frozen=True, kw_only=True)
class Comparing(Asking):
    """Two conditions over the same units."""

    value: str | None = flag(
        "The column that is compared.", shown="correct of items, accuracy of others"
    )
    condition: str = flag(
        "The column of the two conditions, such as --condition model.", default="intervention"
    )
    before: str = flag(
        "Its value in the rows compared with, such as --before plain; none for rows without one.",
        default=NONE,
    )
    after: str | None = flag(
        "Its value in the other rows.", shown="every other value, one after another"
    )
    unit: tuple[str, ...] = flag(
        "Columns that name one observation, such as --unit language,item.",
        default=(),
        shown="language and item, language where there are no items",
    )
    tests: tuple[str, ...] = flag(
        "Tests, such as --test paired-t,wilcoxon. Repeatable.",
        "--test",
        default=(),
        shown="clustered-t of items, else paired-t",
        suggested=lambda: _tests(),
    )
    margin: float | None = flag("The margin of --test equivalence, in units of the value.")
    seed: int = flag("Seed of what is drawn.", default=0)


@dataclass(frozen=True, kw_only=True)
class Regressing(Asking):
    """A formula over rows."""

    formula: str | None = flag(
        'What goes with what, such as --formula "correct ~ nasca + fertility + (1 | language)".',
        verbatim=True,
    )
    outcome: Literal["gaussian", "binary"] | None = flag(
        "How the outcome is fitted.", shown="binary where it is 0 or 1"
    )
    errors: Literal["robust", "cluster", "classical"] | None = flag(
        "Standard errors.", shown="as the formula and --cluster ask for"
    )
    cluster: str | None = flag("The column of clusters, such as --cluster language.")
    standardise: bool = flag("Covariates in standard deviations.", default=True)


def compare(runs: Sequence[str], options: Comparing) -> "pd.DataFrame":
    """The answer to a comparison.

    Raises:
        ValueError: as of `analysis.questions.compare`, or rows cannot be read.
    """
    from analysis import questions
    from analysis.questions import rows

    for name in options.tests:
        if name not in _tests():
            raise unknown("test", name, known=_tests())
    steered = options.steered or options.condition in ("intervention", "coefficient", "layer")
    found = rows.rows_of(runs, of=options.of, steered=steered, where=options.where)
    answers = options.of == "items" and "item" in found.columns
    value = options.value or ("correct" if answers else "accuracy")
    unit = options.unit or rows.UNITS["items" if answers else "languages"]
    asked = [options.condition, *unit, value]
    held = found.get(options.condition)
    tests = options.tests or ("clustered-t" if "item" in unit else "paired-t",)
    answer = questions.compare(
        found,
        value,
        condition=options.condition,
        before=_value(options.before, "--before", held=held),
        after=None if options.after is None else _value(options.after, "--after", held=held),
        unit=unit,
        by=options.by or rows.apart(found, without=asked),
        test=tuple(_tests()[name] for name in tests),  # type: ignore[misc]
        margin=options.margin,
        correction=options.correction,
        seed=options.seed,
    )
    return _noted(answer, found.attrs.get("notes", ()))


def regress(runs: Sequence[str], options: Regressing) -> "pd.DataFrame":
    """The answer to a regression.

    Raises:
        ValueError: as of `analysis.questions.regress`, there is no formula, or rows cannot be read.
    """
    from analysis import questions
    from analysis.questions import rows

    if options.formula is None:
        raise ValueError(
            'no formula given: say what goes with what, such as --formula "correct ~ nasca + '
            '(1 | language)"'
        )
    found = rows.rows_of(
        runs, of=options.of, steered=options.steered, where=options.where,
        needed=rows.words(options.formula),
    )  # fmt: skip
    answer = questions.regress(
        found,
        options.formula,
        outcome=options.outcome,
        errors=options.errors,
        cluster=options.cluster,
        by=options.by,
        standardise=options.standardise,
        correction=options.correction,
    )
    named = [*rows.words(options.formula), *options.by, options.cluster or ""]
    together = rows.apart(found, without=named)
    more = [
        f"rows that differ in {', '.join(together)} are fitted together: --by "
        f"{','.join(together)} fits them apart, --where keeps some of them"
    ]
    return _noted(answer, [*found.attrs.get("notes", ()), *(more if together else ())])


def _noted(answer: "pd.DataFrame", notes: Sequence[str]) -> "pd.DataFrame":
    """The answer with what its reader should know of the rows."""
    answer.attrs["notes"] = list(notes)
    return answer


def _tests() -> dict[str, str]:
    """What the tests are called here, without spaces, and there."""
    from analysis.questions.paired_tests import Test

    return {name.replace(" ", "-"): name for name in get_args(Test)}


def show(answer: "pd.DataFrame", options: Asking, *, console: Console) -> None:
    """Print the answer, or write it to a file; what is to be said of its rows is no part of it."""
    for note in answer.attrs.get("notes", ()):
        print(f"note: {redact(note)}", file=sys.stderr)
    if options.out is not None:
        with launch.writing(options.out):
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(_text(answer, _format(options)), encoding="utf-8")
        console.print(f"answer: {options.out} ({len(answer)} rows)", markup=False)
    elif options.format == "table":
        _print(answer, console=console)
    else:
        sys.stdout.write(_text(answer, options.format))


def _format(options: Asking) -> Format:
    """The format of a file: by its name, unless one was asked for."""
    endings: dict[str, Format] = {".tex": "latex", ".json": "json"}
    if options.format != "table" or options.out is None:
        return options.format
    return endings.get(options.out.suffix, "csv")


def _text(answer: "pd.DataFrame", format: Format) -> str:
    """The answer as the text of a file."""
    if format == "json":
        rows = json.loads(answer.to_json(orient="records", double_precision=15))
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    if format == "latex":
        kept = answer[[name for name in answer.columns if name not in LONG]]
        return kept.to_latex(index=False, escape=True, float_format="%.3g", na_rep="--")
    return answer.to_csv(index=False)


def _print(answer: "pd.DataFrame", *, console: Console) -> None:
    """The answer as a table for people, and below it what each test supposes."""
    empty = [name for name in answer.columns if answer[name].isna().all() and name != "estimate"]
    away = {*LONG, *BELOW, *empty, "scale" if "reading" in answer.columns else ""}
    away -= {name for name in ("test", "estimated") if _varies(answer, name)}
    kept = [name for name in answer.columns if name not in away]
    table = Table()
    for name in kept:
        numbers = answer[name].dtype.kind in "if"
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in answer[kept].itertuples(index=False, name=None):
        table.add_row(*map(_cell, row))
    for part in table_width.parts(table, width=console.width):
        console.print(part, markup=False)
    for reading in answer.get("reading", ()):
        if isinstance(reading, str) and reading:
            console.print(reading, markup=False, highlight=False)
    for name, about in BELOW.items():
        for sentence in dict.fromkeys(answer[name]) if name in away & {*answer.columns} else ():
            if not sentence or sentence != sentence:
                continue
            console.print(f"{about}: {sentence}", style="dim", markup=False, highlight=False)


def _varies(answer: "pd.DataFrame", name: str) -> bool:
    """Whether rows differ in a column."""
    return name in answer.columns and answer[name].nunique() > 1


def _cell(value: Any) -> str:
    """A value of the table: four digits, a dash where there is none."""
    if value is None or value != value:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(text: str, name: str, *, held: "pd.Series | None") -> object:
    """A value of a condition as its column holds it; without the column, as it is given.

    Raises:
        ValueError: the column holds numbers and this is no finite one.
    """
    if text == NONE:
        return None
    kind = "O" if held is None else held.dtype.kind
    if kind == "b":
        return TRUTHS.get(text.casefold(), text)
    return number(text, name) if kind in "iuf" else text
