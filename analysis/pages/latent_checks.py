"""What the latent-process page rests on: chance, cuts, ties, dropped items, failures, prompts.

The one idea: silence must mean that a check was made and found nothing, so every check has a
sentence either way.
"""

import pandas as pd

from analysis import tables, transfer
from analysis.latent import LATENT, SHUFFLED
from analysis.page import Exhibit, Part, Sheet, Text
from analysis.pages import option_mass
from analysis.pages.latent_material import Material
from analysis.pages.quality import failures
from analysis.read import label, listed

THREE = ("Table 3", "the prompts")
CONTROLS = ("Shuffled options", "what the log ratio is with the options of another question")
PLACE = ["label", "benchmark", "prompt"]


def prompts(material: Material) -> Exhibit:
    """Table 3: which prompt asked what. Their wording is in studies/prompts.py."""
    name, title = THREE
    vectors = material.rows.vectors
    kinds = {"output": material.overall, "option texts": material.latent, "vectors": vectors}
    rows = [
        {"benchmark": benchmark, "asked for": kind, "prompt": prompt}
        | {"models": len(group[["model", "revision"]].drop_duplicates())}
        for kind, frame in kinds.items()
        for (benchmark, prompt), group in frame.groupby(["benchmark", "prompt"], sort=True)
    ]
    if not rows:
        return Exhibit(name=name, title=title, missing="Empty: nothing was asked.")
    frame = pd.DataFrame(rows).sort_values(["benchmark", "asked for"], ignore_index=True)
    caption = (
        "Names of the prompts, with every switch that is not the usual one. `latent` is the "
        "paper's: its instruction, the fields with English labels, and the options by letter; "
        "`cloze` ranks the texts of the options instead"
    )
    return Exhibit(
        name=name, title=title, parts=(Sheet(name="prompts", caption=caption, frame=frame),)
    )


def parts(material: Material) -> tuple[Part, ...]:
    """Warnings first, then the checks that found nothing, then tables."""
    checks = [*_chance(material), _cut(material), _dropped(material), _items(material)]
    checks += [_ties(material), option_mass.said(material.rows.items)]
    weak = [*material.rows.notes, *(line for wrong, line in checks if wrong)]
    weak += transfer.refusals(material.pairs)
    fine = tuple(line for wrong, line in checks if line and not wrong)
    found: list[Part] = list(failures(material.rows.errors))
    if weak:
        found.append(Text(lines=tuple(weak), warning=True))
    if fine:
        found.append(Text(lines=fine))
    return (*found, *_sheets(material))


def _chance(material: Material) -> list[tuple[bool, str]]:
    """Languages whose accuracy chance explains."""
    every = material.overall
    if every.empty:
        return [(False, "No plain answers, so none was tested against chance.")]
    above, tested = int(every["above"].sum()), int(every["languages"].sum())
    return [
        (
            above < tested,
            f"{tested - above} of {tested} accuracies (by model, benchmark and language) are not "
            "above chance (exact binomial test, one-sided, 5 %, not corrected for their number).",
        )
    ]


def _cut(material: Material) -> tuple[bool, str]:
    """Contexts that were cut to a model's length, everywhere one was counted."""
    plain = sum(one.truncated for one in material.answers if one.is_plain)
    steered = sum(one.truncated for one in material.answers if not one.is_plain)
    read = int(material.latent["truncated"].sum())
    texts = material.rows.alignment["truncated"].sum()
    if not (plain or steered or read or texts):
        return False, "No text was cut to fit a model's context."
    return True, (
        f"Cut to fit a model's context: {plain} plain and {steered} steered answers, {read} "
        f"questions read at a layer, {int(texts)} parallel questions."
    )


def _dropped(material: Material) -> tuple[bool, str]:
    """Items without a finite log-probability at some layer."""
    cells = material.latent
    if cells.empty:
        return False, ""
    dropped, every = int(cells["dropped"].sum()), int((cells["n"] + cells["dropped"]).sum())
    if not dropped:
        return False, "Every option text that was read has a finite log-probability."
    return True, (
        f"{dropped} of {every} questions read at a layer have an option without a finite "
        "log-probability and are left out there."
    )


