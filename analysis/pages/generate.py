"""The page of the study `generate`: what models write, scored, and how it is written.

The one idea: a benchmark is one comparison: its scores by language, its figure, how it is written
and examples of it stand together, and every number says which engine wrote what it is of. It does
not know how a run was planned.
"""

import json
from hashlib import sha256
from typing import NamedTuple

import pandas as pd

from analysis import written
from analysis.figures.written import by_language
from analysis.page import Fold, Heading, Page, Part, Picture, Section, Sheet, Text, file_name
from analysis.pages import generate_words as words
from analysis.pages import quality
from analysis.read import Rows
from analysis.tables import with_label
from analysis.written import name

EXAMPLES, EMPTY_EXAMPLES = 10, 2
LONGEST_EXAMPLE = 240
MEAN = "mean"
# Languages that make a figure longer than a screen.
MANY = 40


class Benchmark(NamedTuple):
    """One benchmark and task: its texts, and their metrics with `series` and `place`."""

    name: str
    task: str
    texts: pd.DataFrame
    found: pd.DataFrame


def build(rows: Rows) -> Page:
    """All that was written, benchmark by benchmark."""
    texts = written.plain(rows.generations)
    found = written.summaries(texts)
    parts = [
        _benchmark(str(benchmark), str(task), texts, found)
        for benchmark, task in sorted(set(zip(texts["benchmark"], texts["task"], strict=True)))
    ]
    sections = [Section(title=_title(one, parts), parts=_parts(one)) for one in parts]
    checks = (
        *quality.failures(rows.errors),
        *((Text(lines=rows.notes, warning=True),) if rows.notes else ()),
        *((_settings(texts),) if len(texts) else ()),
    )
    return Page(
        title=words.TITLE,
        summary=words.summary(texts, found),
        warnings=words.warnings(texts, found),
        sections=(
            *sections,
            Section(title="How texts were drawn, and what failed", parts=checks),
            Section(title="What the numbers mean", parts=(Text(lines=words.METHODS),)),
        ),
        files={"written": found} if len(found) else {},
    )


def _benchmark(benchmark: str, task: str, texts: pd.DataFrame, found: pd.DataFrame) -> Benchmark:
    """What belongs to one benchmark, with names for what is compared."""
    own = texts[(texts["benchmark"] == benchmark) & (texts["task"] == task)]
    scored = found[(found["benchmark"] == benchmark) & (found["task"] == task)]
    scored = written.with_series(written.with_places(scored))
    places = scored["language"].astype(str)
    if scored["pivot_text"].nunique() > 1:
        places = scored["pivot_text"] + " > " + places
    return Benchmark(benchmark, task, own, scored.assign(place=places))


def _title(one: Benchmark, every: list[Benchmark]) -> str:
    """The benchmark, with its task where it has several."""
    several = sum(other.name == one.name for other in every) > 1
    return f"{one.name}, {one.task}" if several else one.name


def _parts(one: Benchmark) -> tuple[Part, ...]:
    """Scores by language, their figure, how it is written, and examples."""
    metrics = written.METRICS[one.task]
    held = [metric for metric in metrics if one.found.query("metric == @metric")["value"].any()]
    nothing = [metric for metric in metrics if metric not in held]
    there = set(one.found["metric"])
    tables: list[Part] = []
    for metric in metrics:
        tables.append(_scores(one, metric))
        if f"{metric}{written.ANY}" in there:
            tables.append(_scores(one, f"{metric}{written.ANY}"))
    zero: tuple[Part, ...] = ()
    if nothing and one.task != "text":
        line = f"{', '.join(map(name, nothing))}: 0 or unknown in every language."
        zero = (Text(lines=(line,), warning=True),)
    drawn = held[:1] or ([] if metrics else _told(one.found))
    pictures = tuple(_picture(one, metric) for metric in drawn)
    return (
        Text(lines=(words.scope(one.texts),)),
        *zero,
        *tables,
        *pictures,
        Heading(text="How it is written"),
        _writing(one),
        _examples(one),
    )


def _told(found: pd.DataFrame) -> list[str]:
    """Being in the language asked for, where that is known of any text."""
    known = found[(found["metric"] == "in_language") & found["value"].notna()]
    return ["in_language"] if len(known) else []


