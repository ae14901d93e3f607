"""The numbers of what is said of written texts: who wrote them, how well, and what weakens it."""

from collections.abc import Mapping

import pandas as pd

from analysis.layout.material import Material
from analysis.layout.prose import Block, line, on
from analysis.layout.tables import with_label
from analysis.results import written
from analysis.results.written import METRICS, name

Found = Mapping[str, object]


def facts(material: Material) -> dict[str, object]:
    """Everything that the summary and the warnings say."""
    texts, found = material.texts, material.written
    if texts.empty:
        return {
            "texts": 0, "mixed": [], "ends": [], "items": [], "cut": None, "thinking": None,
            "unwritten": [], "empty": None, "fewest": written.FEWEST,
        }  # fmt: skip
    scores = [
        _score(str(benchmark), str(task), own)
        for (benchmark, task), own in found.groupby(["benchmark", "task"], sort=True)
        if METRICS[str(task)]
    ]
    return {
        "texts": len(texts),
        "models": len(texts[["model", "revision"]].drop_duplicates()),
        "languages": texts["language"].nunique(),
        "writers": writers(texts),
        "scores": [one for one in scores if one],
        **_manner(texts, found),
        **_unlike(texts),
        "mixed": [
            {"benchmark": benchmark, "writers": writers(own)}
            for benchmark, own in texts.groupby("benchmark", sort=True)
            if own["engine"].nunique() > 1
        ],
        "cut": _where(texts[texts["truncated"].eq(True)]),
        "thinking": _where(texts[texts["in_thought"].eq(True)]),
        "unwritten": [
            one for of in ("language", "script") if (one := _unwritten(found, f"in_{of}", of))
        ],
        "empty": _where(texts[texts["empty"]]),
        "fewest": written.FEWEST,
    }  # fmt: skip


def writers(texts: pd.DataFrame) -> str:
    """Which engine and version wrote the texts of which models, as a sentence."""
    named = with_label(texts).groupby("engine")["label"]
    by = [{"engine": engine, "models": sorted(set(own))} for engine, own in named]
    return line(Block("generate.jinja", "writers"), by=by)


def _score(benchmark: str, task: str, found: pd.DataFrame) -> Found | None:
    """The first score of one benchmark: best model and worst, means over languages."""
    metric = written.main_metric(task)
    own = found[found["metric"] == metric]
    if own["value"].isna().all():
        return None
    means = written.with_series(written.over_languages(own)).sort_values("value", ascending=False)
    best, worst = means.iloc[0], means.iloc[-1]
    form = ".1f" if task == "translation" else ".2f"
    languages = own.groupby("language")["value"].mean()
    languages = languages.sort_values(ascending=False, kind="stable")
    ends = [f"{languages.index[at]} ({languages.iloc[at]:{form}})" for at in (0, -1)]
    return {
        "benchmark": benchmark,
        "metric": name(metric),
        "common": bool(means["common"].all()),
        "over": int(best["languages"]),
        "best": f"{best['value']:{form}} in {best['series']}",
        "worst": f"{worst['value']:{form}} in {worst['series']}" if len(means) > 1 else "",
        "top": ends[0] if len(languages) > 1 else "",
        "bottom": ends[1],
    }


def _manner(texts: pd.DataFrame, found: pd.DataFrame) -> Found:
    """In which language, how repetitively, and how texts end, over all."""
    own = found[found["metric"] == "in_language"]
    told = int(own["texts"].sum())
    share = float((own["value"] * own["texts"]).sum()) / told if told else 0.0
    repeated = texts["repetition"].mean()
    return {
        "told": told,
        "share": f"{share:.0%}",
        "repeated": f"{repeated:.0%}" if repeated == repeated else "",
        "ended": f"{texts['stopped'].eq(True).mean():.0%}",
    }


def _unlike(texts: pd.DataFrame) -> Found:
    """Columns of one table that were not asked the same, or whose texts end elsewhere."""
    alike = [*written.ASKED, "prompt", "sampling"]
    ends = texts.groupby(alike, dropna=False)["settings"].nunique().gt(1)
    asked = texts.groupby([*written.ASKED, *written.SERIES], dropna=False)["item"].agg(frozenset)
    items = asked.groupby(written.ASKED, dropna=False).nunique().gt(1)
    return {
        key: sorted(set(one[one].index.get_level_values("benchmark")))
        for key, one in (("ends", ends), ("items", items))
    }


def _unwritten(found: pd.DataFrame, metric: str, of: str) -> Found | None:
    """Sets of texts of which not one is in the language, or the script, asked for."""
    none = found[(found["metric"] == metric) & (found["value"] == 0)]
    none = none[none["texts"] >= written.FEWEST]
    if none.empty:
        return None
    return {"of": of, "where": [f"{on(row)}: {row['language']}" for row in none.to_dict("records")]}


def _where(texts: pd.DataFrame) -> Found | None:
    """How many texts, and where most of them are, by model and benchmark."""
    if texts.empty:
        return None
    places = with_label(texts)["label"] + " on " + texts["benchmark"]
    counts = places.value_counts().items()
    return {"count": len(texts), "where": [f"{place}: {count}" for place, count in counts]}
