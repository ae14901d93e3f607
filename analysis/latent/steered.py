"""Exhibits of steering: the paper's figures 4, 5 and 7 to 11, and what qualifies them.

The layer and the coefficient of a figure are all that were run, or the paper's; none is picked for
how well it does.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.latent import frames
from analysis.latent import steered_figures as plots
from analysis.latent.facts import text
from analysis.layout import tables
from analysis.layout.exhibit import Exhibit, Note, Plot, Series, Table, Template
from analysis.layout.material import Fill, Material, named_by
from analysis.results import steering, steering_means
from analysis.results.answers import SERIES
from analysis.results.steering import STEER

SHOWN = 2.0
MOST_ROWS = 40
NOT_STEERED = "Empty: no steered answers (--part steering)."
NO_CONTROLS = "Empty: no controls were run (--part controls, --control random and so on)."
CONDITIONS = ("prompt", "pivot", "switches")
BY_MODEL = named_by("label", "benchmark", varying=CONDITIONS)
HEADS = {"of": "of (language x draw)", "norm": "length", "share": "share of the state's length"}


def _languages(rows: pd.DataFrame) -> Mapping[str, object]:
    """How many languages a mean is over, and the coefficient of the first row."""
    counts = rows["languages"]
    many = f"{counts.max()} languages" if counts.nunique() == 1 else "unequal languages"
    return {"many": many, "coefficient": f"{rows['coefficient'].iloc[0]:+g}"}


def _swept(material: Material) -> pd.DataFrame:
    """Every coefficient of the layers that had more than both ends."""
    own = material.get(_doses)
    counts = own.groupby([*SERIES, "layer"])["coefficient"].transform("nunique")
    return own[counts > 2]


def _doses(material: Material) -> pd.DataFrame:
    """Means over languages of the real vector."""
    found = material.get(frames.doses)
    return found[found["intervention"] == STEER]


def _both_ends(material: Material) -> pd.DataFrame:
    """The two coefficients nearest to 2 and -2."""
    kept = [material.get(_doses).iloc[:0]]
    for _, group in material.get(_doses).groupby(SERIES, sort=True):
        ends = [plots.nearest(group["coefficient"], wanted=wanted) for wanted in (SHOWN, -SHOWN)]
        kept.append(group[group["coefficient"].isin([end for end in ends if end is not None])])
    return pd.concat(kept[1:] or kept)


def _ends(material: Material) -> Mapping[str, object]:
    """Which directions and how many layers were run."""
    both = material.get(_both_ends)
    return {"ways": len(set(both["coefficient"] > 0)), "layers": both["layer"].nunique()}


def _controls(material: Material) -> pd.DataFrame:
    """Real vector and controls at the coefficient nearest to 2 that controls ran at."""
    means = material.get(frames.doses)
    held = means[means["intervention"] != STEER]
    if held.empty:
        return held
    places = [*SERIES, "layer", "coefficient"]
    real = means[means["intervention"] == STEER]
    beside = pd.concat([held, real.merge(held[places].drop_duplicates(), on=places)])
    kept = []
    for _, group in beside.groupby(SERIES, sort=True):
        wanted = plots.nearest(group["coefficient"], wanted=SHOWN)
        kept.append(group[group["coefficient"] == wanted])
    return pd.concat(kept)


def _over_languages(
    name: str, fill: Fill, draw: Callable[[Material, pd.DataFrame, str], Figure], *, more: str,
    heading: str = "{{ said }}",
) -> Plot:  # fmt: skip
    """A figure of means over languages, one per model, benchmark and condition."""
    return Plot(
        name=name, fill=fill, by=BY_MODEL, draw=draw, heading=heading,
        caption=text("steered_means"),
        facts=lambda rows: {**_languages(rows), "more": more},
    )  # fmt: skip


def _at_shown(material: Material, *, outcome: str) -> pd.DataFrame:
    """The steered cells with a change of an outcome, at the coefficient nearest to 2."""
    found = material.get(frames.steered)
    kept = [found.iloc[:0].assign(said="")]
    for said, group in BY_MODEL(material, found[found[f"{outcome}_change"].notna()]):
        coefficient = plots.nearest(group["coefficient"], wanted=SHOWN)
        if coefficient is not None:
            kept.append(group[group["coefficient"] == coefficient].assign(said=said))
    return pd.concat(kept[1:] or kept)


def _by_said(_: Material, frame: pd.DataFrame) -> Series:
    """The rows of each series."""
    for said, group in frame.groupby("said", sort=True):
        yield str(said), group


def _draw_languages(material: Material, rows: pd.DataFrame, said: str, *, outcome: str) -> Figure:
    """Change by language."""
    notes = plots.slopes(rows, material.get(frames.trends)) if outcome == "accuracy" else {}
    return plots.draw_languages(rows, said, outcome=outcome, notes=notes)


def _other_coefficient(material: Material, *, fill: Fill) -> Mapping[str, object] | None:
    """The series in which 2 was not run."""
    found = material.get(fill)
    other = found[found["coefficient"] != SHOWN].drop_duplicates("said").sort_values("said")
    return {"rows": other.to_dict("records")} if len(other) else None


def _of_languages(name: str, outcome: str, *, title: str) -> Exhibit:
    """One outcome by language, at the coefficient nearest to 2."""
    fill = partial(_at_shown, outcome=outcome)
    return Exhibit(
        name=name,
        title=title,
        empty=text("no_change_by_language"),
        facts=lambda material: {"steered": len(material.get(frames.steered))},
        parts=(
            Plot(
                name=f"{outcome}_by_language",
                fill=fill,
                by=_by_said,
                draw=partial(_draw_languages, outcome=outcome),
                heading="{{ said }}, coefficient {{ coefficient }}",
                caption=text("steered_languages"),
                facts=lambda rows: {
                    "coefficient": f"{rows['coefficient'].iloc[0]:+g}",
                    "outcome": outcome,
                },
            ),
            Note(
                text=text("other_coefficient"),
                facts=partial(_other_coefficient, fill=fill),
            ),
        ),
        files={"steering_effects": frames.steered, "steering_trends": frames.trends}
        if outcome == "accuracy"
        else {},
    )


def _for_people(frame: pd.DataFrame) -> pd.DataFrame:
    """A table without the conditions that never vary, its model first."""
    known = [name for name in CONDITIONS if frame[name].nunique(dropna=False) == 1]
    held = tables.with_label(frame).drop(columns=["model", "revision", *known])
    return held[["label", *(column for column in held.columns if column != "label")]]


def _accuracy_controls(found: pd.DataFrame) -> pd.DataFrame:
    """The comparisons of accuracy with every control."""
    shown = found[found["outcome"] == "accuracy"].rename(columns={"intervention": "control kind"})
    columns = [*SERIES, "control kind", "layer", "coefficient", "languages", "real", "control"]
    return _for_people(shown[[*columns, "difference", "low", "high", "p", "p_holm"]])


def _not_run(material: Material) -> Mapping[str, object]:
    """The kinds of control that were not run."""
    ran = set(material.get(frames.against_controls)["intervention"])
    return {"kinds": [kind for kind in steering.CONTROLS if kind not in ran]}


def _chosen(found: pd.DataFrame) -> pd.DataFrame:
    """Choices over languages."""
    columns = {"best_change": "chosen on itself", "chosen": "median coefficient"}
    return _for_people(steering_means.chosen_means(found).rename(columns=columns))


def _drawn(found: pd.DataFrame) -> pd.DataFrame:
    """The spread of accuracy over draws."""
    shown = found[found["outcome"] == "accuracy"]
    return _for_people(shown.drop(columns=["outcome", "intervention"]))


def _agreement(material: Material, *, unlike: bool) -> Mapping[str, object] | None:
    """How many predictions of coefficient 0 are the plain run's, where any is another or none."""
    found = material.get(frames.against_plain)
    if found.empty or unlike != bool((found["agree"] < found["n"]).any()):
        return None
    grouped = found.groupby(["model", "revision", "benchmark", "prompt"], sort=True)
    sums = grouped.agg(agree=("agree", "sum"), n=("n", "sum"), pairs=("n", "size")).reset_index()
    return {"lines": sums.to_dict("records")}


