"""What the exhibits of the DALI page share: its sentences, its conditions, what is few and many."""

from functools import partial

import pandas as pd

from analysis.layout import prose
from analysis.layout.material import named_by

text = partial(prose.Block, "dali.jinja")
CONDITIONS = ("prompt", "pivot", "switches")
# A series is called by what varies within its model and benchmark.
BY_SERIES = named_by("label", "benchmark", varying=CONDITIONS, within=("label", "benchmark"))
MOST_ROWS = 40
# Failures below which the rates of one language say little.
FEW_FAILURES = 20


def varying(frame: pd.DataFrame) -> list[str]:
    """The conditions that take several values within one model (`label`) and benchmark."""
    counts = frame.groupby(["label", "benchmark"])[list(CONDITIONS)].nunique().max()
    return [name for name in CONDITIONS if counts[name] > 1]
