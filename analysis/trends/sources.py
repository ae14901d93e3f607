"""Every measure that the rows of a study have, whatever study it is.

What a study reports by language is here as it reports it: accuracies, alignment scores, what
languages share, log ratios, shares and gaps of DALI, gains of CLAS, written texts, and the numbers
of a kind of cell that no page knows. All are from 0 to 1 or in their own units, never percent.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pandas as pd

from analysis.clas import frames as clas
from analysis.dali import frames as dali
from analysis.dali.frames import ALL, TESTED
from analysis.layout.material import Material
from analysis.results import log_ratio, scaled, written
from analysis.results.latent import LATENT, SERIES_OF_MEASURE
from analysis.results.option_alignment import Aligned
from analysis.statistics import gaps
from analysis.statistics.scores import NORMED, SET
from analysis.trends.measured import Measured, by_place, of_items, of_pairs, of_values
from studies.kinds import tables
from studies.tables import Table

Value = TypeVar("Value")
Cell = Aligned | scaled.Cell
Source = Callable[[Material], Iterator[Measured]]
# What languages share is what this study is about; elsewhere it would be computed for nothing.
SHARING = "latent-process"
OWN_PAGES = ("neuronxa", "demo", "dali", "clas", "generate")
SHARED = {"consistency": "consistency", "tr_plus": "transfer", "excess_plus": "excess transfer"}
# Tables that are read here or by a page as what they are: no column of theirs is a measure as such.
KNOWN = (
    *("alignment", "robustness", "points", "items", "lens", "vectors", "generations", "training"),
    *("option_alignment", "patches", "categories", "tuning", "scaled_states", "scaled_points"),
)
OF = ["dataset", "benchmark"]
CONDITIONS = ["pivot", "prompt", "layer", "switches"]
ACCURACY, RATIO = "accuracy", "log ratio"
SHARES = {one: f"{one} share" for one in TESTED}
GAPS = {one: f"{one} gap" for one in TESTED}
HELD_OUT = {one: f"held-out {one}" for one in clas.MAIN}
GAINS = {scheme: f"{one} gain" for scheme, one in clas.METHODS.items()}
WRITTEN = {"f1_mixed": "F1 mixed", "exact": "exact match", "chrf": "chrF of sentences"}
SPOKEN = written.name("in_language")


def measures(material: Material) -> list[Measured]:
    """Every measure of every model of which two states or more were run, on any number of them."""
    return [one for source in SOURCES for one in source(material)]


def names() -> list[str]:
    """Every measure that rows can have, but for those of alignment, which its rows name."""
    ours = (SHARED, SHARES, GAPS, HELD_OUT, GAINS, WRITTEN)
    numbers = (_numbers(table) for name, table in tables().items() if name not in KNOWN)
    found = (one for some in (*(each.values() for each in ours), *numbers) for one in some)
    return list(dict.fromkeys([ACCURACY, RATIO, SPOKEN, *found]))


def accuracies(material: Material) -> Iterator[Measured]:
    """Accuracy of the plain model by item, in the metric of each benchmark.

    An item whose right answer is not the same in all states is another question, and left out.
    """
    items = material.rows.items
    plain = items[items["intervention"].isna()]
    normed = plain["benchmark"].str.rsplit("/").str[-1].isin(NORMED)
    normed &= plain["correct_norm"].notna()
    value = plain["correct_norm"].where(normed, plain["correct"]).astype(float)
    metric = normed.map({True: "acc_norm", False: "acc"})
    asked = [name for name in SET if name not in ("revision", "metric")]
    right = plain.groupby([*asked, "item"])["gold"].transform("nunique")
    rows = plain.assign(value=value, metric=metric, measure=ACCURACY)[right <= 1]
    for place, group in by_place(rows, of="benchmark", conditions=["prompt", "metric"]):
        yield of_items(group, place, value="value", share=True)


def alignment(material: Material) -> Iterator[Measured]:
    """Alignment scores, means over layers, of the main pivot and number of pairs."""
    if material.rows.alignment.empty:
        return
    scores = material.main_scores
    cut = material.alignment.groupby(["model", "revision", "dataset", "language"])["truncated"]
    scores = scores[scores["complete"]].drop(columns="truncated")
    scores = scores.merge(cut.max().reset_index(), how="left")
    for place, group in by_place(scores, of="dataset", conditions=["pooling", "pairs", "switches"]):
        yield of_values(group, place, value="score")


def sharing(material: Material) -> Iterator[Measured]:
    """Consistency of plain answers between languages, and transfer."""
    study = next(iter(material.rows.studies), "")
    if study in OWN_PAGES or not (study == SHARING or material.rows.beside):
        return
    for column, measure in SHARED.items():
        pairs = material.pairs.astype({column: float}).assign(measure=measure)
        for place, group in by_place(pairs, of="benchmark", conditions=["prompt"]):
            yield of_pairs(group, place, value=column)


def ratios(material: Material) -> Iterator[Measured]:
    """The log ratio of native and pivot texts over the middle half of the layers."""
    if not material.rows.beside or material.latent.empty:
        return
    cells = log_ratio.others(material.latent)
    means = log_ratio.over_layers(cells, series=SERIES_OF_MEASURE, columns=[log_ratio.USUAL])
    own = means[(means["measure"] == LATENT) & (means["layers"] == "middle half")]
    own = own.assign(measure=RATIO)
    for place, group in by_place(own, of="benchmark", conditions=["prompt", "pivot", "switches"]):
        yield of_values(group, place, value=log_ratio.USUAL, best=False)


def options(material: Material) -> Iterator[Measured]:
    """DALI: the share of items aligned at the layer that aligns most of them, by rule."""
    rows = []
    for one in _several(material.get(dali.cells).kept, lambda cell: cell):
        for measure in TESTED:
            best = one.best(measure)
            if best is None:
                continue
            kept = one.asked[measure]
            hits = one.aligned[measure][kept, best].astype(float)
            rows.append(
                pd.DataFrame({"item": one.items[kept], "value": hits}).assign(
                    model=one.model, revision=one.revision, language=one.language,
                    benchmark=one.benchmark, pivot=one.pivot, switches=one.switches,
                    measure=SHARES[measure],
                )
            )  # fmt: skip
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    for place, group in by_place(found, of="benchmark", conditions=["pivot", "switches"]):
        yield of_items(group, place, value="value", share=True)


def option_gaps(material: Material) -> Iterator[Measured]:
    """DALI: by how much successes of transfer are more often aligned than failures, at that
    layer."""
    rows = []
    answered = material.get(dali.answered) if material.get(dali.cells).kept else []
    for one in _several(answered, lambda judged: judged.cell):
        for measure in TESTED:
            best = one.cell.best(measure, one.items(ALL))
            if best is None:
                continue
            hits = one.cell.aligned[measure][:, [best]]
            found = gaps.gap(hits, first=one.succeeded, second=one.failed)
            rows.append(
                {name: one.place[name] for name in ("model", "revision", "benchmark", "pivot",
                                                    "prompt", "switches")}
                | {"language": one.cell.language, "measure": GAPS[measure], "gap": found.gap[0]}
            )  # fmt: skip
    frame = pd.DataFrame(rows)
    for place, group in by_place(frame, of="benchmark", conditions=["pivot", "prompt", "switches"]):
        yield of_values(group, place, value="gap")


def rescaled(material: Material) -> Iterator[Measured]:
    """CLAS: the plain model on held-out items, and what rescaling gains in other languages."""
    if not material.rows.beside and material.rows.generations["intervention"].isna().all():
        return
    cells = _several(material.get(clas.cells), lambda cell: cell)
    plain = [
        _items(one, one.values[metric], measure=HELD_OUT[metric])
        for one in cells
        if one.scheme == scaled.PLAIN
        for metric in clas.MAIN
        if metric in one.values
    ]
    gains = [
        _items(after, after.values[metric] - before.values[metric],
               measure=GAINS[after.scheme])
        for before, after in scaled.compared(cells)
        if after.scheme in GAINS and after.language != after.pivot
        for metric in clas.MAIN
        if metric in after.values and metric in before.values
    ]  # fmt: skip
    for parts in (plain, gains):
        found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        for place, group in by_place(
            found, of="benchmark", conditions=["prompt", "pivot", "switches"]
        ):
            counted = set(group["value"].dropna()) <= {0.0, 1.0}
            yield of_items(group, place, value="value", share=parts is plain and counted)


def texts(material: Material) -> Iterator[Measured]:
    """Written texts of the plain model: the score of each, or whether it is in the language."""
    if material.rows.generations.empty:
        return
    found = material.texts
    told = found["written_language"].notna() & ~found["language"].str.startswith("und")
    spoken = found["written_language"].eq(found["language"]).where(told).astype(float)
    scored = found["task"].map(written.OF_ONE)
    rows = found.assign(
        value=found["score"].where(scored.notna(), spoken),
        measure=scored.map(WRITTEN).fillna(SPOKEN),
    )
    conditions = ["task", "pivot", "prompt", "sampling", "engine"]
    for place, group in by_place(rows, of="benchmark", conditions=conditions):
        known = group["value"].dropna()
        if len(known):
            yield of_items(group, place, value="value", share=bool(known.isin([0.0, 1.0]).all()))


def others(material: Material) -> Iterator[Measured]:
    """Means of the numbers of kinds of cells that nothing here knows, by language; none is best."""
    for name, table in tables().items():
        found = material.table(name) if name not in KNOWN else pd.DataFrame()
        if found.empty or not {"model", "revision", "language"} <= set(found):
            continue
        where = [one for one in OF if one in found and found[one].notna().any()]
        of = found[where[0]] if where else name
        conditions = [one for one in CONDITIONS if one in found and found[one].notna().any()]
        for column in _numbers(table):
            keys = ["model", "revision", "of", "language", *conditions]
            means = found.assign(of=of).groupby(keys, sort=True, dropna=False)[column].mean()
            rows = means.dropna().rename("value").reset_index().assign(measure=column)
            for place, group in by_place(rows, of="of", conditions=conditions):
                yield of_values(group, place, value="value", best=False)


def _numbers(table: Table) -> list[str]:
    """The columns of a table that are measures where nothing knows it."""
    return [one for one, kind in table.types.items() if kind == "double"]


def _several(found: Sequence[Value], cell: Callable[[Value], Cell]) -> list[Value]:
    """What is of models with several states; `cell` names the model and the state of each."""
    states: dict[str, set[str]] = {}
    for one in map(cell, found):
        states.setdefault(one.model, set()).add(one.revision)
    return [one for one in found if len(states[cell(one).model]) > 1]


def _items(one: scaled.Cell, values: dali.Floats, *, measure: str) -> pd.DataFrame:
    """A number per item of a cell, with what sets it apart."""
    names = ("model", "revision", "benchmark", "prompt", "pivot", "switches", "language")
    place = {name: getattr(one, name) for name in names}
    return pd.DataFrame({"item": one.items, "value": values}).assign(**place, measure=measure)


SOURCES: tuple[Source, ...] = (
    alignment, accuracies, sharing, ratios, options, option_gaps, rescaled, texts, others,
)  # fmt: skip
