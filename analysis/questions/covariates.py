"""What is known of a language beside its rows: family, branch, script, resources.

The facts are the project's own table of languages. A language that it does not know has none, and
the frame says which these are.
"""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.read import listed

TABLE = Path(__file__).parents[2] / "studies" / "language_codes.csv"
# Names for what is left over: languages under them are no relatives, so each branch stands alone.
NO_FAMILY = ("Isolate", "Constructed", "Creole")
COVARIATES = ("family", "branch", "script", "resource")
Places = npt.NDArray[np.integer]
# Where a frame keeps the sentences on what its reader should know.
NOTES = "notes"


class Facts(NamedTuple):
    """What is known of one language; `resource` is the class of Joshi et al. (2020), 0 to 5."""

    family: str
    branch: str
    script: str
    resource: int | None


def with_languages(rows: pd.DataFrame, *, column: str = "language") -> pd.DataFrame:
    """The rows with family, branch, script and resource level of their language.

    Args:
        rows: anything with a column of codes such as `deu_Latn`; it is not changed.
        column: the column of codes.

    Returns:
        The rows with `family` (such as `Indo-European`; an isolate, a constructed language and a
        creole are named by their branch, as they are no relatives of each other), `branch`
        (`Indo-European/Germanic`), `script` (`Latn`), and `resource`, the class of Joshi et al.
        (2020), 0 to 5. All are missing for a language that the project's table lacks, and
        `resource` also where that list is silent; `attrs["notes"]` names the languages.

    Raises:
        ValueError: there is no such column.

    Example:
        with_languages(read("scores.csv"))
    """
    if column not in rows.columns:
        raise ValueError(
            f"the rows have no column {column} (languages); they have "
            f"{', '.join(map(str, rows.columns)) or 'none'}"
        )
    codes = rows[column].astype("category").cat
    known = [facts(str(code)) for code in codes.categories]
    places = codes.codes.to_numpy()
    found = rows.copy(deep=False)
    for name in ("family", "branch", "script"):
        values = pd.array([getattr(one, name) if one else None for one in known], dtype="str")
        found[name] = _spread(pd.Categorical(values), places)
    classes = [one.resource if one and one.resource is not None else pd.NA for one in known]
    found["resource"] = pd.array([*classes, pd.NA], dtype="Int8")[places]
    unknown = [str(code) for code, one in zip(codes.categories, known, strict=True) if one is None]
    if unknown:
        note(found, f"nothing is known of {listed(unknown)}: their covariates are missing")
    return found


def note(frame: pd.DataFrame, *sentences: str) -> None:
    """Add sentences to those that a frame carries."""
    frame.attrs[NOTES] = list(dict.fromkeys([*frame.attrs.get(NOTES, ()), *sentences]))


def facts(code: str) -> Facts | None:
    """What is known of a language; a variety such as `eng_Latn_GB` is its language."""
    known = _table()
    return known.get(code) or known.get("_".join(code.split("_")[:2]))


def _spread(values: pd.Categorical, places: Places) -> pd.Categorical:
    """A value for every row from one for every language; -1 has none."""
    codes = np.append(values.codes, np.int8(-1))
    return pd.Categorical.from_codes(codes[places], dtype=values.dtype)


@cache
def _table() -> dict[str, Facts]:
    """Every language by its code; the first row of a code names it best."""
    found: dict[str, Facts] = {}
    with TABLE.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            code = row["flores_code"] or f"{row['iso639_3']}_{row['script']}"
            family = row["family"].partition("/")[0]
            own = Facts(
                family=row["family"] if family in NO_FAMILY else family,
                branch=row["family"],
                script=code.split("_")[1],
                resource=int(row["resource"]) if row["resource"] else None,
            )
            found.setdefault(code, own)
    return found
