"""Units brought together by their numbers in the table: as by a merge of each question's rows."""

import re

import numpy as np
import pandas as pd
import pytest

from analysis.questions.compare import compare
from analysis.questions.paired_tests import NESTED, TESTS
from analysis.questions.pairs import Units
from tests.makers import oracle_pairs

UNITS = (("language",), ("language", "item"), ("item", "third", "language"))
DTYPES = ("object", "str", "category", "float")


def table(seed: int, *, dtype: str) -> pd.DataFrame:
    """Rows of two questions, of which some lack a value, a unit, or the other condition."""
    random = np.random.default_rng(seed)
    names = {"question": 2, "language": 5, "item": 6, "third": 2, "how": 3}
    rows = pd.MultiIndex.from_product(
        [range(count) for count in names.values()], names=list(names)
    ).to_frame(index=False)
    rows = rows[random.random(len(rows)) < 0.8].sample(frac=1, random_state=seed)
    rows = rows.assign(value=np.round(random.normal(size=len(rows)), 1))
    rows.loc[random.random(len(rows)) < 0.1, "value"] = np.nan
    rows.loc[random.random(len(rows)) < 0.05, "value"] = np.inf
    for name in ("language", "item"):
        column = rows[name] if dtype == "float" else "z" + (9 - rows[name]).astype(str)
        rows[name] = column.astype(dtype).mask(random.random(len(rows)) < 0.05)
    if dtype == "category":
        rows["item"] = rows["item"].cat.set_categories(["z8", "z5", "z0", "z9", "z4", "z7", "z6"])
    return rows.reset_index(drop=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("seed", range(3))
def test_units_are_those_of_a_merge_of_each_questions_rows(
    seed: int, unit: tuple[str, ...], dtype: str
) -> None:
    rows = table(seed, dtype=dtype).drop_duplicates(["question", "how", *unit], ignore_index=True)
    units = Units(rows, value="value", unit=unit)
    for question in (0, 1):
        own = rows[rows["question"] == question]
        before, after = (own[own["how"] == how] for how in (0, 1))
        found = units.pairs(before.index.to_numpy(), after.index.to_numpy())
        expected = oracle_pairs.merged(before, after, unit=unit)
        assert len(found.old) and found.old.tolist() == expected["value_old"].tolist()
        assert found.new.tolist() == expected["value_new"].tolist()
        assert found.counts == {
            "languages": expected["language"].nunique(),
            "items": len(expected.drop(columns=["language", "value_old", "value_new"])
                         .drop_duplicates()) if len(unit) > 1 else 1,
        }  # fmt: skip
        assert found.languages.tolist() == pd.factorize(expected["language"], sort=True)[0].tolist()
        said = [int(re.match(r"\d+", phrase).group()) for phrase in found.left_out]  # type: ignore[union-attr]
        told = oracle_pairs.lost(before, after, unit=unit)
        assert said == [count for count in told if count]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_question_is_answered_as_if_it_were_asked_alone(dtype: str) -> None:
    unit = ("language", "item", "third")
    rows = table(7, dtype=dtype).drop_duplicates(["question", "how", *unit])
    asked = {
        "condition": "how", "before": 0, "unit": unit, "by": ("question",), "margin": 0.5,
        "draws": 200, "correction": "none",
        "test": tuple(test for test in TESTS if test != "mcnemar"),
    }  # fmt: skip
    alone = [compare(rows[rows["question"] == own], "value", **asked) for own in (0, 1)]
    together = compare(rows, "value", **asked)
    assert set(NESTED) < set(together["test"]) and together["p"].notna().all()
    numbers = together.drop(columns="correction")
    pd.testing.assert_frame_equal(
        numbers, pd.concat(alone, ignore_index=True)[list(numbers)], check_exact=True
    )
