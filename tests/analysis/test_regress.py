"""Regressions over items: planted coefficients are found, and hopeless fits have a reason."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from analysis.statistics import regress
from analysis.statistics.regress import Fit, Term


def planted(*, effect: float = 0.8, languages: int = 6, items: int = 200) -> pd.DataFrame:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "language": np.repeat([f"l{n}" for n in range(languages)], items),
            "item": np.tile([f"{n:04d}" for n in range(items)], languages),
            "x": random.normal(size=languages * items),
            "z": random.normal(size=languages * items),
        }
    )
    level = np.repeat(np.linspace(-1, 1, languages), items)
    odds = level + effect * frame["x"]
    return frame.assign(right=(random.random(len(frame)) < 1 / (1 + np.exp(-odds))).astype(float))


def logistic(frame: pd.DataFrame, terms: tuple[str, ...] = ("x", "z")) -> Fit:
    return regress.logistic(frame, outcome="right", terms=terms, effects="language",
                            clusters="item")  # fmt: skip


def mixed(frame: pd.DataFrame, terms: tuple[str, ...] = ("x", "z")) -> Fit:
    return regress.mixed(frame, outcome="right", terms=terms, groups="language")


def named(fit: Fit) -> dict[str, Term]:
    return {term.term: term for term in fit.terms}


def test_planted_effects_lie_in_the_intervals_of_both() -> None:
    frame = planted()
    odds, points = named(logistic(frame)), named(mixed(frame))
    assert odds["x"].low < 0.8 < odds["x"].high and odds["x"].p < 1e-6
    assert odds["z"].low < 0 < odds["z"].high
    assert points["x"].low > 0 and points["z"].low < 0 < points["z"].high
    plain = sm.OLS(
        frame["right"],
        np.column_stack([frame[["x", "z"]], pd.get_dummies(frame["language"], dtype=float)]),
    ).fit()
    assert points["x"].coefficient == pytest.approx(100 * plain.params.iloc[0], abs=0.1)


def test_the_logistic_fit_is_statsmodels_with_clusters() -> None:
    frame = planted()
    design = np.column_stack(
        [frame[["x", "z"]].to_numpy(), pd.get_dummies(frame["language"], dtype=float).to_numpy()]
    )
    codes = frame["item"].astype("category").cat.codes.to_numpy()
    direct = sm.GLM(frame["right"], design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": codes}
    )
    found = named(logistic(frame))["x"]
    assert found.coefficient == pytest.approx(direct.params.iloc[0], rel=1e-6)
    assert found.low == pytest.approx(direct.conf_int().iloc[0, 0], rel=1e-2)


def test_what_cannot_be_fitted_has_a_reason_and_no_number() -> None:
    frame = planted()
    separated = frame.assign(right=(frame["x"] > 0).astype(float))
    assert "separated" in logistic(separated).note or "failed" in logistic(separated).note
    assert not logistic(separated).terms
    one = frame[frame["language"] == "l0"]
    assert "one language" in mixed(one).note and not mixed(one).terms
    few = frame.assign(right=(np.arange(len(frame)) < 3).astype(float))
    assert "too few" in mixed(few).note and "too few" in logistic(few).note
    twice = frame.assign(z=frame["x"])
    assert "determine one another" in mixed(twice).note
    assert "determine one another" in logistic(twice).note
    alike = frame.assign(right=(np.arange(len(frame)) % 2).astype(float))
    assert "singular" in mixed(alike).note or "converge" in mixed(alike).note
    assert mixed(frame, terms=()).note == "no covariate varies"


def test_a_language_without_variation_is_left_out_of_the_logistic_fit() -> None:
    frame = planted()
    flat = frame.assign(right=frame["right"].where(frame["language"] != "l2", 1.0))
    found = logistic(flat)
    assert (found.languages, found.n) == (5, 1000) and found.terms


def test_what_does_not_vary_is_not_standardised() -> None:
    assert regress.standardised(np.full(9, 0.3)) is None
    assert regress.standardised(np.array([1.0])) is None
    assert regress.standardised(np.array([1.0, np.nan])) is None
    found = regress.standardised(np.array([1.0, 2.0, 4.0]))
    assert found is not None and found.mean() == pytest.approx(0)
    assert found.std(ddof=1) == pytest.approx(1)
