"""Intervals hold the truth for a covariate of languages, if errors know that items are alike.

Whoever counts the items of a language as independent misses the truth in nearly half of all tables.
What is asked of the others follows from the number of tables: a count that a rate of 5 % stays
within in 999 of 1000 tries.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.questions.design import Design, Part
from analysis.questions.fitted import Model, fit
from analysis.questions.grouped import factor

ITEMS = 30
SIZES = [(11, 100), (14, 60), (100, 30)]


def missed(*, languages: int, count: int, binary: bool) -> dict[str, int]:
    """How many intervals of tables miss the effect: 0.4, or none where outcomes are 0 and 1.

    Languages differ by half of what items do. In a linear model missing a true effect is the same
    as finding one where there is none.
    """
    random = np.random.default_rng(languages)
    level = np.repeat(np.arange(languages), ITEMS)
    rows = pd.DataFrame({"language": level.astype(str)})
    own = factor(rows, ["language"])
    effect = 0.0 if binary else 0.4
    outcome = "binary" if binary else "gaussian"
    models = {
        "mixed": Model(outcome, "classical", (own,), (), None),
        "clusters": Model(outcome, "cluster", (), (), own),
        "independent": Model(outcome, "robust", (), (), None),
    }
    found = dict.fromkeys(models, 0)
    for _ in range(count):
        nasca = random.normal(size=languages)[level]
        y = effect * nasca + 0.5 * random.normal(size=languages)[level]
        y = (y + random.logistic(size=len(y)) * 0.5 > 0).astype(float) if binary else (
            y + random.normal(size=len(y))
        )  # fmt: skip
        design = Design(
            y, np.column_stack([np.ones(len(y)), nasca]), ("Intercept", "nasca"),
            ((), (Part("nasca", np.nan),)), rows, 0,
        )  # fmt: skip
        for name, model in models.items():
            made = fit(design, model)
            assert not made.reason
            t = (made.coefficients[1] - effect) / made.errors[1]
            found[name] += bool(2 * stats.t.sf(abs(t), made.df[1]) < 0.05)
    return found


@pytest.mark.parametrize(("languages", "count"), SIZES)
@pytest.mark.parametrize("binary", [False, True])
def test_only_errors_that_know_of_languages_hold_their_level(
    languages: int, count: int, binary: bool
) -> None:
    found = missed(languages=languages, count=count, binary=binary)
    most = stats.binom.ppf(0.999, count, 0.05)
    assert found["mixed"] <= most and found["clusters"] <= most
    # Independent errors are wrong by a factor of two, which misses a third and more.
    assert found["independent"] >= stats.binom.ppf(0.001, count, 1 / 3)
    assert found["independent"] > max(found["mixed"], found["clusters"])