def _items(material: Material) -> tuple[bool, str]:
    """Whether all languages of a benchmark have the same number of items."""
    found = material.by_language
    if found.empty:
        return False, ""
    ends = found.groupby(["model", "revision", "benchmark", "prompt"])["n"].agg(["min", "max"])
    uneven = ends[ends["min"] < ends["max"]].reset_index()
    if uneven.empty:
        return False, "Every language of a benchmark has the same number of items."
    where = (
        f"{label(row['model'], revision=row['revision'])} on {row['benchmark']} {row['min']} to "
        f"{row['max']}"
        for row in uneven.to_dict("records")
    )
    return True, (
        "Languages differ in how many items they have, and pairs are compared on those they "
        f"share: {listed(where)}."
    )


def _ties(material: Material) -> tuple[bool, str]:
    """Questions whose most probable text is tied with another."""
    cells = material.latent[material.latent["measure"] == LATENT]
    if cells.empty:
        return False, ""
    native, pivot = int(cells["ties_native"].sum()), int(cells["ties_pivot"].sum())
    every = int(cells["n"].sum())
    line = (
        f"Exact ties of the most probable option text, which go to the first of them: {native} "
        f"native and {pivot} pivot, of {every} questions read at a layer."
    )
    return native + pivot > 0, line


def shuffled(material: Material) -> Exhibit:
    """The control of the log ratio: r of the two over languages and layers, and their difference.

    The own options' part of the ratio is what the control lacks.
    """
    name, title = CONTROLS
    cells = tables.with_label(
        material.latent[material.latent["language"] != material.latent["pivot"]]
    )
    wide = cells.pivot_table(
        index=[*PLACE, "language", "layer"], columns="measure", values="mean_of_logs_token"
    )
    if SHUFFLED not in wide or LATENT not in wide:
        why = "Empty: no options of another question were read (--part latent)."
        return Exhibit(name=name, title=title, missing=why)
    both = wide.dropna()
    rows = []
    for place, group in both.groupby(PLACE, sort=True):
        own, other = group[LATENT], group[SHUFFLED]
        rows.append(
            dict(zip(PLACE, place, strict=True))
            | {"own options": float(own.mean()), "another question's": float(other.mean())}
            | {"difference": float((own - other).mean()), "r": float(own.corr(other))}
            | {"languages": group.index.get_level_values("language").nunique()}
        )
    caption = (
        "Mean log ratio per token over languages and layers, of a question's own options and of "
        "another question's; r is over languages and layers. Where both are alike, the ratio "
        "measures which script and length a layer favours, and not the answer"
    )
    frame = pd.DataFrame(rows)
    if frame["prompt"].nunique() == 1:
        frame = frame.drop(columns="prompt")
    sheet = Sheet(name="shuffled", caption=caption, frame=frame, heads={"label": "model"})
    return Exhibit(name=name, title=title, parts=(sheet,))


def _sheets(material: Material) -> tuple[Part, ...]:
    """Chance and layers by model and benchmark; every language behind a fold."""
    found: list[Part] = []
    if len(material.overall):
        near = tables.with_label(material.overall)
        near = near.assign(near=near["languages"] - near["above"])
        columns = [*PLACE, "languages", "n", "chance", "accuracy", "near"]
        caption = "Languages not above chance, by model and benchmark (n: items of a language)"
        heads = {"label": "model", "near": "not above chance"}
        found.append(
            Sheet(
                name="near_chance", caption=caption, frame=near[columns], heads=heads,
                collapsed=len(near) > 12,
            )
        )  # fmt: skip
    if len(material.by_language):
        caption = f"Every language: {len(material.by_language)} rows"
        own = tables.with_label(material.by_language)
        columns = [*PLACE, "language", "n", "accuracy", "low", "high", "chance", "p_above_chance"]
        columns += ["consistency", "transfer_in", "excess_in", "consistency_pivot"]
        columns += ["transfer_pivot"]
        found.append(
            Sheet(
                name="every_language", caption=caption, frame=own[columns],
                heads={"label": "model"}, collapsed=True,
            )
        )  # fmt: skip
    return tuple(found)
