"""Formulas in the way of lme4: `correct ~ nasca * fertility + C(model) + (1 | language)`.

The fixed part is formulaic's, which statsmodels uses too: interactions, categories, functions such
as `np.log(tokens)`. Random intercepts are ours, `(1 | model:language)` one per pair, `(1 | a/b)`
one per a and one per b within a; factors to absorb stand behind a last bar: `y ~ x | language`.
"""

import ast
import re
from collections.abc import Sequence
from typing import NamedTuple

from formulaic import Formula, SimpleFormula
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor
from formulaic.transforms import TRANSFORMS


class Asked(NamedTuple):
    """A formula taken apart: random terms and absorbed factors are columns that are crossed."""

    outcome: str
    fixed: SimpleFormula
    random: tuple[tuple[str, ...], ...]
    absorbed: tuple[tuple[str, ...], ...]

    @property
    def left(self) -> SimpleFormula:
        """The outcome as a formula of its own."""
        return Formula(f"0 + {self.outcome}")

    @property
    def columns(self) -> list[str]:
        """The columns that the fixed part and the outcome are computed from."""
        return sorted(names(self.fixed) | names(self.left))


def parse(formula: str, columns: Sequence[str]) -> Asked:
    """Take a formula apart.

    Args:
        formula: `outcome ~ terms`, with random terms `(1 | column)` and absorbed ones behind `|`.
        columns: the columns there are.

    Raises:
        ValueError: what it names is no column, or it is no formula that is fitted here.
    """
    sides = _split(formula, "~")
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise ValueError(f"{formula!r} is no formula: write outcome ~ term + term + (1 | column)")
    outcome, (right, *behind) = sides[0].strip(), _split(sides[1], "|")
    if len(behind) > 1:
        raise ValueError(
            f"{formula!r} has several bars outside of brackets: write (1 | column) for a random "
            f"intercept, and one last bar before what is absorbed"
        )
    terms = [part.strip() for part in _split(right, "+")]
    random: list[tuple[str, ...]] = []
    for term in terms:
        if "|" in _bare(term):
            random += _random(term)
    fixed = " + ".join(term for term in terms if "|" not in _bare(term)) or "1"
    absorbed = [_crossed(part) for part in _split(behind[0], "+")] if behind else []
    if len({frozenset(one) for one in random}) < len(random):
        raise ValueError(f"{formula!r} has a random term twice")
    try:
        parsed, left = Formula(fixed), Formula(f"0 + {outcome}")
    except (FormulaicError, SyntaxError) as error:
        said = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).strip().splitlines()[0]
        raise ValueError(f"{formula!r} is no formula: {said}") from error
    if not isinstance(parsed, SimpleFormula) or not isinstance(left, SimpleFormula):
        raise ValueError(f"{formula!r} has several parts, and one outcome and one sum are fitted")
    grouping = [name for one in (*random, *absorbed) for name in one]
    unknown = sorted({*names(parsed), *names(left), *grouping} - {*map(str, columns)})
    if unknown:
        raise ValueError(
            f"the formula names {', '.join(unknown)}, and no column is called so; the rows have "
            f"{', '.join(map(str, columns))}"
        )
    return Asked(outcome, parsed, tuple(random), tuple(absorbed))


def names(formula: SimpleFormula) -> set[str]:
    """The columns that a formula is computed from, and functions that nobody knows."""
    found: set[str] = set()
    for factor in {factor for term in formula for factor in term.factors}:
        if factor.eval_method is Factor.EvalMethod.LOOKUP:
            found.add(factor.expr)
        elif factor.eval_method is Factor.EvalMethod.PYTHON:
            found |= set(re.findall(r"`([^`]*)`", factor.expr))
            found |= set(re.findall(r"""\bQ\(\s*['"]([^'"]*)['"]\s*\)""", factor.expr))
            tree = ast.parse(re.sub(r"`[^`]*`", "0", factor.expr), mode="eval")
            found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found - {*TRANSFORMS, "np"}


def _random(term: str) -> list[tuple[str, ...]]:
    """The crossed columns of a random term; several where they are nested."""
    found = re.fullmatch(r"\(\s*(.*?)\s*\|\s*([^|]*?)\s*\)", term)
    if not found or found[1] != "1":
        raise ValueError(
            f"{term!r} is no random intercept: only (1 | column) is fitted, no random slopes"
        )
    nested = [part.strip() for part in _split(found[2], "/")]
    return [_crossed(":".join(nested[: depth + 1])) for depth in range(len(nested))]


def _crossed(text: str) -> tuple[str, ...]:
    """The columns of `a:b`."""
    names = tuple(part.strip().strip("`") for part in _split(text, ":"))
    if not all(names):
        raise ValueError(f"{text!r} names no column to group rows by")
    return names


def _split(text: str, mark: str) -> list[str]:
    """The text cut at each mark that is outside of brackets and quotes."""
    parts, depth, quoted = [""], 0, ""
    for letter in text:
        if quoted or letter in "`'\"":
            quoted = "" if letter == quoted else quoted or letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == mark and not depth:
            parts.append("")
            continue
        parts[-1] += letter
    return parts


def _bare(text: str) -> str:
    """The text without what is quoted."""
    return re.sub(r"`[^`]*`|'[^']*'|\"[^\"]*\"", "", text)
