"""The part of a page that lists every language: accuracy, items, chance, scores, ties.

The one idea: one row per language and model, whatever of it exists. It does not know correlations.
"""

import pandas as pd

from analysis import tables
from analysis.figures import heat
from analysis.figures.by_language import CROWDED, accuracy_bars, accuracy_map
from analysis.page import Fold, Part, Picture, Sheet, Text, file_name
from analysis.read import label
from analysis.scores import LEVEL

MODEL = ["model", "revision"]
ONE_SCREEN = 16
FEW_MODELS = 2


def parts(
    scores: pd.DataFrame, *, accuracies: pd.DataFrame, headline: tuple[str, str]
) -> tuple[Part, ...]:
    """A table per model, then accuracies: bars for a model or two, maps of models for more."""
    shown = accuracies[accuracies["main"]]
    sheets = _sheets(scores, shown, headline)
    if len(sheets) <= FEW_MODELS:
        return (*sheets, *_bars(scores, shown))
    maps = _maps(shown)
    fold = (Fold(caption=f"Accuracy by language and model, {len(maps)} figures", parts=maps),)
    return (Text(lines=("A table per model:",)), *sheets, *(fold if maps else ()))


def _sheets(
    scores: pd.DataFrame, accuracies: pd.DataFrame, headline: tuple[str, str]
) -> list[Part]:
    """One table per model."""
    models = pd.concat([scores[MODEL], accuracies[MODEL]]).drop_duplicates()
    found: list[Part] = []
    for model, revision in sorted(models.itertuples(index=False, name=None)):
        name = label(model, revision=revision)
        frame, small = _of_model(_only(scores, model, revision), _only(accuracies, model, revision))
        qualified = _qualifiers(_only(scores, model, revision), headline)
        frame = frame.merge(qualified, on="language", how="left")
        sheet = Sheet(
            name=file_name("languages", name),
            caption=f"{name}: {len(frame)} language{'' if len(frame) == 1 else 's'}",
            frame=frame,
            small=small,
            collapsed=len(frame) > ONE_SCREEN or len(models) > 1,
            on_page=len(frame) <= CROWDED or len(models) <= FEW_MODELS,
        )
        found.append(sheet)
    return found


def _of_model(scores: pd.DataFrame, accuracies: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies and scores of one model side by side, and the intervals under the accuracies."""
    codes = sorted(set(scores["language"]) | set(accuracies["language"]))
    frame, small = pd.DataFrame(index=codes), pd.DataFrame(index=codes)
    several = accuracies.groupby("benchmark")["prompt"].nunique()
    for names, group in accuracies.groupby(["benchmark", "prompt"], sort=True):
        benchmark, prompt = (str(part) for part in names)
        name = f"{benchmark} ({prompt})" if several[benchmark] > 1 else benchmark
        rows = group.set_index("language").reindex(codes)
        frame[f"{name} accuracy"] = rows["accuracy"]
        frame[f"{name} items"] = rows["n"].astype("Int64")
        frame[f"{name} chance"] = rows["chance"]
        small[f"{name} accuracy"] = [
            f"[{low:.2f}, {high:.2f}]" if low == low else ""
            for low, high in zip(rows["low"], rows["high"], strict=True)
        ]
    over_layers = scores[scores["layer_pool"] == "mean"]
    conditions = ["dataset", "pairs", "pivot", "switches"]
    conditions = [name for name in conditions if over_layers[name].nunique() > 1]
    over_layers = tables.in_order(over_layers.assign(benchmark=""))
    for names, group in over_layers.groupby(["measure", "pooling", *conditions], sort=False):
        measure, *rest = (str(name) for name in names)
        values = group.set_index("language")["score"].reindex(codes)
        frame[" ".join([measure.upper(), *rest])] = values
    frame.insert(0, "language", codes)
    return frame.reset_index(drop=True), small.reset_index(drop=True)


def _qualifiers(scores: pd.DataFrame, headline: tuple[str, str]) -> pd.DataFrame:
    """What qualifies the headline score of a language: pairs, ties, and p without information."""
    chosen = scores[(scores["layer_pool"] == "mean") & (scores["measure"] == headline[0])]
    chosen = chosen[chosen["pooling"] == headline[1]]
    found = chosen.groupby("language").agg(
        pairs=("n", "min"), ties=("ties", "sum"), p=("p_null", "min")
    )
    found.columns = ["pairs", f"{headline[0].upper()} ties", f"{headline[0].upper()} best p_null"]
    return found.reset_index()


def _bars(scores: pd.DataFrame, accuracies: pd.DataFrame) -> list[Part]:
    """Accuracy by language, one figure per model, benchmark and prompt."""
    pivots = set(scores["pivot"])
    pivot = pivots.pop() if len(pivots) == 1 else None
    found: list[Part] = []
    several = accuracies.groupby("benchmark")["prompt"].nunique()
    for names, group in accuracies.groupby([*MODEL, "benchmark", "prompt"], sort=True):
        model, revision, benchmark, prompt = (str(part) for part in names)
        name = f"{label(model, revision=revision)}, {benchmark}"
        if several[benchmark] > 1:
            name += f" ({prompt})"
        rows = group.assign(above=(group["p_chance"] < LEVEL) & (group["accuracy"] > group.chance))
        found.append(
            Picture(
                name=file_name("accuracy", name),
                caption=f"{name}: accuracy by language.",
                figure=accuracy_bars(rows, name=name, pivot=pivot),
                size="tall" if len(rows) > CROWDED else "half",
            )
        )
    return found


def _maps(accuracies: pd.DataFrame) -> tuple[Part, ...]:
    """Accuracy by language and model, one figure per benchmark and prompt."""
    found: list[Part] = []
    several = accuracies.groupby("benchmark")["prompt"].nunique()
    scale = heat.ends(accuracies["accuracy"])
    for names, group in tables.with_label(accuracies).groupby(["benchmark", "prompt"], sort=True):
        benchmark, prompt = (str(part) for part in names)
        name = f"{benchmark} ({prompt})" if several[benchmark] > 1 else benchmark
        found.append(
            Picture(
                name=file_name("accuracy", name),
                caption=f"{name}: accuracy by language and model.",
                figure=accuracy_map(group, name=name, scale=scale),
                size="tall" if group["language"].nunique() > CROWDED else "half",
            )
        )
    return tuple(found)


def _only(frame: pd.DataFrame, model: str, revision: str) -> pd.DataFrame:
    """The rows of one model."""
    return frame[(frame["model"] == model) & (frame["revision"] == revision)]
