"""Runs as tidy frames: one row per answer, per cell, or per language, every answer once.

Several runs are one frame. What its reader should know (answers left out, two names of one model)
is in `attrs["notes"]`. Texts are categories, so that millions of rows take little memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from analysis import read
from analysis.questions.answered import Answered, Numbers, answered
from analysis.questions.covariates import COVARIATES, note, with_languages
from analysis.statistics import scores
from analysis.statistics.intervals import wilson

Runs = Path | str | Sequence[Path | str]
Column = Literal["correct", "correct_norm", "prediction", "gold", "options", "margin", "truncated"]
Kind = Literal["answers", "alignment"]
Pool = Literal["mean", "max"]
CELL = ["model", "revision", "benchmark", "language", "prompt", "intervention", "layer"]
CELL += ["coefficient", "seed", "pivot", "switches"]
TASK = ["model", "revision", "benchmark", "prompt", "metric"]
SERIES = ["model", "revision", *scores.CONDITIONS, "pooling"]
ACCURACY = ["n", "accuracy", "low", "high", "chance", "p_chance", "truncated"]


def items(
    runs: Runs,
    *,
    steered: bool = False,
    columns: Sequence[Column] = ("correct", "prediction", "gold", "options", "margin"),
) -> pd.DataFrame:
    """One row per model, benchmark, language, prompt, intervention with its setting, and item.

    Args:
        runs: a run or several: folders or s3:// addresses.
        steered: also the answers under an intervention, which are many: ten million rows in the
            columns `correct` alone take about half a gigabyte.
        columns: what to keep of an answer: `correct` (0 or 1), `correct_norm` (the same by the
            log-probability per character), `prediction` and `gold` (options from 0), `options`
            (their number), `margin` (the score of the right option less the highest of the others,
            in nats or as the prompt scores; missing without scores or with one option), and
            `truncated` (whether the context was cut).

    Returns:
        `model`, `revision`, `benchmark`, `language`, `prompt`, `intervention` (missing for the
        unchanged model, as are the next), `layer`, `coefficient`, `seed`, `pivot`, `switches`,
        `item`, the columns asked for, and `family`, `branch`, `script`, `resource` of the language.

    Raises:
        ValueError: there is no run or no answer in it, a shard is damaged, or a column is unknown.

    Example:
        items("runs/first").groupby(["model", "language"])["correct"].mean()
    """
    _check(columns, known=get_args(Column), what="column")
    found = _answers(runs, columns=columns, steered=steered)
    cells = _with_covariates(found)
    frame = pd.DataFrame(
        {name: cells[name].array.take(found.cell) for name in CELL}
        | {"item": pd.Categorical.from_codes(found.item, categories=pd.Index(found.names))}
        | {name: _values(found, name) for name in columns}
        | {name: cells[name].array.take(found.cell) for name in COVARIATES},
        copy=False,
    )
    frame.attrs = dict(cells.attrs)
    if "margin" in columns and (lost := int(frame["margin"].isna().sum())):
        note(
            frame, f"{lost} answers have no margin: their scores are unknown, or one option is all"
        )
    return frame


def cells(runs: Runs, *, kind: Kind = "answers", steered: bool = True) -> pd.DataFrame:
    """One row per cell: an accuracy, or a score of alignment.

    Args:
        runs: a run or several: folders or s3:// addresses.
        kind: `answers` for cells of answers, `alignment` for the scores of every layer.
        steered: of `answers`, also those under an intervention.

    Returns:
        Of `answers`: the coordinates as in `items`, `n` answers, `accuracy` with Wilson's 95 %
        interval `low`, `high`, `accuracy_norm` (by the log-probability per character, missing where
        it was not kept), `chance` (the mean of 1 / options) and `truncated`, how many contexts were
        cut. Of `alignment`: `model`, `revision`, `dataset`, `language`, `pivot`, `pairs`,
        `switches`, `measure`, `pooling`, `layer`, `n` pairs, `score`, and `fertility`, tokens of
        the language's texts per token of the pivot's. Both with the language's covariates.

    Raises:
        ValueError: there is no run or no such cell in it, a shard is damaged, or the kind is
            unknown.

    Example:
        cells("runs/first", kind="alignment").query("measure == 'nasca' and pooling == 'weighted'")
    """
    _check([kind], known=get_args(Kind), what="kind of cells")
    if kind == "alignment":
        return _alignment(runs)
    kept: tuple[Column, ...] = ("correct", "correct_norm", "options", "truncated")
    found = _answers(runs, columns=kept, steered=steered)
    frame = _with_covariates(found)
    count = len(frame)
    hits, n = _sums(found, "correct", count)
    norm, normed = _sums(found, "correct_norm", count)
    options = found.columns["options"]
    guessed = np.divide(1.0, options, out=np.zeros(len(options)), where=options > 0)
    chances = np.bincount(found.cell, guessed, minlength=count)
    known = np.bincount(found.cell, options > 0, minlength=count)
    low, high = wilson(hits, n=n)
    with np.errstate(invalid="ignore"):
        numbers = {
            "n": n.astype(int),
            "accuracy": hits / n,
            "low": low,
            "high": high,
            "accuracy_norm": norm / normed,
            "chance": chances / known,
            "truncated": _sums(found, "truncated", count)[0].astype(int),
        }
    return frame[CELL].assign(**numbers, **{name: frame[name] for name in COVARIATES})


def languages(runs: Runs, *, layer_pool: Pool = "mean") -> pd.DataFrame:
    """One row per model, benchmark, prompt, language, and condition of alignment.

    Args:
        runs: a run or several: folders or s3:// addresses.
        layer_pool: whether a score is the mean or the maximum over layers.

    Returns:
        `model`, `revision`, `benchmark`, `prompt`, `metric` (`acc`, or `acc_norm` where that is the
        one to show), `language`; `n`, `accuracy` with Wilson's `low` and `high`, `chance`,
        `p_chance`, `truncated` of the plain model's answers; where there is alignment `dataset`,
        `pairs`, `pivot`, `switches`, `pooling`, `layer_pool`, a column for every measure with its
        score (`nasca`, `mexa`, ...), and `fertility`, tokens of the language's texts per token of
        the pivot's; `family`, `branch`, `script`, `resource`; and `note`, which says what is
        missing in the row and why. A score over an incomplete set of layers is left out.

    Raises:
        ValueError: there is no run, or neither answers nor alignment in it, or a shard is damaged.

    Example:
        correlate(languages("runs/first"), "nasca", "accuracy", by=("model", "pooling"))
    """
    _check([layer_pool], known=get_args(Pool), what="pool of layers")
    runs, _, notes = read.named(_several(runs))
    kept = ("correct", "correct_norm", "options", "truncated")
    found = answered(runs, columns=kept, steered=False)
    alignment = scores.with_short_switches(read.alignment(runs, notes=notes))
    if found.cells.empty and alignment.empty:
        raise ValueError(f"{_named(runs)} holds neither answers nor alignment: name another run")
    frame = _joined(_accuracies(found), _pooled(alignment, layer_pool=layer_pool))
    frame = with_languages(frame)
    frame["note"] = frame.pop("note")
    note(frame, *found.notes, *notes)
    return frame


def _answers(runs: Runs, *, columns: Sequence[Column], steered: bool) -> Answered:
    """The answers of runs that have any."""
    named = _several(runs)
    found = answered(named, columns=columns, steered=steered)
    if found.cells.empty:
        others = "" if steered else " of the plain model"
        raise ValueError(
            f"{_named(named)} holds no answers{others} to questions with options: name a run that "
            "does"
        )
    return found


def _several(runs: Runs) -> Sequence[Path | str]:
    """One run or several as several."""
    return [runs] if isinstance(runs, str | Path) else list(runs)


def _named(runs: Sequence[Path | str]) -> str:
    """The runs in a sentence."""
    return read.listed([str(run) for run in runs])


def _check(given: Sequence[str], *, known: Sequence[str], what: str) -> None:
    """Refuse what is not known by name."""
    for name in given:
        if name not in known:
            raise ValueError(f"no {what} is called {name!r}; choose among {', '.join(known)}")


def _with_covariates(found: Answered) -> pd.DataFrame:
    """The cells with whole numbers as such, covariates, and the notes."""
    frame = with_languages(found.cells.astype({"layer": "Int16", "seed": "Int32"}))
    note(frame, *found.notes)
    return frame


def _values(found: Answered, name: str) -> Numbers | pd.Series:
    """A column of answers; what is missing is so."""
    values = found.columns[name]
    if name == "margin" or not (values < 0).any():
        return values
    column = pd.Series(values, dtype="Int8" if values.dtype == np.int8 else "Int16")
    return column.mask(values < 0)


def _sums(found: Answered, name: str, cells: int) -> tuple[Numbers, Numbers]:
    """By cell the sum of a truth, and in how many answers it is known."""
    values = found.columns[name]
    true = np.bincount(found.cell, values == 1, minlength=cells)
    return true, np.bincount(found.cell, values >= 0, minlength=cells)


def _alignment(runs: Runs) -> pd.DataFrame:
    """The scores of every layer."""
    named, _, notes = read.named(_several(runs))
    frame = read.alignment(named, notes=notes)
    if frame.empty:
        raise ValueError(f"{_named(named)} holds no scores of alignment: name a run that does")
    frame = frame.assign(score=frame["value"], fertility=scores.fertility(frame))
    places = [*SERIES[:-1], "measure", "pooling", "layer", "language"]
    frame = with_languages(frame[[*places, "n", "score", "fertility"]])
    if lost := int(frame["score"].isna().sum()):
        note(frame, f"{lost} scores are not defined, as a side of theirs does not vary")
    note(frame, *notes)
    return frame


def _accuracies(found: Answered) -> pd.DataFrame:
    """The accuracies to show, by `scores.accuracies`."""
    if found.cells.empty:
        return pd.DataFrame(columns=[*TASK, "language", *ACCURACY])
    rows = pd.DataFrame(
        {name: found.cells[name].array.take(found.cell) for name in (*TASK[:4], "language")}
        | {name: _values(found, name) for name in found.columns},
        copy=False,
    ).assign(intervention=None)
    every = scores.accuracies(rows)
    texts = [*TASK, "language"]
    shown = every.loc[every["main"], [*texts, *ACCURACY]]
    return shown.astype(dict.fromkeys(texts, "str")).reset_index(drop=True)


def _pooled(alignment: pd.DataFrame, *, layer_pool: Pool) -> pd.DataFrame:
    """One row per series and language with a column for every measure; `note` says what lacks."""
    every = scores.by_language(alignment)
    own = every[every["layer_pool"] == layer_pool]
    places = [*SERIES, "layer_pool", "language"]
    wide = own.assign(score=own["score"].where(own["complete"]))
    wide = wide.pivot(index=places, columns="measure", values="score")
    lost = own[~own["complete"]].assign(
        said=lambda rows: rows["measure"] + " is not defined in every layer"
    )
    said = lost.groupby(places)["said"].agg("; ".join)
    fertility = own.assign(fertility=scores.fertility(own)).groupby(places)["fertility"].first()
    found = wide.assign(fertility=fertility, note=said.reindex(wide.index).fillna(""))
    return found.rename_axis(columns=None).reset_index()


def _joined(accuracies: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """Accuracies and scores side by side, every task of a model in every series of its scores."""
    if pooled.empty:
        return accuracies.assign(note="")
    if accuracies.empty:
        return pooled
    model = ["model", "revision"]
    tasks, series = accuracies[TASK].drop_duplicates(), pooled[SERIES].drop_duplicates()
    spoken = pd.concat([frame[[*model, "language"]] for frame in (accuracies, pooled)])
    grid = tasks.merge(series, on=model, how="outer").merge(spoken.drop_duplicates(), on=model)
    frame = grid.merge(accuracies, on=[*TASK, "language"], how="left")
    frame = frame.merge(pooled, on=[*SERIES, "language"], how="left")
    frame = frame[frame["accuracy"].notna() | frame["layer_pool"].notna()]
    reasons = {
        "no answers": frame["accuracy"].isna(),
        "it is the pivot of the scores": frame["language"] == frame["pivot"],
        "no scores": frame["layer_pool"].isna() & (frame["language"] != frame["pivot"]),
    }
    said = frame["note"].fillna("")
    for reason, holds in reasons.items():
        said = said.where(~holds, said.where(said == "", said + "; ") + reason)
    first = [*TASK, "language", *ACCURACY]
    rest = [name for name in frame.columns if name not in first]
    return frame.assign(note=said)[[*first, *rest]].reset_index(drop=True)
