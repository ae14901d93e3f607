"""Every language of every model: accuracy, items, chance, scores, ties; bars, or maps of models."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import bars, heat
from analysis.figures.drawing import CROWDED
from analysis.layout import tables
from analysis.layout.exhibit import Note, Plot, Series, Show
from analysis.layout.material import Headline, Material
from analysis.layout.page import Part, Sheet, file_name
from analysis.layout.prose import line, many
from analysis.read import label
from analysis.shared.layers import crowded
from analysis.statistics.scores import CONDITIONS, LEVEL

MODEL = ["model", "revision"]
ONE_SCREEN = 16
FEW_MODELS = 2
LANGUAGES = "{{ name }}: {{ count | many('language') }}"


def _shown(material: Material) -> pd.DataFrame:
    """The accuracies to show."""
    return material.accuracies[material.accuracies["main"]]


def _models(material: Material) -> list[tuple[str, str]]:
    """Every model and revision with scores or accuracies."""
    both = pd.concat([material.main_scores[MODEL], material.get(_shown)[MODEL]])
    return sorted(both.drop_duplicates().itertuples(index=False, name=None))


def _few(material: Material) -> bool:
    """Whether every model has its own figures."""
    return len(material.get(_models)) <= FEW_MODELS


def _sheets(material: Material) -> Iterator[Part]:
    """One table per model."""
    for model, revision in material.get(_models):
        own, accuracies = (
            frame[(frame["model"] == model) & (frame["revision"] == revision)]
            for frame in (material.main_scores, material.get(_shown))
        )
        frame, small = _of_model(own, accuracies)
        frame = frame.merge(_qualifiers(own, material.headline), on="language", how="left")
        name = label(model, revision=revision)
        yield Sheet(
            name=file_name("languages", name),
            caption=line(LANGUAGES, name=name, count=len(frame)),
            frame=frame,
            small=small,
            collapsed=len(frame) > ONE_SCREEN or len(material.get(_models)) > 1,
            of={"model": model, "revision": revision},
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
    conditions = tables.several(over_layers, CONDITIONS)
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


def _by_model(material: Material, shown: pd.DataFrame) -> Series:
    """Every model's accuracies by benchmark, where models are few."""
    if material.get(_few):
        for (model, revision), own in shown.groupby(MODEL, sort=True):
            for benchmark, group in _by_benchmark(own, shown):
                yield f"{label(str(model), revision=str(revision))}, {benchmark}", group


def _of_all(material: Material, shown: pd.DataFrame) -> Series:
    """The accuracies of all models by benchmark, where models are many."""
    if not material.get(_few):
        yield from _by_benchmark(tables.with_label(shown), shown)


def draw_bars(material: Material, rows: pd.DataFrame, name: str) -> Figure:
    """Accuracy by language with Wilson's interval and chance; grey where chance explains it.

    Rows need language, accuracy, low, high, chance and p_chance. The pivot is named where all
    scores have the same.
    """
    pivots = set(material.main_scores["pivot"])
    pivot = pivots.pop() if len(pivots) == 1 else None
    clear = (rows["p_chance"] < LEVEL) & (rows["accuracy"] > rows["chance"])
    labels = [f"{code} (pivot)" if code == pivot else code for code in rows["language"]]
    counted = f"{int(clear.sum())} of {many(len(rows), 'language')}"
    return bars.bars(
        rows.assign(value=rows["accuracy"], label=labels, clear=clear), name=name,
        seen=f"above chance (binomial p < .05) in {counted} (blue)",
        x="accuracy (share of items correct), 95 % interval; dashed: chance",
        level=float(rows["chance"].mean()),
    )  # fmt: skip


def draw_map(material: Material, rows: pd.DataFrame, name: str) -> Figure:
    """Language by model, the best language on top; rows need label, language and accuracy."""
    scale = heat.ends(material.get(_shown)["accuracy"])
    grid = heat.best_first(rows, columns="label", values="accuracy")
    return heat.heat(
        grid, name=name, seen=f"{many(len(grid), 'language')}, best on top", x="",
        bar="accuracy (share of items correct)", scale=scale,
    )  # fmt: skip


PARTS: tuple[Show, ...] = (
    Note(
        text="One table per model:",
        facts=lambda material: None if material.get(_few) else {},
    ),
    _sheets,
    Plot(
        name="accuracy", fill=_shown, by=_by_model, draw=draw_bars, few=10**9,
        caption="{{ said }}: accuracy by language.",
        size=lambda rows: "tall" if len(rows) > CROWDED else "half",
    ),
    Plot(
        name="accuracy", fill=_shown, by=_of_all, draw=draw_map, size=crowded, few=0,
        caption="{{ said }}: accuracy by language and model.",
        fold="Accuracy by language and model, {{ count }} figures",
    ),
)  # fmt: skip
