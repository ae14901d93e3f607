"""Tables of what qualifies steering: controls, choices, draws, the option prior, coefficient 0.

The one idea: each answers one doubt a reader may have of the figures. Accuracy is shown, all
outcomes are in the files.
"""

import pandas as pd

from analysis import steering, steering_means, tables
from analysis.answers import Answers
from analysis.page import Exhibit, Sheet, Text
from analysis.pages.latent_material import Material
from analysis.read import label
from analysis.steering import SERIES, STEER

MOST_ROWS = 40
HEADS = {"label": "model", "of": "of (language x draw)"}
CONDITIONS = ("prompt", "pivot", "switches")
CONTROLS = (
    "The same language, layer, coefficient and draw with the real vector and with a control: a "
    "random direction of equal length; another language's vector; another benchmark's; the vector "
    "without the directions that write the letters; the difference of two halves of the pivot's "
    "own questions. Change of accuracy in points; difference: real less control over languages, "
    "with its 95 % interval (Student's t) and p, and p by Holm's method over the model's controls."
)
CHOICES = (
    "For every language and layer the coefficient with the best accuracy on one half of the items "
    "(by a hash of their ids; 0 is allowed), and its change on the other half, in points with a "
    "95 % interval over languages. Chosen on itself: what the best coefficient on all items would "
    "have claimed. Better, worse: p < .05 on the other half (McNemar, uncorrected)."
)
DRAWS = (
    "How the mean change of accuracy over languages (points) varies with the draw of the questions "
    "that vectors are made from; the items answered differ with it."
)
PRIOR = (
    "Which option is taken: half the sum of absolute differences between the shares of the options "
    "before and after (0: as before, 1: all moved), mean and maximum over languages; below, the "
    "share of each option among all predictions, plain to steered, and among the right answers."
)
ZERO = (
    "Coefficient 0 answers the items that steered answers are given to without a vector; its "
    "predictions should all be those of the plain run."
)


def exhibits(effects: pd.DataFrame, material: Material) -> list[Exhibit]:
    """All of them, in the order of the doubts."""
    steered = effects[effects["intervention"] == STEER]
    return [
        _controls(effects),
        _choices(steered),
        _draws(steered),
        _prior(steered, material.answers),
        _zero(material.answers),
    ]


def _controls(effects: pd.DataFrame) -> Exhibit:
    """The real vector less every control."""
    name, title = "Controls", "does the real vector do more than others?"
    found = steering_means.against_controls(effects)
    if found.empty:
        why = "Empty: no controls were run (--part controls, --control random and so on)."
        return Exhibit(name=name, title=title, missing=why)
    shown = found[found["outcome"] == "accuracy"].rename(columns={"intervention": "control kind"})
    shown = shown[[*SERIES, "control kind", "layer", "coefficient", "languages", "real", "control",
                   "difference", "low", "high", "p", "p_holm"]]  # fmt: skip
    ran = set(found["intervention"])
    lacking = [kind for kind in steering.CONTROLS if kind not in ran]
    missing = f"Not run: {', '.join(lacking)} (--control)." if lacking else ""
    sheet = _sheet(shown, name="steering_controls", caption=CONTROLS)
    return Exhibit(
        name=name, title=title, parts=(sheet,), missing=missing,
        files={"steering_controls_all": found},
    )  # fmt: skip


def _choices(steered: pd.DataFrame) -> Exhibit:
    """Coefficients chosen on one half, reported on the other."""
    name, title = "Chosen coefficients", "chosen on one half of the items, tested on the other"
    found = steering_means.choices(steered)
    if found.empty or found["candidates"].max() < 2:
        why = "Empty: there was no choice, as no layer had two coefficients (--coefficient)."
        return Exhibit(name=name, title=title, missing=why)
    shown = steering_means.chosen_means(found).rename(
        columns={"best_change": "chosen on itself", "chosen": "median coefficient"}
    )
    return Exhibit(
        name=name,
        title=title,
        parts=(_sheet(shown, name="steering_choices", caption=CHOICES),),
        files={"steering_choices_by_language": found},
    )


def _draws(steered: pd.DataFrame) -> Exhibit:
    """The spread over draws of the questions."""
    name, title = "Draws of the questions", "does the draw that vectors are made from matter?"
    found = steering_means.over_seeds(steered)
    several = found[found["seeds"] > 1]
    if several.empty:
        why = "Empty: one draw alone was made (--seed 0,1,2 shows the spread)."
        return Exhibit(name=name, title=title, missing=why)
    shown = several[several["outcome"] == "accuracy"].drop(columns=["outcome", "intervention"])
    return Exhibit(
        name=name,
        title=title,
        parts=(_sheet(shown, name="steering_draws", caption=DRAWS),),
        files={"steering_draws_all": several},
    )


def _prior(steered: pd.DataFrame, answers: list[Answers]) -> Exhibit:
    """Shifts of the shares of the options."""
    name, title = "Option prior", "does steering move all answers to one option?"
    if steered.empty:
        missing = "Empty: no steered answers (--part steering)."
        return Exhibit(name=name, title=title, missing=missing)
    places = [*SERIES, "layer", "coefficient"]
    shift = (
        steered.groupby(places)["prior_shift"]
        .agg(shift="mean", most="max", languages="size")
        .reset_index()
    )
    shares = steering.option_shares(answers)
    shares = shares[shares["intervention"] == STEER]
    each = shares.groupby([*places, "option"], sort=True)[
        ["plain_share", "share", "gold_share"]
    ].mean()
    texts = each.apply(
        lambda row: f"{row['plain_share']:.2f} to {row['share']:.2f} ({row['gold_share']:.2f})",
        axis=1,
    )
    wide = texts.unstack("option").add_prefix("option ").reset_index()
    shown = shift.merge(wide, on=places).rename(columns={"languages": "language x draw"})
    sheet = _sheet(shown, name="steering_option_prior", caption=PRIOR)
    return Exhibit(name=name, title=title, parts=(sheet,), files={"steering_option_shares": shares})


def _zero(answers: list[Answers]) -> Exhibit:
    """Does coefficient 0 answer as the plain run did?"""
    name, title = "Coefficient 0", "is the reference the plain model?"
    found = steering.against_plain(answers)
    if found.empty:
        why = "Empty: no plain answers to the same items (--part output,steering)."
        return Exhibit(name=name, title=title, missing=why)
    places = ["model", "revision", "benchmark", "prompt"]
    lines = []
    for place, group in found.groupby(places, sort=True):
        model, revision, benchmark, _ = (str(part) for part in place)
        agree, n = int(group["agree"].sum()), int(group["n"].sum())
        lines.append(
            f"{label(model, revision=revision)} on {benchmark}: {agree} of {n} predictions agree, "
            f"over {len(group)} pairs of language and draw."
        )
    unlike = bool((found["agree"] < found["n"]).any())
    parts = (Text(lines=(ZERO,)), Text(lines=tuple(lines), warning=unlike))
    return Exhibit(name=name, title=title, parts=parts, files={"coefficient_0": found})


def _sheet(frame: pd.DataFrame, *, name: str, caption: str) -> Sheet:
    """A table without the conditions that never vary, hidden where it is long."""
    known = [name for name in CONDITIONS if frame[name].nunique(dropna=False) == 1]
    held = tables.with_label(frame).drop(columns=["model", "revision", *known])
    held = held[["label", *(column for column in held.columns if column != "label")]]
    return Sheet(
        name=name, caption=caption, frame=held.reset_index(drop=True), heads=HEADS,
        collapsed=len(held) > MOST_ROWS, decimals=2,
    )  # fmt: skip
