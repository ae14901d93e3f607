"""Controls: is it more than chance, than the choice of a strength, than the prior of the labels?"""

from collections.abc import Mapping

import pandas as pd

from analysis.clas import facts, figures, frames
from analysis.clas.facts import text
from analysis.clas.scores import BY_SERIES, named, shown_metrics, signed
from analysis.layout.exhibit import Exhibit, Note, Plot, Table
from analysis.layout.material import Material
from analysis.results.answers import SERIES
from analysis.results.scaled import CLAS, IN_ANCHOR, INTMU, ON_ANCHOR, ON_OTHERS, OTHER_INTMU

WAYS = {CLAS: "all languages but the anchor", ON_ANCHOR: "the anchor alone",
        ON_OTHERS: "all but the anchor and the one asked"}  # fmt: skip
QUANTITIES = {"accuracy": "accuracy", "corrected": "accuracy, prior corrected",
              "macro_f1": "macro F1"}  # fmt: skip
MANNER = {
    "truncated": "prompt was cut", "stopped": "ended by itself", "in_language": "in the language",
    "repetition": "repeated 4-grams",
}  # fmt: skip
WIDE = 60


def _main_controls(material: Material) -> pd.DataFrame:
    """Every scheme beside CLAS, by the main metric, of the series that CLAS changed."""
    found = frames.metric_of(material.get(frames.controls))
    moved = found.loc[found["scheme"] == CLAS, SERIES].drop_duplicates()
    own = found.merge(moved, on=SERIES)
    several = own.groupby(SERIES, dropna=False)["scheme"].transform("size") > 1
    return own[several & ~own["scheme"].isin((IN_ANCHOR,))]


def _strength(rows: pd.DataFrame) -> Mapping[str, object]:
    """The chosen strength of one series."""
    return {"shared": signed(float(rows.loc[rows["scheme"] == CLAS, "shared"].iloc[0]))}


def _for_people(found: pd.DataFrame) -> pd.DataFrame:
    """Schemes for people."""
    held = found.assign(scheme=found["scheme"].map(frames.SCHEMES))
    metric = ["metric"] if found["metric"].nunique() > 1 else []
    held = held.assign(metric=held["metric"].map(frames.METRICS))
    return named(held, *metric, "scheme", "languages", "draws", "change", "low", "high")


def _beside_draws(found: pd.DataFrame) -> pd.DataFrame:
    """Percentiles for people."""
    held = found.assign(
        control=found["control"].map(frames.SCHEMES), metric=found["metric"].map(frames.METRICS),
        percentile=100 * found["percentile"],
    )  # fmt: skip
    held = shown_metrics(held, found)
    return named(held, "metric", "control", "draws", "gain", "mean", "least", "most",
                 "percentile", "p")  # fmt: skip


def _choices(found: pd.DataFrame) -> pd.DataFrame:
    """Choices for people; a way that chooses by language has both ends of its strengths."""
    strengths = [
        signed(row["shared"]) if row["shared"] == row["shared"]
        else f"{signed(row['least'])} to {signed(row['most'])}"
        for row in found.to_dict("records")
    ]  # fmt: skip
    held = found.assign(way=found["way"].map(WAYS), strength=strengths)
    # Strength 0 gains nothing anywhere, which is no finding.
    idle = found["shared"].eq(0) & found["specific"].eq(0)
    values = ["tuning", "held_out", "optimism"]
    held[values] = held[values].where(~idle)
    return named(held, "way", "strength", "edge", "tuning", "held_out", "optimism")


def _in_anchor(material: Material) -> pd.DataFrame:
    """The anchor's own items, rescaled."""
    found = material.get(frames.moved)
    return found[found["scheme"] == IN_ANCHOR]


def _anchor(found: pd.DataFrame) -> pd.DataFrame:
    """The anchor for people."""
    held = found.assign(metric=found["metric"].map(frames.METRICS))
    held = shown_metrics(held, found)
    return named(held, "language", "metric", "n", "before", "after", "change", "low", "high", "p")


def _intmu(material: Material) -> pd.DataFrame:
    """Int-mu's values, by the main metric."""
    found = frames.metric_of(material.get(frames.moved_means))
    return found[found["scheme"].isin((INTMU, *OTHER_INTMU))]


def _variants(found: pd.DataFrame) -> pd.DataFrame:
    """Int-mu's values for people."""
    held = found.assign(scheme=found["scheme"].map(frames.SCHEMES))
    columns = ["n", "before", "change", "low", "high", "p", "boot_low", "boot_high"]
    return named(held, "scheme", *columns)


