"""The rows of one regression: estimates with their notes, and what their sentences are made of."""

from collections.abc import Sequence
from math import isnan, nan

import numpy as np
import pandas as pd
from scipy import stats

from analysis.questions import wording
from analysis.questions.design import Design, build
from analysis.questions.fitted import Errors, Fitted, Model, Outcome, fit
from analysis.questions.formula import Asked
from analysis.questions.grouped import Factor, candidates, factor, repeated, unaccounted
from analysis.questions.wording import Line, Measured

EXTRA = ("scale", "error", "t", "df", "groups", "icc", "r2_marginal", "r2_conditional", "reading")
FIXED, RANDOM, RESIDUAL = "fixed", "random", "residual"
# Of a row, not of the table: whether its p answers a question and is corrected.
ASKS = "asks"
# Groups or clusters below which few of them are a reason for caution.
FEW = 30
# Outcomes of the rarer kind per term below which logistic coefficients are biased.
RARE = 10
# Rows of a level below which a constant of its own biases a logistic regression.
SHORT = 20


def of(
    rows: pd.DataFrame,
    asked: Asked,
    *,
    outcome: Outcome | None,
    errors: Errors,
    clusters: Sequence[str],
    by: Sequence[str],
    standardise: bool,
) -> list[tuple[dict[str, object], str | Line]]:
    """Fit some rows: a row of numbers per term and random term, each with its sentence.

    The sentence is text, or what it is made of where it waits for the corrected p.

    Raises:
        ValueError: what the rows hold cannot be fitted.
    """
    grouping = [name for one in (*asked.random, *asked.absorbed) for name in one]
    grouping = list(dict.fromkeys([*grouping, *clusters]))
    design = build(rows, asked, grouping=grouping, standardise=standardise)
    copies = repeated(rows) if {*rows.columns} - {*asked.columns, *grouping, *by} else 0
    shares = bool(np.isin(design.outcome, (0.0, 1.0)).all())
    if outcome == "binary" and not shares:
        raise ValueError(
            f"outcome='binary' needs 0 and 1, or true and false, and {asked.outcome} holds "
            f"{design.outcome[~np.isin(design.outcome, (0.0, 1.0))][0]:g}"
        )
    binary = outcome == "binary" or (outcome is None and shares)
    model = Model(
        outcome="binary" if binary else "gaussian", errors=errors,
        random=tuple(factor(design.kept, one) for one in asked.random),
        absorbed=tuple(factor(design.kept, one) for one in asked.absorbed),
        clusters=factor(design.kept, clusters) if clusters else None,
    )  # fmt: skip
    found = fit(design, model)
    measured = Measured(asked.outcome, "odds" if binary else "points" if shares else "number")
    others = candidates(design.kept, without=[*by, *asked.columns, *grouping])
    told = _Told(design, model, found, measured, others)
    if copies:
        told.said.append(
            f"{copies} rows are copies of others: leave them out if they are no observations of "
            f"their own"
        )
    made = [told.fixed(place) for place in range(len(design.terms))]
    made += [told.random(place) for place in range(len(model.random))]
    return [*made, told.residual()] if model.random and not binary else made


def assumes(model: Model) -> str:
    """What a regression takes for granted, in one sentence."""
    names = " and ".join(one.name for one in model.random)
    what = "the outcome's log odds change" if model.outcome == "binary" else "the outcome changes"
    line = f"{what} evenly with each term, and alike in all rows"
    if model.random:
        rest = "" if model.outcome == "binary" else ", the rest of a row too,"
        return (
            f"{line}; levels of {names} differ by normally distributed amounts{rest} that have "
            f"nothing to do with the terms; rows are alike for no other reason"
        )
    if model.clusters:
        return (
            f"{line}; rows of one {model.clusters.name} may be alike in any way, those of two are "
            f"independent"
        )
    spread = (
        "" if model.errors == "robust" or model.outcome == "binary" else ", one variance for all"
    )
    return f"{line}; rows are independent of one another{spread}"


