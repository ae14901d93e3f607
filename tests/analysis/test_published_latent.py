"""The latent-process paper's Table 2: stars that its coefficients and numbers of languages allow.

It prints r to one digit and no language's own values, so no p-value can be computed again. What can
be asked is whether some r that rounds to the printed one has the printed stars.
"""

from math import sqrt

import numpy as np
import numpy.typing as npt
import pytest

from analysis import published_latent
from analysis.statistics.correlate import pearson

Floats = npt.NDArray[np.float64]
# Languages but English; the paper does not say which of mHellaSwag's it has (9 or 10).
LANGUAGES = {"Belebele": (121,), "mMMLU": (14,), "mHellaSwag": (9, 10)}
LEVELS = (0.05, 0.01, 0.001)
ROUNDING = 0.05


def correlated(n: int, r: float) -> tuple[Floats, Floats]:
    """Two samples with exactly this correlation."""
    drawn = np.random.default_rng(0).normal(size=(n, 2))
    first, second = np.linalg.qr(drawn - drawn.mean(axis=0))[0].T
    return first, r * first + sqrt(1 - r**2) * second


def stars(n: int, r: float) -> int:
    """How many stars our own test gives."""
    x, y = correlated(n, r)
    p = pearson(x, y=y).p
    return sum(p < level for level in LEVELS)


def allowed(benchmark: str, r: float) -> set[int]:
    """All stars that an r with this printed value may have had."""
    ends = max(0.0, abs(r) - ROUNDING + 1e-9), min(0.999, abs(r) + ROUNDING - 1e-9)
    found: set[int] = set()
    for n in LANGUAGES[benchmark]:
        low, high = (stars(n, end) for end in ends)
        found |= set(range(low, high + 1))
    return found


@pytest.mark.parametrize(
    ("n", "critical"),
    [(14, (0.532, 0.661, 0.780)), (9, (0.666, 0.798, 0.898)), (10, (0.632, 0.765, 0.872)),
     (121, (0.179, 0.233, 0.295))],
)  # fmt: skip
def test_stars_begin_at_the_tabled_coefficients(n: int, critical: tuple[float, ...]) -> None:
    for count, r in enumerate(critical):
        assert (stars(n, r - 0.001), stars(n, r + 0.001)) == (count, count + 1)


def test_every_printed_star_is_one_that_its_coefficient_may_have() -> None:
    table = published_latent.log_ratio()
    assert len(table) == 54
    for row in table.itertuples(index=False):
        possible = allowed(str(row.benchmark), float(row.published))
        # Single stars did not survive in the text that was read: none may have been one.
        shown = {0, 1} if row.stars == 0 else {int(row.stars)}
        assert possible & shown, row


def test_some_cells_must_have_had_the_star_that_was_lost() -> None:
    table = published_latent.log_ratio()
    lost = [
        row for row in table.itertuples(index=False)
        if row.stars == 0 and 0 not in allowed(str(row.benchmark), float(row.published))
    ]  # fmt: skip
    at = {(row.benchmark, abs(row.published)) for row in lost}
    assert ("mMMLU", 0.6) in at and ("mMMLU", 0.7) in at
