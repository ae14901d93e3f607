"""Whether options were asked as the model would write them: their probability, both ways begun.

Under a chat template an option may follow with a space before it or without; a model that was asked
in the way it does not write is ranked on what it holds for improbable.
"""

import pandas as pd

from analysis.read import label, listed


def said(items: pd.DataFrame) -> tuple[bool, str]:
    """A line on plain answers under a chat template, and whether it is a warning.

    Args:
        items: answers of the plain model: `model`, `revision`, `benchmark`, `mass`, `other_mass`.
    """
    known = items.dropna(subset=["mass", "other_mass"])
    if known.empty:
        return False, ""
    means = known.groupby(["model", "revision", "benchmark"], sort=True)[["mass", "other_mass"]]
    found = means.mean().reset_index()
    wrong = found[found["other_mass"] > found["mass"]]
    shown = wrong if len(wrong) else found
    places = (
        f"{label(str(row['model']), revision=str(row['revision']))} on {row['benchmark']} "
        f"{row['mass']:.2g} against {row['other_mass']:.2g}"
        for row in shown.to_dict("records")
    )
    of = "Mean probability of all options together, as they were asked against the other way"
    if len(wrong):
        return True, (
            f"{of} to begin them, is lower in {len(wrong)} of {len(found)} sets "
            f"({listed(places)}): these models would have written something else; see letter_token "
            "and --template-argument."
        )
    return False, f"{of} to begin them (with a space, or without): {listed(places)}."
