"""The page of the study `generate`: what models write, scored, and how it is written.

A benchmark is one comparison: its scores by language, its figure, how it is written and examples of
it stand together, and every number says which engine wrote what it is of.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import forest
from analysis.figures.drawing import CROWDED, SERIES
from analysis.layout.exhibit import Note, Show, StudyPage, Table, Topic
from analysis.layout.material import Material
from analysis.layout.page import Heading, Main, Part, Picture, Sheet, file_name
from analysis.layout.prose import Block, interval, line, number, say
from analysis.layout.tables import with_label
from analysis.results import written
from analysis.results.written import name
from analysis.shared import quality
from analysis.shared.written_facts import facts, writers

EXAMPLES, EMPTY_EXAMPLES = 10, 2
LONGEST_EXAMPLE = 240
MEAN = "mean"
MARKERS = "osD^v"
text = partial(Block, "generate.jinja")


class Benchmark(NamedTuple):
    """One benchmark and task: its texts, and their metrics with `series` and `place`."""

    name: str
    task: str
    texts: pd.DataFrame
    found: pd.DataFrame

    def file(self, *rest: str) -> str:
        """The name of one of its files."""
        return file_name(self.name, self.task, *rest)


def benchmarks(material: Material) -> list[Benchmark]:
    """Every benchmark and task, with names for what is compared."""
    texts, found = material.texts, material.written
    every = []
    for benchmark, task in sorted(set(zip(texts["benchmark"], texts["task"], strict=True))):
        own, scored = (
            frame[(frame["benchmark"] == benchmark) & (frame["task"] == task)]
            for frame in (texts, found)
        )
        scored = written.with_series(written.with_places(scored))
        places = scored["language"].astype(str)
        if scored["pivot_text"].nunique() > 1:
            places = scored["pivot_text"] + " > " + places
        every.append(Benchmark(str(benchmark), str(task), own, scored.assign(place=places)))
    return every


def _topics(material: Material) -> Sequence[Topic]:
    """A section per benchmark, named with its task where it has several; then how it was drawn."""
    every = benchmarks(material)
    names = [one.name for one in every]
    found = [
        Topic(
            title=f"{one.name}, {one.task}" if names.count(one.name) > 1 else one.name,
            parts=_parts(one),
        )
        for one in every
    ]
    checks = Topic(
        title="How texts were drawn, and what failed",
        parts=(*quality.FAILURES, quality.checked(()), SAMPLING),
    )
    return (*found, checks)


def _parts(one: Benchmark) -> tuple[Show, ...]:
    """Scores by language, their figure, how it is written, and examples."""
    metrics = written.METRICS[one.task]
    held = [metric for metric in metrics if one.found.query("metric == @metric")["value"].any()]
    nothing = [name(metric) for metric in metrics if metric not in held]
    there = set(one.found["metric"])
    told = one.found[(one.found["metric"] == "in_language") & one.found["value"].notna()]
    drawn = held[:1] or (["in_language"] if len(told) and not metrics else [])
    scores = [
        _scores(one, shown)
        for metric in metrics
        for shown in (metric, f"{metric}{written.ANY}")
        if shown == metric or shown in there
    ]
    pictures = [_picture(one, metric) for metric in drawn]
    heading = Heading(text=line(text("writing_title")))
    parts: list[Part] = [*scores, *pictures, heading, _writing(one), _examples(one)]
    return (
        Note(text=text("scope"), facts=lambda _: _scope(one.texts)),
        Note(
            text=text("nothing"), warning=True,
            facts=lambda _: {"metrics": nothing} if nothing and one.task != "text" else None,
        ),
        lambda _: parts,
    )  # fmt: skip


def _scope(texts: pd.DataFrame) -> dict[str, object]:
    """What was asked in one benchmark."""
    return {
        "items": texts.groupby("language")["item"].nunique(),
        "languages": texts["language"].nunique(),
        "pivots": sorted(set(texts["pivot"].dropna())),
        "prompts": sorted(set(texts["prompt"])),
        "drawn": sorted(set(texts["sampling"])),
        "writers": writers(texts),
    }


def _scores(one: Benchmark, metric: str) -> Sheet:
    """Languages down, models across, intervals below; the mean over languages first."""
    decimals = 1 if metric in written.METRICS["translation"] else 3
    own = one.found[one.found["metric"] == metric]
    ends = [
        interval(low, high, f".{decimals}f")
        for low, high in zip(own["low"], own["high"], strict=True)
    ]
    wide = own.pivot(index="place", columns="series", values="value")
    small = own.assign(small=ends).pivot(index="place", columns="series", values="small").fillna("")
    means = written.with_series(written.over_languages(own)).set_index("series")
    means = means.reindex(wide.columns)
    below = means["languages"].map(lambda of: f"over {int(of)}" if of == of else "")
    frame = pd.concat([means["value"].astype(float).to_frame(MEAN).T, wide])
    kinds = own.groupby("tokenizer")["language"].agg(lambda codes: sorted(set(codes)))
    return Sheet(
        name=one.file(metric),
        caption=line(
            text("scores"), metric=name(metric), common=bool(means["common"].all()),
            tokenizers=kinds.to_dict() if metric == "BLEU" else {}, writers=writers(own),
        ),
        frame=frame.rename_axis(columns=None).reset_index(names="language"),
        small=pd.concat([below.to_frame(MEAN).T, small]).reset_index(drop=True),
        decimals=decimals,
        of={"benchmark": one.name, "task": one.task},
    )  # fmt: skip


def _picture(one: Benchmark, metric: str) -> Picture:
    """The first score by language."""
    own = one.found[one.found["metric"] == metric]
    most = 100.0 if metric in written.METRICS["translation"] else 1.0
    return Picture(
        name=one.file("figure"),
        caption=line(text("figure"), metric=name(metric), benchmark=one.name),
        draw=partial(
            draw_scores, own, name=f"{one.name}: {name(metric)}", metric=name(metric), most=most
        ),
        numbers=own,
        size="tall" if own["place"].nunique() > CROWDED else "half",
    )


def draw_scores(rows: pd.DataFrame, *, name: str, metric: str, most: float) -> Figure:
    """A score by language with its 95 % interval, best language on top, a colour for each model.

    Args:
        rows: `place` (the language, or the pair), `series`, `value`, `low`, `high`.
        name: what is scored.
        metric: the score's name, for the axis.
        most: the highest value possible.
    """
    known = rows.dropna(subset="value")
    order = known.groupby("place")["value"].mean().sort_values(ascending=False, kind="stable")
    heights = {place: float(height) for height, place in enumerate(order.index)}
    series = sorted(set(known["series"]))
    found, key = [], {}
    for shift, (count, one) in zip(forest.spread(len(series)), enumerate(series), strict=True):
        look = (SERIES[count % len(SERIES)], MARKERS[count % len(MARKERS)])
        key[one] = look
        found += [
            forest.Interval(heights[row["place"]] + shift, row["value"], row["low"], row["high"],
                            *look)
            for row in known[known["series"] == one].to_dict("records")
        ]  # fmt: skip
    best, worst = (f"{order.index[at]} ({order.iloc[at]:.3g})" for at in (0, -1))
    seen = f"on average best {best}, worst {worst}"
    if len(order) < 2:
        seen = f"{order.index[0]}: {order.iloc[0]:.3g}"
    highest = float(known["high"].max())
    right = min(most * 1.02, max(most / 10, 1.1 * highest)) if highest == highest else most * 1.02
    return forest.forest(
        found, [forest.Row(height, str(place)) for place, height in heights.items()], name=name,
        seen=seen, x=f"{metric}, 95 % interval over items", limits=(0.0, right), key=key,
        codes=True,
    )  # fmt: skip


def _writing(one: Benchmark) -> Sheet:
    """Language, script, repetition and ends beside the first score."""
    shown = list(written.METRICS[one.task][:1]) + list(written.WRITING)
    index = ["series", "place"]
    values, texts = (
        one.found.pivot_table(index=index, columns="metric", values=column, dropna=False)
        for column in ("value", "texts")
    )
    frame = values.reindex(columns=shown).dropna(how="all")
    told = texts.reindex(columns=["in_language", "in_script"]).reindex(frame.index).fillna(0)
    small = told.map(lambda count: f"of {int(count)}").reset_index(drop=True)
    frame = frame.rename_axis(columns=None).reset_index().rename(columns={"place": "language"})
    return Sheet(
        name=one.file("writing"),
        caption=line(text("writing")),
        frame=frame.dropna(axis="columns", how="all"),
        heads={"series": "model", "truncated": "prompts cut", "stopped": "ended by itself"}
        | {metric: name(metric) for metric in written.NAMES},
        small=small,
        of={"benchmark": one.name, "task": one.task},
    )


def _examples(one: Benchmark) -> Sheet:
    """Ten texts: empty ones, then best and worst in turn; equals in an order drawn by their ids."""
    place = one.texts[["model", "revision", "engine", "language", "item", "sample"]].astype(str)
    drawn = place.agg("/".join, axis="columns").map(lambda ids: sha256(ids.encode()).hexdigest())
    ordered = one.texts.assign(drawn=drawn).sort_values("drawn")
    empty = ordered[ordered["empty"]].head(EMPTY_EXAMPLES).assign(example="empty")
    full = ordered[~ordered["empty"]]
    half = (EXAMPLES - len(empty) + 1) // 2
    if full["score"].isna().all():
        chosen = full.head(EXAMPLES - len(empty)).assign(example="any")
    else:
        full = full.dropna(subset="score")
        best = full.sort_values("score", ascending=False, kind="stable").head(half)
        rest = full.drop(best.index).sort_values("score", kind="stable")
        worst = rest.head(EXAMPLES - len(empty) - len(best))
        chosen = pd.concat([best.assign(example="best"), worst.assign(example="worst")])
    shown = with_label(pd.concat([chosen, empty]))
    frame = pd.DataFrame(
        {
            "example": shown["example"],
            "model": shown["label"],
            "engine": shown["engine"],
            "language": shown["language"],
            "item": shown["item"],
            "score": shown["score"],
            "text": shown["output"].fillna("").map(_cut),
            "answer": shown["answer"] if one.task == "number" else None,
            "right": shown["references"].map(_right),
            "source": shown["source"].map(_cut, na_action="ignore"),
        }
    ).reset_index(drop=True)
    score = written.OF_ONE.get(one.task)
    return Sheet(
        name=one.file("examples"),
        caption=line(text("examples"), count=len(frame), score=score),
        frame=frame.dropna(axis="columns", how="all"),
        collapsed=True,
        of={"benchmark": one.name, "task": one.task},
    )


def _cut(text: str) -> str:
    """A text short enough for a table."""
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]} [...]"


def _right(references: object) -> str | None:
    """The first text that counts as right."""
    held = [] if references is None else list(references)  # type: ignore[call-overload]
    return _cut(str(held[0])) if held else None


def _settings(material: Material) -> pd.DataFrame:
    """How tokens are drawn and where texts end, by benchmark, prompt and engine."""
    texts = material.texts
    if texts.empty:
        return texts
    groups = ["benchmark", "task", "prompt", "sampling", "engine"]
    once = texts.drop_duplicates([*groups, "settings"])
    ends = [json.loads(text) if isinstance(text, str) else {} for text in once["settings"]]
    longest = [end.get("max_new_tokens") for end in ends]
    stops = [json.dumps(end["stop"], ensure_ascii=False) if end else None for end in ends]
    once = once.assign(
        longest=pd.Series(longest, once.index, dtype=object),
        stop=pd.Series(stops, once.index, dtype=object),
    )
    joined: Callable[[pd.Series], str] = lambda column: ", ".join(sorted(set(column.dropna())))  # noqa: E731
    frame = (
        once.groupby(groups, sort=True, dropna=False)
        .agg(fewest=("longest", "min"), most=("longest", "max"), stop=("stop", joined))
        .reset_index()
    )
    for column in ("fewest", "most"):
        frame[column] = frame[column].astype("Int64").astype(object)
    counted = texts.groupby(groups, sort=True, dropna=False).size().rename("texts").reset_index()
    return frame.merge(counted, on=groups)


SAMPLING = Table(
    name="sampling",
    fill=_settings,
    caption=text("sampling"),
    heads={"fewest": "token limit, lowest", "most": "token limit, highest"},
)


def main(material: Material) -> Main | None:
    """The first score of every benchmark, mean over languages, by model and what wrote it."""
    texts, found = material.texts, material.written
    if texts.empty:
        return None
    prompts = texts.groupby("benchmark")["prompt"].nunique()
    columns = ["label", "engine", "sampling"]
    series = with_label(texts[written.SERIES].drop_duplicates())
    frame = series[columns].drop_duplicates().sort_values(columns).set_index(columns)
    apart = False
    for names, group in found.groupby(["benchmark", "task", "prompt"], sort=True):
        benchmark, task, prompt = map(str, names)
        metric = written.main_metric(task)
        asked = f"{benchmark} {prompt}" if prompts[benchmark] > 1 else benchmark
        means = written.over_languages(group[group["metric"] == metric])
        apart = apart or not means["common"].all()
        form = "{:.1f}".format if task == "translation" else number
        cells = {
            tuple(row[name] for name in columns): f"{form(row['value'])} ({row['languages']})"
            for row in with_label(means).to_dict("records")
        }
        head = f"{asked}: {name(metric)}"
        frame[head] = [cells.get(place, "-") for place in frame.index]
    shown = frame.reset_index()
    if texts["sampling"].nunique() < 2:
        shown = shown.drop(columns="sampling")
    shown = shown.rename(columns={"label": "model", "sampling": "drawn"})
    title, caption = say(text("terminal"), apart=apart)
    return Main(title=title, caption=caption, frame=shown, texts=("model", "engine", "drawn"))


PAGE = StudyPage(
    study="generate",
    title="Plain generation: what do models write in each language, and how good is it?",
    prose="generate.jinja",
    facts=facts,
    topics=_topics,
    files={"written": "written"},
    main=main,
    no_main="no texts were written",
)
