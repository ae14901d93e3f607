"""The numbers of the latent-process page's summary and checks.

Where a model answers a benchmark no better than by chance, nothing inside it says how it answers:
such pairs of model and benchmark give no numbers here, only a warning.
"""

from collections.abc import Mapping
from functools import partial

import pandas as pd

from analysis.latent import frames
from analysis.layout import prose
from analysis.layout.material import PAIR, Material
from analysis.read import label
from analysis.results import log_ratio, steering_means, transfer
from analysis.results.answers import SERIES
from analysis.results.latent import LATENT
from analysis.statistics.scores import FEW_LANGUAGES, LEVEL

text = partial(prose.Block, "latent_process.jinja")
TIES = text("ties")
REFUSED = text("refused")
Found = Mapping[str, object]


def facts(material: Material) -> dict[str, object]:
    """Everything that the summary and the warnings say."""
    parts = [material.by_language, material.latent]
    every = pd.concat([frame[[*PAIR, "language"]] for frame in parts])
    models = every[["model", "revision"]].drop_duplicates()
    overall, weak = material.overall, material.weak
    few = overall[overall["languages"] - 1 < FEW_LANGUAGES]
    return {
        "models": [
            label(str(a), revision=str(b)) for a, b in models.itertuples(index=False, name=None)
        ],
        "benchmarks": sorted(set(every["benchmark"])),
        "languages": every["language"].nunique(),
        "answered": len(overall),
        "weak": [prose.on(row) for row in weak.to_dict("records")],
        "few": [str(count) for count in sorted(set(few["languages"] - 1))],
        "sound": output(material),
        "crossing": crossing(material),
        "ratio": goes_with(material),
        "steering": steered(material),
    }


def output(material: Material) -> Found | None:
    """Accuracy, consistency and transfer of what is answered above chance."""
    own = material.sound
    if own.empty:
        return None
    each = material.by_language.merge(own[[*PAIR, "prompt"]])["accuracy"]
    names = ("accuracy", "chance", "consistency", "tr_plus")
    return {
        "least": each.min(),
        "most": each.max(),
        "excess": prose.span(own["excess_plus"], "+.2f"),
        **{name: prose.span(own[name]) for name in names},
    }


def crossing(material: Material) -> list[Found]:
    """From which layer native texts are the more probable, by model and benchmark."""
    cells = material.firm(material.latent)
    if cells.empty:
        return []
    deepest = cells.groupby(["model", "revision"])["layer"].max()
    return [
        {
            "row": row,
            "known": not pd.isna(row["crossing"]),
            "never": row["last"] <= 0 and row["lowest_mean"] <= 0,
            "of": deepest[row["model"], row["revision"]],
        }
        for row in frames.crossing_of(cells).to_dict("records")
    ]


def goes_with(material: Material) -> Found | None:
    """What the mean log ratio goes with, over languages."""
    found = material.get(frames.correlations)
    found = material.firm(found) if len(found) else found
    found = found[found["layers"] == frames.FIRST] if len(found) else found
    if found.empty:
        return None
    outcomes = []
    for outcome, shown in log_ratio.OUTCOMES.items():
        own = found[(found["outcome"] == outcome) & found["r"].notna()]
        if len(own):
            clear = int((own["p_holm"] < LEVEL).sum())
            outcomes.append({"name": shown, "r": own["r"], "clear": clear, "of": len(own)})
    return {"outcomes": outcomes, "note": found["note"].iloc[0]}


def steered(material: Material) -> Found | None:
    """What a vector toward the pivot does where it was not chosen, and what a control does."""
    effects = material.firm(material.effects)
    means = steering_means.chosen_means(steering_means.choices(effects))
    if means.empty:
        return None
    controls = steering_means.against_controls(effects)
    controls = controls[controls["outcome"] == "accuracy"]
    changes, above, judged, better = [], 0, 0, 0
    for _, group in means.groupby(SERIES, dropna=False, sort=True):
        best = group.iloc[int(group["development_change"].to_numpy(float).argmax())]
        changes.append(best["held_change"])
        above += bool(best["low"] > 0)
        same = [*SERIES, "layer"]
        beside = controls[(controls[same] == best[same]).all(axis="columns")]
        judged += len(beside) > 0
        better += len(beside) > 0 and bool((beside["real"] > beside["control"]).all())
    return {
        "changes": prose.span(changes, "+.1f"), "count": len(changes), "above": above,
        "judged": judged, "better": better,
    }  # fmt: skip


def not_above_chance(material: Material) -> Found:
    """Accuracies that chance explains."""
    every = material.overall
    above, tested = int(every["above"].sum()), int(every["languages"].sum())
    return {"wrong": above < tested, "near": tested - above, "tested": tested}


def cut(material: Material) -> Found:
    """Contexts that were cut to a model's length, everywhere one was counted."""
    counts = {
        "plain": sum(one.truncated for one in material.answers if one.is_plain),
        "steered": sum(one.truncated for one in material.answers if not one.is_plain),
        "read": int(material.latent["truncated"].sum()),
        "texts": int(material.rows.alignment["truncated"].sum()),
    }
    return {"wrong": any(counts.values()), **counts}


def dropped(material: Material) -> Found | None:
    """Items without a finite log-probability at some layer."""
    cells = material.latent
    if cells.empty:
        return None
    lost = int(cells["dropped"].sum())
    return {"wrong": lost > 0, "lost": lost, "every": int((cells["n"] + cells["dropped"]).sum())}


def uneven(material: Material) -> Found | None:
    """Benchmarks whose languages differ in how many items they have."""
    found = material.by_language
    if found.empty:
        return None
    ends = found.groupby([*PAIR, "prompt"])["n"].agg(["min", "max"])
    differ = ends[ends["min"] < ends["max"]].reset_index()
    where = [f"{prose.on(row)} {row['min']} to {row['max']}" for row in differ.to_dict("records")]
    return {"wrong": bool(where), "where": where}


def refused(material: Material) -> Found:
    """Pairs of languages that were not compared."""
    found = transfer.refusals(material.pairs)
    return {"wrong": bool(found), "refused": found}


def ties(material: Material) -> Found | None:
    """Questions whose most probable text is tied with another."""
    cells = material.latent[material.latent["measure"] == LATENT]
    if cells.empty:
        return None
    native, pivot = int(cells["ties_native"].sum()), int(cells["ties_pivot"].sum())
    every = int(cells["n"].sum())
    return {"wrong": native + pivot > 0, "native": native, "pivot": pivot, "every": every}


def fertility(material: Material) -> Found | None:
    """What is left of the coefficients without the part of tokens per character."""
    found = material.get(frames.correlations)
    if found.empty:
        return None
    own = found[(found["layers"] == frames.FIRST) & found["r"].notna() & found["partial_r"].notna()]
    if own.empty:
        return None
    change = (own["partial_r"] - own["r"]).abs()
    return {
        "mean": change.mean(), "most": change.max(), "count": len(own),
        "before": int((own["p"] < LEVEL).sum()), "after": int((own["partial_p"] < LEVEL).sum()),
        "turned": int((own["partial_r"] * own["r"] < 0).sum()),
    }  # fmt: skip