class _Told:
    """One regression, of which every row says something else."""

    def __init__(
        self, design: Design, model: Model, found: Fitted, measured: Measured,
        others: Sequence[Factor],
    ) -> None:  # fmt: skip
        self.design, self.model, self.found = design, model, found
        self.measured, self.others = measured, others
        self.factor = 100.0 if measured.kind == "points" else 1.0
        rest = found.residual**2 + float((found.deviations**2).sum())
        self.shares = found.deviations**2 / rest if rest else found.deviations
        self.said = [*found.said]
        if design.left_out:
            rows = "1 row" if design.left_out == 1 else f"{design.left_out} rows"
            self.said.insert(0, f"{rows} without a value left out")
        if measured.kind == "odds" and not found.reason:
            self.said += self._rare()
        self.shared: dict[str, object] = {
            "n": found.n, "test": found.test, "assumes": assumes(model),
            "r2_marginal": found.marginal, "r2_conditional": found.conditional,
        }  # fmt: skip

    def fixed(self, place: int) -> tuple[dict[str, object], str | Line]:
        """The row of a term."""
        found, term, parts = self.found, self.design.terms[place], self.design.parts[place]
        value, error = (
            self.factor * float(one[place]) for one in (found.coefficients, found.errors)
        )
        df = float(found.df[place])
        # Student's t with infinite degrees of freedom is the normal distribution.
        half = float(stats.t.ppf(0.975, df)) * error
        t = value / error if error else nan
        p = float(2 * stats.t.sf(abs(t), df))
        groups, notes = self._groups(place)
        notes = [note for note in (found.notes[place], *self.said, *notes) if note]
        asks = any(one.step for one in parts)
        if not asks and not isnan(p):
            notes.append("not corrected: a constant is no question")
        row = {
            **self.shared, "part": FIXED, "term": term, "estimate": value, "low": value - half,
            "high": value + half, "p": p, "note": "; ".join(notes),
            "scale": wording.scale(parts, self.measured), "error": error, "t": t, "df": df,
            "groups": groups, ASKS: asks,
        }  # fmt: skip
        if isnan(p):
            return row, f"Nothing is known of {term}: {found.notes[place]}"
        return row, self._line(place, value, value - half, value + half)

    def random(self, place: int) -> tuple[dict[str, object], str | Line]:
        """The row of a random term: how much its levels differ."""
        factor, value = self.model.random[place], self.factor * float(self.found.deviations[place])
        share = float(self.shares[place])
        row = self._deviation(factor.name, value, share=share) | {"groups": float(factor.size)}
        if isnan(value):
            return row, f"Nothing is known of {factor.name}: {self.found.reason}"
        return row, wording.deviation(factor.name, value, share=share, outcome=self.measured)

    def residual(self) -> tuple[dict[str, object], str | Line]:
        """The row of what is left of rows."""
        value, share = self.factor * self.found.residual, 1 - float(self.shares.sum())
        row = self._deviation(RESIDUAL, value, share=share)
        if isnan(value):
            return row, f"Nothing is known of the {RESIDUAL}: {self.found.reason}"
        return row, wording.deviation("", value, share=share, outcome=self.measured)

    def _deviation(self, name: str, value: float, *, share: float) -> dict[str, object]:
        """The row of a standard deviation."""
        note = self.found.reason or "a standard deviation: no interval and no p are computed"
        return {
            **self.shared, "part": RANDOM, "term": name, "estimate": value, "low": nan,
            "high": nan, "p": nan, "note": "; ".join([note, *self.said]), "error": nan, "t": nan,
            "df": nan, "icc": share, "groups": nan,
            "scale": f"standard deviation in {self.measured.unit}", ASKS: False,
        }  # fmt: skip

    def _groups(self, place: int) -> tuple[float, list[str]]:
        """Between how many clusters or levels a term is compared, and what that means for it."""
        model, found, notes = self.model, self.found, []
        if isnan(float(found.df[place])):
            return nan, []
        held = [*found.between[place], *([model.clusters] if model.clusters else [])]
        fewest = min(held, key=lambda one: one.size, default=None)
        if fewest and fewest.size < FEW:
            df = float(found.df[place])
            notes.append(
                f"{fewest.size} levels of {fewest.name} are few: t with {df:.3g} degrees of freedom"
            )
        if found.n == len(self.design.outcome) and any(
            one.step for one in self.design.parts[place]
        ):
            known = [*model.random, *model.absorbed, *([model.clusters] if model.clusters else [])]
            alike = unaccounted(self.design.matrix[:, place], known=known, others=self.others)
            if alike:
                instead = "" if model.random else f", or cluster={alike.name!r}"
                notes.append(
                    f"the term does not vary within {alike.name} ({alike.size} levels), and its "
                    f"p takes {found.n} rows for independent ones: add (1 | {alike.name}){instead}"
                )
        return float(fewest.size) if fewest else nan, notes

    def _rare(self) -> list[str]:
        """Why log odds may be biased."""
        notes, y = [], self.design.outcome
        rarer, terms = int(min(y.sum(), len(y) - y.sum())), len(self.design.terms)
        if rarer < RARE * terms:
            notes.append(
                f"{rarer} rows have the rarer outcome, few for {terms} terms: log odds are biased "
                f"away from 0"
            )
        for one in self.model.absorbed:
            rows = float(np.median(np.bincount(one.levels)))
            if rows < SHORT:
                notes.append(
                    f"levels of {one.name} have {rows:g} rows (median), few for a constant each: "
                    f"log odds are biased away from 0"
                )
        return notes

    def _line(self, place: int, value: float, low: float, high: float) -> Line:
        """What a term's sentence is made of."""
        parts, between = self.design.parts[place], self.found.between[place]
        own = {one.name for one in parts}
        fitted = [other for other, value in
                  zip(self.design.parts, self.found.coefficients, strict=True)
                  if not isnan(value)]  # fmt: skip
        crossed = [other for other in fitted if own and own < {one.name for one in other}]
        given, seen = [], set(own)
        for one in (one for other in crossed for one in other):
            if one.name not in seen:
                seen.add(one.name)
                at = "at its mean" if not isnan(one.spread) else "at 0"
                given.append(f"{one.name} is {one.base or 'as given' if one.level else at}")
        alone = [one.name for other in fitted for one in other if one.name not in seen]
        fewest = min(between, key=lambda one: one.size, default=None)
        levels = [one.name for one in (*self.model.random, *self.model.absorbed)
                  if one not in between]  # fmt: skip
        return Line(
            outcome=self.measured, estimate=value, low=low, high=high, parts=parts,
            alone=tuple(dict.fromkeys(alone)), levels=tuple(levels),
            among=f"{fewest.size} levels of {fewest.name}" if fewest else "",
            given=tuple(given), slope=self.found.slope,
        )  # fmt: skip