def _prior(found: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, corrected accuracy and macro F1 for people."""
    held = found.assign(quantity=found["quantity"].map(QUANTITIES))
    columns = ["n", "before", "after", "change", "low", "high", "p", "shift", "most"]
    return named(held, "quantity", *columns)


def _manner(found: pd.DataFrame) -> pd.DataFrame:
    """The manner of writing for people."""
    held = found.assign(quantity=found["quantity"].map(MANNER))
    return named(held, "quantity", "languages", "texts", "before", "after", "change")


def _not_run(material: Material) -> Mapping[str, object]:
    """The schemes that were not run, and what there is."""
    ran = set(material.get(frames.gains)["scheme"])
    left = [name for name in frames.SCHEMES if name not in (*ran, CLAS, INTMU)]
    return {**facts.changed(material), "left": left, "ran": len(ran - {CLAS, INTMU})}


EVERY = Exhibit(
    name="Controls", title="CLAS beside other neurons and other choices",
    empty=text("no_controls"), facts=_not_run, lacking=text("controls_left"),
    parts=(
        Note(text=text("controls_note")),
        Plot(
            name="controls", fill=_main_controls, by=BY_SERIES, draw=figures.draw_controls,
            heading="{{ said }}, shared {{ shared }}", facts=_strength, caption=text("controls"),
            size="half",
        ),
        Table(
            name="random_neurons", fill=frames.chance, shown=_beside_draws,
            keep="random_neurons_all", caption=text("random_neurons"),
            heads={"mean": "mean of draws", "gain": "CLAS"}, decimals=2,
        ),
        Table(
            name="controls", fill=_main_controls, shown=_for_people, keep="controls_all",
            caption=text("controls_table"), decimals=2, most=WIDE,
        ),
    ),
    files={"random_neurons_by_language": frames.chance_by_language,
           "control_draws": frames.drawn},
)  # fmt: skip
CHOICE = Exhibit(
    name="Choice of the strength", title="on which languages, and how optimistic?",
    empty=text("not_answered"), facts=lambda material: facts.answered(material, frames.MAIN),
    parts=(
        Table(
            name="choices", fill=frames.choices, shown=_choices, keep="choices_of_strength",
            caption=text("choices"),
            heads={"way": "chosen on", "strength": "shared strength", "edge": "at the edge",
                   "tuning": "gain where chosen", "held_out": "held-out gain"},
            decimals=2,
        ),
    ),
)  # fmt: skip
ANCHOR = Exhibit(
    name="The anchor rescaled", title="what the same factors do to the anchor's own items",
    empty=text("no_control"), facts=lambda material: {
        **facts.changed(material), "flag": "clas_in_anchor",
    },
    parts=(
        Table(name="anchor", fill=_in_anchor, shown=_anchor, caption=text("anchor"), decimals=2),
    ),
)  # fmt: skip
INTMU_VALUES = Exhibit(
    name="Int-mu", title="other values in place of the mean",
    empty="Empty: Int-mu was not run (--part steering; its neurons need samples of a language).",
    parts=(
        Table(
            name="intmu", fill=_intmu, shown=_variants, keep="intmu_all", caption=text("intmu"),
            heads={"n": "languages", "boot_low": "bootstrap low", "boot_high": "bootstrap high"},
            decimals=2,
        ),
        Note(
            text=text("without_neurons"),
            facts=lambda material: facts.without_neurons(material, metrics=frames.MAIN),
        ),
    ),
)  # fmt: skip
PRIOR = Exhibit(
    name="Label prior", title="is the gain a shift of all answers to one option?",
    empty=text("no_choices_moved"), facts=facts.changed,
    parts=(
        Note(text=text("option_shares_note")),
        Plot(
            name="option_shares", fill=frames.shares, by=BY_SERIES, draw=figures.draw_shares,
            caption=text("option_shares"), size="half",
        ),
        Table(
            name="prior", fill=frames.prior_means, shown=_prior, keep="prior_over_languages",
            caption=text("prior"), decimals=2,
            heads={"n": "languages", "shift": "mean shift", "most": "largest shift"},
        ),
    ),
    files={"prior_by_language": frames.priors, "option_shares_by_language": frames.shares},
)  # fmt: skip
WRITING = Exhibit(
    name="Manner of writing", title="do rescaled answers end, repeat or change language?",
    empty=text("no_writing_moved"), facts=facts.changed,
    parts=(
        Table(
            name="manner", fill=frames.manner_means, shown=_manner, caption=text("manner"),
            decimals=3,
        ),
    ),
    files={"manner_by_language": frames.manner},
)  # fmt: skip
