"""Every language of every model: accuracy, items, chance, scores, ties; bars, or maps of models."""

from collections.abc import Iterator
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import bars, heat
from analysis.figures.drawing import CROWDED
from analysis.layout import tables
from analysis.layout.exhibit import folded
from analysis.layout.material import Headline, Material
from analysis.layout.page import Kept, Part, Picture, Sheet, Text, file_name
from analysis.layout.prose import many
from analysis.read import label
from analysis.shared.layers import crowded
from analysis.statistics.scores import CONDITIONS, LEVEL

MODEL = ["model", "revision"]
ONE_SCREEN = 16
FEW_MODELS = 2


def parts(material: Material) -> Iterator[Part | Kept]:
    """A table per model, then accuracies: bars for a model or two, maps of models for more."""
    shown = material.accuracies[material.accuracies["main"]]
    sheets = list(_sheets(material, shown))
    if len(sheets) <= FEW_MODELS:
        yield from sheets
        yield from _bars(material, shown)
        return
    yield Text(lines=("A table per model:",))
    yield from sheets
    maps = list(_maps(shown))
    yield from folded(
        maps, few=0, more="", fold="Accuracy by language and model, {{ count }} figures"
    )


def _sheets(material: Material, shown: pd.DataFrame) -> Iterator[Sheet]:
    """One table per model."""
    scores = material.main_scores
    models = pd.concat([scores[MODEL], shown[MODEL]]).drop_duplicates()
    for model, revision in sorted(models.itertuples(index=False, name=None)):
        own, accuracies = (
            frame[(frame["model"] == model) & (frame["revision"] == revision)]
            for frame in (scores, shown)
        )
        frame, small = _of_model(own, accuracies)
        frame = frame.merge(_qualifiers(own, material.headline), on="language", how="left")
        name = label(model, revision=revision)
        yield Sheet(
            name=file_name("languages", name),
            caption=f"{name}: {many(len(frame), 'language')}",
            frame=frame,
            small=small,
            collapsed=len(frame) > ONE_SCREEN or len(models) > 1,
            on_page=len(frame) <= CROWDED or len(models) <= FEW_MODELS,
        )


def _of_model(scores: pd.DataFrame, accuracies: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies and scores of one model side by side, and the intervals under the accuracies."""
    codes = sorted(set(scores["language"]) | set(accuracies["language"]))
    frame, small = pd.DataFrame(index=codes), pd.DataFrame(index=codes)
    for name, group in _by_benchmark(accuracies, accuracies):
        rows = group.set_index("language").reindex(codes)
        frame[f"{name} accuracy"] = rows["accuracy"]
        frame[f"{name} items"] = rows["n"].astype("Int64")
        frame[f"{name} chance"] = rows["chance"]
        small[f"{name} accuracy"] = [
            f"[{low:.2f}, {high:.2f}]" if low == low else ""
            for low, high in zip(rows["low"], rows["high"], strict=True)
        ]
    over_layers = scores[scores["layer_pool"] == "mean"]
    conditions = [name for name in CONDITIONS if over_layers[name].nunique() > 1]
    over_layers = tables.in_order(over_layers.assign(benchmark=""))
    for names, group in over_layers.groupby(["measure", "pooling", *conditions], sort=False):
        measure, *rest = (str(name) for name in names)
        values = group.set_index("language")["score"].reindex(codes)
        frame[" ".join([measure.upper(), *rest])] = values
    frame.insert(0, "language", codes)
    return frame.reset_index(drop=True), small.reset_index(drop=True)


def _qualifiers(scores: pd.DataFrame, headline: Headline) -> pd.DataFrame:
    """Pairs, ties, and p without information, of the headline score of a language."""
    chosen = scores[(scores["layer_pool"] == "mean") & (scores["measure"] == headline.measure)]
    chosen = chosen[chosen["pooling"] == headline.pooling]
    found = chosen.groupby("language").agg(
        pairs=("n", "min"), ties=("ties", "sum"), p=("p_null", "min")
    )
    measure = headline.measure.upper()
    found.columns = ["pairs", f"{measure} ties", f"{measure} best p_null"]
    return found.reset_index()


def _by_benchmark(frame: pd.DataFrame, every: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each benchmark, and of each prompt where `every` has several of it."""
    several = every.groupby("benchmark")["prompt"].nunique()
    for names, group in frame.groupby(["benchmark", "prompt"], sort=True):
        benchmark, prompt = (str(part) for part in names)
        yield f"{benchmark} ({prompt})" if several[benchmark] > 1 else benchmark, group


def _bars(material: Material, shown: pd.DataFrame) -> Iterator[Part]:
    """Accuracy by language, one figure per model, benchmark and prompt."""
    pivots = set(material.main_scores["pivot"])
    pivot = pivots.pop() if len(pivots) == 1 else None
    for (model, revision), own in shown.groupby(MODEL, sort=True):
        for benchmark, group in _by_benchmark(own, shown):
            name = f"{label(str(model), revision=str(revision))}, {benchmark}"
            yield Picture(
                name=file_name("accuracy", name),
                caption=f"{name}: accuracy by language.",
                draw=partial(draw_bars, group, name=name, pivot=pivot),
                size="tall" if len(group) > CROWDED else "half",
            )


def draw_bars(rows: pd.DataFrame, *, name: str, pivot: str | None = None) -> Figure:
    """Accuracy by language with Wilson's interval and chance; grey where chance explains it.

    Rows need language, accuracy, low, high, chance and p_chance.
    """
    clear = (rows["p_chance"] < LEVEL) & (rows["accuracy"] > rows["chance"])
    labels = [f"{code} (pivot)" if code == pivot else code for code in rows["language"]]
    counted = f"{int(clear.sum())} of {many(len(rows), 'language')}"
    return bars.bars(
        rows.assign(value=rows["accuracy"], label=labels, clear=clear), name=name,
        seen=f"above chance (binomial p < .05) in {counted} (blue)",
        x="accuracy (share of items correct), 95 % interval; dashed: chance",
        level=float(rows["chance"].mean()),
    )  # fmt: skip


def _maps(shown: pd.DataFrame) -> Iterator[Part]:
    """Accuracy by language and model, one figure per benchmark and prompt."""
    scale = heat.ends(shown["accuracy"])
    for name, group in _by_benchmark(tables.with_label(shown), shown):
        yield Picture(
            name=file_name("accuracy", name),
            caption=f"{name}: accuracy by language and model.",
            draw=partial(draw_map, group, name=name, scale=scale),
            size=crowded(group),
        )


def draw_map(rows: pd.DataFrame, *, name: str, scale: tuple[float, float]) -> Figure:
    """Language by model, the best language on top; rows need label, language and accuracy."""
    grid = heat.best_first(rows, columns="label", values="accuracy")
    return heat.heat(
        grid, name=name, seen=f"{many(len(grid), 'language')}, best on top", x="",
        bar="accuracy (share of items correct)", scale=scale,
    )  # fmt: skip
