"""From tidy rows to what is fitted: an outcome, a matrix with a column per term, levels of rows.

Rows that lack a value are left out and counted. Numeric covariates are put in standard deviations
after their function, so `np.log(tokens)` is one covariate; what is 0 or 1 stays as it is.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from formulaic import SimpleFormula
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor, Term

from analysis.questions.formula import Asked, names
from analysis.statistics.regress import standardised

Floats = npt.NDArray[np.float64]

CONSTANT = "Intercept"


class Part(NamedTuple):
    """A covariate within a term: a number with its spread, or one level rather than another.

    `spread` is the standard deviation it was divided by, NaN where it was not; `level` and `base`
    are empty for numbers, and `base` is empty where the level is compared with no other one.
    `switch` says that it is a number which is 0 or 1.
    """

    name: str
    spread: float
    level: str = ""
    base: str = ""
    switch: bool = False

    @property
    def step(self) -> bool:
        """Whether something changes along it: it is no level that is compared with no other."""
        return not self.level or bool(self.base)


class Design(NamedTuple):
    """What is fitted: `outcome` [n], `matrix` [n, p], `terms` by column with their `parts`.

    `kept` are the rows it is of, `left_out` how many others there are.
    """

    outcome: Floats
    matrix: Floats
    terms: tuple[str, ...]
    parts: tuple[tuple[Part, ...], ...]
    kept: pd.DataFrame
    left_out: int


def build(
    rows: pd.DataFrame, asked: Asked, *, grouping: Sequence[str], standardise: bool
) -> Design:
    """The design of some rows; one without rows where none has all values.

    Args:
        rows: tidy rows with every column that is asked for, each with an index of its own.
        asked: the formula.
        grouping: columns that rows are grouped by, in the model or for its errors.
        standardise: numeric covariates in standard deviations.

    Raises:
        ValueError: a column holds several kinds of values, or the formula cannot be computed.
    """
    left = asked.left
    outcomes = sorted(names(left))
    used = [name for name in rows.columns if name in asked.columns]
    data = pd.DataFrame({name: values(rows[name], name) for name in used}, index=rows.index)
    for name in outcomes:
        if not pd.api.types.is_numeric_dtype(data[name]):
            raise ValueError(
                f"the outcome {name} holds text such as {data[name].dropna().iloc[0]!r}, and it "
                f"has to be numbers, or true and false"
            )
    there = rows[[*grouping]].notna().all(axis="columns") & data.notna().all(axis="columns")
    data = data[there]
    if data.empty:
        named = [CONSTANT if str(term) == "1" else str(term) for term in asked.fixed]
        made = [(Part(one, np.nan),) if one != CONSTANT else () for one in named]
        empty = np.zeros((0, len(named)))
        return Design(np.zeros(0), empty, tuple(named), tuple(made), rows[there], len(rows))
    fixed = asked.fixed
    # A function may have no value, such as the logarithm of 0.
    finite = np.isfinite(np.column_stack([_matrix(fixed, data), _matrix(left, data)])).all(axis=1)
    data = data[finite]
    kept = rows.loc[data.index]
    numbers = _numbers(fixed, data)
    switches = {name for name, one in numbers.items() if np.isin(one, (0, 1)).all()}
    spreads: dict[str, float] = {}
    if standardise and len(data):
        scaled = {name: standardised(one) for name, one in numbers.items() if name not in switches}
        columns = {name: one for name, one in scaled.items() if one is not None}
        fixed, data = _replaced(fixed, columns), data.assign(**columns)
        spreads = {name: float(numbers[name].std(ddof=1)) for name in columns}
    matrix, outcome = _matrix(fixed, data), _matrix(left, data)
    if outcome.shape[1] != 1:
        raise ValueError(f"the outcome {asked.outcome} is several columns, and one is fitted")
    terms, parts = _terms(matrix, spreads, switches)
    return Design(
        outcome=outcome.to_numpy(float)[:, 0], matrix=matrix.to_numpy(float), terms=terms,
        parts=parts, kept=kept, left_out=len(rows) - len(data),
    )  # fmt: skip


def values(column: pd.Series, name: str) -> pd.Series:
    """A column as numbers or as categories, missing and infinite values as missing.

    Raises:
        ValueError: it holds values of several kinds, or of one that is neither.
    """
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("string", "categorical"):
        return column.astype("category").cat.remove_unused_categories()
    if kind == "empty":
        return pd.Series(np.nan, index=column.index)
    if kind in ("boolean", "integer", "floating", "mixed-integer-float", "decimal"):
        if kind == "integer" and not column.isna().any():
            return column.astype("int64")
        numbers = (
            column.astype(object).where(column.notna(), None) if column.dtype == object else column
        )
        found = (
            pd.to_numeric(numbers, errors="coerce")
            .astype("Float64")
            .to_numpy(float, na_value=np.nan)
        )
        return pd.Series(np.where(np.isfinite(found), found, np.nan), index=column.index)
    example = [repr(one) for one in column.dropna().unique()[:3]]
    raise ValueError(
        f"the column {name} holds values of several kinds or of an unknown one, such as "
        f"{', '.join(example)}: make them all numbers, or all text"
    )


def _matrix(formula: SimpleFormula, data: pd.DataFrame) -> pd.DataFrame:
    """The model matrix, missing values kept."""
    try:
        with np.errstate(all="ignore"):
            found: pd.DataFrame = formula.get_model_matrix(data, na_action="ignore", context={})
            return found
    except (FormulaicError, ValueError, TypeError, AttributeError, NameError) as error:
        said = str(error).strip().splitlines()[0]
        raise ValueError(f"the formula {formula} cannot be computed: {said}") from error


def _numbers(formula: SimpleFormula, data: pd.DataFrame) -> dict[str, Floats]:
    """The factors of a formula that are one column of numbers, each alone."""
    found = {}
    factors = {factor.expr: factor for term in formula for factor in term.factors}
    for name, factor in factors.items():
        if factor.eval_method is not Factor.EvalMethod.LITERAL:
            alone = _matrix(SimpleFormula([Term([factor])]), data)
            kind = alone.model_spec.encoder_state[name][0]
            if kind is Factor.Kind.NUMERICAL and alone.shape[1] == 1:
                found[name] = alone.to_numpy(float)[:, 0]
    return found


def _replaced(formula: SimpleFormula, columns: Mapping[str, Floats]) -> SimpleFormula:
    """The formula with some factors looked up in columns of their names."""
    return SimpleFormula(
        [
            Term(
                [
                    Factor(one.expr, eval_method="lookup") if one.expr in columns else one
                    for one in term.factors
                ]
            )
            for term in formula
        ]
    )


def _terms(
    matrix: pd.DataFrame, spreads: Mapping[str, float], switches: Collection[str]
) -> tuple[tuple[str, ...], tuple[tuple[Part, ...], ...]]:
    """By column its name and what it is made of."""
    spec = matrix.model_spec
    terms, parts = [], []
    for structure in spec.structure:
        for column in structure.columns:
            found, rest = [], column
            for factor in structure.term.factors:
                name = factor.expr
                if name == "1":
                    continue
                rest = rest.removeprefix(":").removeprefix(name)
                plain = name[2:-1].partition(",")[0] if name.startswith("C(") else name
                plain = plain.strip("`")
                state = spec.encoder_state[name][1].get("contrasts")
                if state is None:
                    mark = rest[: rest.index("]") + 1] if rest.startswith("[") else ""
                    rest = rest.removeprefix(mark)
                    spread = spreads.get(name, np.nan)
                    found.append(Part(plain + mark, spread, switch=name in switches))
                    continue
                marks = {f"[{t}{one}]": str(one) for one in state.levels for t in ("T.", "")}
                mark = max((one for one in marks if rest.startswith(one)), key=len, default="")
                mark = mark or rest[: rest.index("]") + 1]
                rest = rest.removeprefix(mark)
                base = ""
                if mark.startswith("[T."):
                    given = getattr(state.contrasts, "base", None)
                    base = str(given if given in state.levels else state.levels[0])
                found.append(Part(plain, np.nan, marks.get(mark, mark.strip("[]")), base))
            terms.append(_named(found) or CONSTANT)
            parts.append(tuple(found))
    return tuple(terms), tuple(parts)


def _named(parts: Sequence[Part]) -> str:
    """A term's name: `nasca`, `model = b`, and crossed ones with a colon."""
    return ":".join(f"{one.name} = {one.level}" if one.level else one.name for one in parts)