def _vectors(found: pd.DataFrame) -> pd.DataFrame:
    """Without the conditions that never vary, and without halves that nobody has."""
    known = [name for name in ("prompt", "pivot") if found[name].nunique() == 1]
    return found.drop(columns=[*known, *(["halves"] if found["halves"].isna().all() else [])])


def _table(
    name: str, title: str, file: str, *, fill: Fill, shown: Callable[[pd.DataFrame], pd.DataFrame],
    caption: Template, empty: str, keep: str = "", **rest: Any,
) -> Exhibit:  # fmt: skip
    """A table of what qualifies steering: accuracy is shown, all outcomes are kept."""
    table = Table(
        name=file, fill=fill, shown=shown, keep=keep, caption=caption, heads=HEADS,
        decimals=3 if file == "steering_vectors" else 2, most=MOST_ROWS,
    )  # fmt: skip
    return Exhibit(name=name, title=title, empty=empty, parts=(table,), **rest)


AGREEMENT = text("agreement")
FIGURES = (
    Exhibit(
        name="Figures 4 and 7", title="accuracy, consistency and transfer by coefficient",
        empty=text("no_sweep"),
        facts=lambda material: {"steered": len(material.get(_doses))},
        parts=(
            _over_languages(
                "sweep", _swept, plots.draw_doses,
                more="Means over languages; coefficient 0 is the plain model.",
            ),
        ),
        files={"steering_by_dose": _doses},
    ),
    _of_languages("Figures 5 and 9", "accuracy", title="change of accuracy by language"),
    Exhibit(
        name="Figure 8", title="change by layer, toward the pivot and away from it",
        empty=NOT_STEERED, facts=_ends,
        lacking=text("figure_8_lacking"),
        parts=(
            _over_languages(
                "layers", _both_ends, plots.draw_by_layer,
                more="Coefficients above 0 push toward the pivot.",
            ),
        ),
    ),
    _of_languages(
        "Figure 10", "transfer", title="change of transfer from the pivot by language"
    ),
    _of_languages(
        "Figure 11", "consistency", title="change of consistency with the pivot by language"
    ),
)  # fmt: skip
CONTROLS = (
    Exhibit(
        name="Controls by layer", title="the real vector beside random and wrong ones",
        empty=NO_CONTROLS,
        parts=(
            _over_languages(
                "controls", _controls, plots.draw_controls,
                more="All at one coefficient. The table below says what each control is.",
                heading="{{ said }}, coefficient {{ coefficient }}",
            ),
        ),
    ),
    _table(
        "Controls", "does the real vector do more than others?", "steering_controls",
        fill=frames.against_controls, shown=_accuracy_controls, keep="steering_controls_all",
        caption=text("steering_controls"),
        empty=NO_CONTROLS, facts=_not_run,
        lacking="{% if kinds %}Not run: {{ kinds | join(', ') }} (--control).{% endif %}",
    ),
    _table(
        "Chosen coefficients", "chosen on one half of the items, tested on the other",
        "steering_choices", fill=frames.choices, shown=_chosen, keep="steering_choices_by_language",
        caption=text("steering_choices"),
        empty="Empty: there was no choice, as no layer had two coefficients (--coefficient).",
    ),
    _table(
        "Draws of the questions", "does the draw that vectors are made from matter?",
        "steering_draws", fill=frames.draws, shown=_drawn, keep="steering_draws_all",
        caption=text("steering_draws"),
        empty="Empty: one draw alone was made (--seed 0,1,2 shows the spread).",
    ),
    _table(
        "Option prior", "does steering move all answers to one option?", "steering_option_prior",
        fill=frames.option_prior, shown=_for_people,
        caption=text("steering_option_prior"),
        empty=NOT_STEERED, files={"steering_option_shares": frames.option_shares},
    ),
    Exhibit(
        name="Coefficient 0", title="is the reference the plain model?",
        empty="Empty: no plain answers to the same items (--part output,steering).",
        parts=(
            Note(
                text=text("coefficient_0_note")
            ),
            Note(text=AGREEMENT, facts=partial(_agreement, unlike=False)),
            Note(text=AGREEMENT, facts=partial(_agreement, unlike=True), warning=True),
        ),
        files={"coefficient_0": frames.against_plain},
    ),
    _table(
        "Vectors", "length and reliability of the steering vectors by layer", "steering_vectors",
        fill=frames.vectors, shown=_vectors,
        caption=text("steering_vectors"),
        empty="Empty: no steering vectors were made (--part steering).",
        files={"vectors": "rows.vectors"},
    ),
)  # fmt: skip