def _scores(one: Benchmark, metric: str) -> Sheet:
    """Languages down, models across, intervals below; the mean over languages first."""
    own = one.found[one.found["metric"] == metric]
    wide = own.pivot(index="place", columns="series", values="value")
    lines = own.assign(small=own.apply(lambda row: _ends(row, metric), axis="columns"))
    small = lines.pivot(index="place", columns="series", values="small").fillna("")
    means = written.with_series(written.over_languages(own)).set_index("series")
    means = means.reindex(wide.columns)
    below = means["languages"].map(lambda of: f"over {int(of)}" if of == of else "")
    frame = pd.concat([means["value"].astype(float).to_frame(MEAN).T, wide])
    small = pd.concat([below.to_frame(MEAN).T, small])
    frame = frame.rename_axis(columns=None).reset_index(names="language")
    return Sheet(
        name=_file(one, metric),
        caption=words.scores_caption(own, metric, common=bool(means["common"].all())),
        frame=frame,
        small=small.reset_index(drop=True),
        decimals=1 if metric in written.METRICS["translation"] else 3,
    )


def _ends(row: "pd.Series[float]", metric: str) -> str:
    """An interval as the line below its number."""
    if row["low"] != row["low"]:
        return ""
    places = 1 if metric in written.METRICS["translation"] else 3
    return f"{row['low']:.{places}f} to {row['high']:.{places}f}"


def _picture(one: Benchmark, metric: str) -> Picture:
    """The first score by language."""
    own = one.found[one.found["metric"] == metric]
    most = 100.0 if metric in written.METRICS["translation"] else 1.0
    figure = by_language(own, name=f"{one.name}: {name(metric)}", metric=name(metric), most=most)
    return Picture(
        name=_file(one, "figure"),
        caption=f"{name(metric)} by language, {one.name}",
        figure=figure,
        size="tall" if own["place"].nunique() > MANY else "half",
    )


def _writing(one: Benchmark) -> Sheet:
    """Language, script, repetition and ends beside the first score."""
    shown = list(written.METRICS[one.task][:1]) + list(written.WRITING)
    index = ["series", "place"]
    values = one.found.pivot_table(
        index=index, columns="metric", values="value", dropna=False
    ).reindex(columns=shown)
    texts = one.found.pivot_table(index=index, columns="metric", values="texts", dropna=False)
    frame = values.dropna(how="all")
    told = texts.reindex(columns=["in_language", "in_script"]).reindex(frame.index).fillna(0)
    of = [f"of {int(count)}" for count in told["in_language"]]
    scripts = [f"of {int(count)}" for count in told["in_script"]]
    small = pd.DataFrame({"in_language": of, "in_script": scripts})
    frame = frame.rename_axis(columns=None).reset_index().rename(columns={"place": "language"})
    return Sheet(
        name=_file(one, "writing"),
        caption=words.WRITING,
        frame=frame.dropna(axis="columns", how="all"),
        heads={"series": "model", "truncated": "prompts cut", "stopped": "ended by itself"}
        | {metric: name(metric) for metric in written.NAMES},
        small=small,
    )


def _examples(one: Benchmark) -> Fold:
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
    sheet = Sheet(
        name=_file(one, "examples"),
        caption=words.examples_caption(one.task),
        frame=frame.dropna(axis="columns", how="all"),
    )
    return Fold(caption=f"Examples: {len(frame)} texts", parts=(sheet,))


def _cut(text: str) -> str:
    """A text short enough for a table."""
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]} [...]"


def _right(references: object) -> str | None:
    """The first text that counts as right."""
    held = [] if references is None else list(references)  # type: ignore[call-overload]
    return _cut(str(held[0])) if held else None


def _settings(texts: pd.DataFrame) -> Sheet:
    """How tokens are drawn and where texts end, by benchmark, prompt and engine."""
    groups = ["benchmark", "task", "prompt", "sampling", "engine"]
    once = texts.drop_duplicates([*groups, "settings"])
    ends = [json.loads(text) if isinstance(text, str) else {} for text in once["settings"]]
    longest = [end.get("max_new_tokens") for end in ends]
    stops = [json.dumps(end["stop"], ensure_ascii=False) if end else None for end in ends]
    once = once.assign(
        longest=pd.Series(longest, once.index, dtype=object),
        stop=pd.Series(stops, once.index, dtype=object),
    )
    frame = (
        once.groupby(groups, sort=True, dropna=False)
        .agg(
            fewest=("longest", "min"),
            most=("longest", "max"),
            stop=("stop", lambda column: ", ".join(sorted(set(column.dropna())))),
        )
        .reset_index()
    )
    for column in ("fewest", "most"):
        frame[column] = frame[column].astype("Int64").astype(object)
    counted = texts.groupby(groups, sort=True, dropna=False).size().rename("texts").reset_index()
    return Sheet(
        name="sampling",
        caption="How tokens are drawn and where a text ends: after so many tokens (the fewest and "
        "the most over languages), or before one of the stops",
        frame=frame.merge(counted, on=groups),
        heads={"fewest": "most tokens, fewest", "most": "most tokens, most"},
    )


def _file(one: Benchmark, *rest: str) -> str:
    """The name of a file of this benchmark."""
    return file_name(one.name, one.task, *rest)
