"""Formulas taken apart, and rows made into what is fitted."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions.design import Design, Part, build
from analysis.questions.formula import parse

COLUMNS = ["correct", "nasca", "my col", "language", "model", "tokens", "item", "flag"]


def rows(n: int = 60) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "correct": random.random(n) < 0.5,
            "nasca": random.normal(size=n),
            "my col": random.normal(size=n) + 9,
            "language": random.choice(["deu", "fra", "swh"], n),
            "model": random.choice(["m/a:1", "m/[b]", "m/c"], n),
            "tokens": random.integers(1, 90, n),
            "item": [f"i{number}" for number in range(n)],
            "flag": random.random(n) < 0.5,
        }
    )


def designed(formula: str, given: pd.DataFrame | None = None, **options: bool) -> Design:
    given = rows() if given is None else given
    asked = parse(formula, list(given.columns))
    return build(given, asked, grouping=[], standardise=options.get("standardise", True))


def test_random_and_absorbed_parts_are_taken_off() -> None:
    found = parse("correct ~ nasca * `my col` + (1|language) + (1 | model:item)", COLUMNS)
    assert found.random == (("language",), ("model", "item")) and found.absorbed == ()
    assert found.columns == ["correct", "my col", "nasca"]
    assert parse("correct ~ (1 | language / item)", COLUMNS).random == (
        ("language",),
        ("language", "item"),
    )
    found = parse("np.log(tokens) ~ 0 + nasca | `my col` + language:item", COLUMNS)
    assert found.absorbed == (("my col",), ("language", "item"))
    assert (found.outcome, str(found.fixed)) == ("np.log(tokens)", "nasca")


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("correct ~ nasc", "names nasc, and no column is called so; the rows have correct, nasca"),
        ("correct ~ nasca + (1 | lang)", "names lang,"),
        ("correct ~ nasca | lang", "names lang,"),
        ("right ~ nasca", "names right,"),
        ("correct ~ nope(tokens)", "names nope,"),
        ("correct ~ np.log(`my cool`)", "names my cool,"),
        ("correct ~ Q('nasc')", "names nasc,"),
        ("correct ~ nasca + (nasca | language)", "only .1 | column. is fitted, no random slopes"),
        ("correct ~ nasca + (1 || language)", "is no random intercept"),
        ("correct ~ nasca + (1 | )", "no column to group"),
        ("correct ~ nasca + (1 | model) + (1 | model)", "a random term twice"),
        ("correct ~ nasca | model | item", "several bars"),
        ("correct", "write outcome ~ term"),
        ("~ nasca", "write outcome ~ term"),
        ("correct ~ nasca +", "is no formula"),
        ("correct ~ nasca ~ item", "write outcome ~ term"),
    ],
)
def test_what_is_no_formula_is_one_sentence(formula: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse(formula, COLUMNS)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_numbers_are_in_standard_deviations_after_their_function() -> None:
    found = designed("correct ~ np.log(tokens) * `my col` + flag")
    assert found.terms == ("Intercept", "np.log(tokens)", "my col", "flag", "np.log(tokens):my col")
    matrix = dict(zip(found.terms, found.matrix.T, strict=True))
    logs = np.log(rows()["tokens"])
    assert matrix["np.log(tokens)"] == pytest.approx((logs - logs.mean()) / logs.std())
    product = matrix["np.log(tokens)"] * matrix["my col"]
    assert matrix["np.log(tokens):my col"] == pytest.approx(product)
    assert set(matrix["flag"]) == {0.0, 1.0}
    ((log,), (own,), (flag,)) = found.parts[1:4]
    assert log.spread == pytest.approx(logs.std()) and own.spread > 0
    assert flag.switch and np.isnan(flag.spread)
    plain = designed("correct ~ np.log(tokens)", standardise=False)
    assert plain.matrix[:, 1] == pytest.approx(logs)


def test_levels_are_named_with_what_they_are_compared_with() -> None:
    found = designed("correct ~ C(model, Treatment('m/c')) + language:nasca")
    assert found.terms == (
        "Intercept", "model = m/[b]", "model = m/a:1",
        "language = deu:nasca", "language = fra:nasca", "language = swh:nasca",
    )  # fmt: skip
    assert found.parts[2] == (Part("model", pytest.approx(np.nan, nan_ok=True), "m/a:1", "m/c"),)
    language, nasca = found.parts[3]
    assert (language.level, language.base, language.step) == ("deu", "", False) and nasca.step
    assert designed("correct ~ 0 + language").terms == tuple(
        f"language = {one}" for one in ("deu", "fra", "swh")
    )
    functions = designed("correct ~ poly(nasca, 2)")
    assert functions.terms[1:] == ("poly(nasca, 2)[1]", "poly(nasca, 2)[2]")


def test_rows_without_a_value_are_left_out_and_counted() -> None:
    given = rows()
    given["correct"] = given["correct"].astype("boolean")
    given.loc[0, "correct"] = pd.NA
    given["nasca"] = given["nasca"].where(given.index != 1, np.inf)
    given.loc[2, "tokens"] = 0
    given.loc[3, "model"] = None
    given["language"] = given["language"].astype("category")
    asked = parse("correct ~ nasca + np.log(tokens) + language + (1 | model)", list(given.columns))
    found = build(given, asked, grouping=["model"], standardise=True)
    assert found.left_out == 4 and found.kept.index.tolist() == list(range(4, 60))
    assert len(found.outcome) == 56 and np.isfinite(found.matrix).all()
    only = build(given.iloc[:1], asked, grouping=["model"], standardise=True)
    assert only.left_out == 1 and len(only.outcome) == 0 and only.terms[0] == "Intercept"


def test_levels_that_no_row_has_are_no_columns() -> None:
    given = rows()
    given["language"] = pd.Categorical(given["language"], ["xho", "swh", "fra", "deu"])
    found = designed("correct ~ language", given)
    assert found.terms == ("Intercept", "language = fra", "language = deu")
    assert found.parts[1][0].base == "swh"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, "a"] * 30, "several kinds or of an unknown one, such as 1, 'a'"),
        ([pd.Timestamp("2024-01-01")] * 60, "such as Timestamp"),
    ],
)
def test_columns_of_several_kinds_are_refused(values: list[object], said: str) -> None:
    given = rows().assign(mixed=pd.Series(values, dtype=object))
    with pytest.raises(ValueError, match=said):
        designed("correct ~ mixed", given)


def test_an_outcome_of_text_and_a_function_that_fails_are_refused() -> None:
    with pytest.raises(ValueError, match="the outcome language holds text such as"):
        designed("language ~ nasca")
    with pytest.raises(ValueError, match=r"cannot be computed: .*nope"):
        designed("correct ~ nasca.nope()")


@pytest.mark.parametrize("kind", ["object", "boolean", "Int64", "Float64"])
def test_true_and_false_are_numbers_however_they_are_stored(kind: str) -> None:
    given = rows()
    own = given["flag"] if kind in ("object", "boolean") else given["flag"].astype(int)
    found = designed("flag ~ correct", given.assign(flag=own.astype(kind)))
    assert found.outcome == pytest.approx(given["flag"].to_numpy(float))
