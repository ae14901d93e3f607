"""The CLAS paper: every printed mean, spread and p comes out of its tables through our own code."""

from math import nan

import numpy as np
import pandas as pd
import pytest

from analysis import published_clas
from analysis.layout import compared
from analysis.published_clas import ANCHOR, CONDITIONS, LLAMA, QWEN
from analysis.questions.compare import compare
from analysis.statistics import paired
from analysis.statistics.paired import Change
from studies.languages import flores_style

CODES = {"XNLI": "xnli", "XQuAD": "xquad"}
# Half a unit of the last printed digit; the last term is the rounding of binary fractions.
PRINTED = 0.005 + 1e-9


def printed(benchmark: str, model: str, *, anchor: bool = False) -> pd.DataFrame:
    """One half of a table."""
    whole = published_clas.tables()
    kept = (whole["benchmark"] == benchmark) & (whole["model"] == model)
    return whole[kept & (anchor | (whole["language"] != ANCHOR))]


def changed(benchmark: str, model: str, *, by: str = "clas") -> Change:
    """What a method changes over the languages but English."""
    own = printed(benchmark, model)
    return paired.change(own["base"].to_numpy(), (own["base"] + own[by]).to_numpy())


@pytest.mark.parametrize(
    ("benchmark", "model", "n", "mean", "p"),
    [
        ("XNLI", LLAMA, 14, 2.07, 0.048),
        ("XNLI", QWEN, 14, 0.48, 1.7e-6),
        ("XQuAD", LLAMA, 11, 1.02, 0.106),
        ("XQuAD", QWEN, 11, 1.20, 0.331),
    ],
)
def test_what_clas_gains_over_the_other_languages(
    benchmark: str, model: str, n: int, mean: float, p: float
) -> None:
    found = changed(benchmark, model)
    assert (found.n, found.df) == (n, n - 1)
    assert found.change == pytest.approx(mean, abs=PRINTED)
    assert found.p == pytest.approx(p, rel=0.01)
    assert (found.low > 0) == (found.p < 0.05)
    said = published_clas.p_values().set_index(["benchmark", "model"]).loc[(benchmark, model)]
    assert said["languages"] == n
    if np.isnan(said["p"]):
        assert found.p < said["below"]
    else:
        # .106 is printed as .10.
        assert found.p == pytest.approx(said["p"], abs=0.01)
    # "Remains stable, p > .05": so it does by the test of independent samples.
    assert found.levene_p > 0.05


def scores() -> pd.DataFrame:
    """The scores of both tables but those of English, one row per language and condition."""
    whole = published_clas.tables()
    kept = whole[whole["language"] != ANCHOR]
    changes = {"base": 0.0, "int_mu": kept["int_mu"], "clas": kept["clas"]}
    parts = [kept.assign(scheme=name, score=kept["base"] + by) for name, by in changes.items()]
    return pd.concat(parts, ignore_index=True)


def test_anyones_table_has_the_papers_p_values_and_spreads() -> None:
    found = compare(
        scores(), "score", condition="scheme", before="base", by=("benchmark", "model"),
        test=("paired t", "levene", "pitman-morgan"),
    )  # fmt: skip
    assert len(found) == 4 * 2 * 3 and set(found["correction"]) == {"holm over 24"}
    of = found.set_index(["benchmark", "model", "after", "test"]).sort_index()
    last = published_clas.summary().set_index(["benchmark", "model", "language", "column"])
    for benchmark, model, n, p in (
        ("XNLI", LLAMA, 14, 0.0478),
        ("XNLI", QWEN, 14, 1.71e-6),
        ("XQuAD", LLAMA, 11, 0.1061),
        ("XQuAD", QWEN, 11, 0.3306),
    ):
        row = of.loc[(benchmark, model, "clas", "paired t")]
        # Half a unit of the last digit of either.
        assert row["p"] == pytest.approx(p, abs=5e-5 if p > 0.01 else 5e-9)
        assert row["n"] == n
        for column, name in (("base", "sd_before"), ("int_mu", "sd_after"), ("clas", "sd_after")):
            shown = of.loc[(benchmark, model, "clas" if column == "base" else column, "levene")]
            printed_sd = last.loc[(benchmark, model, "SD", column), "published"]
            assert shown[name] == pytest.approx(printed_sd, abs=PRINTED)
        assert of.loc[(benchmark, model, "clas", "levene"), "p"] > 0.05
    # Of the two gains that are told as significant, one is left once all was looked at.
    alone = compare(scores(), "score", condition="scheme", before="base", after="clas",
                    by=("benchmark", "model"))  # fmt: skip
    assert (alone["p"] < 0.05).tolist() == [True, True, False, False]
    assert (alone["p_corrected"] < 0.05).tolist() == [False, True, False, False]


def test_the_spread_of_one_half_table_is_not_stable_where_languages_are_paired() -> None:
    found = {(a, b): changed(a, b).pitman_p for a in CODES for b in (LLAMA, QWEN)}
    assert [place for place, p in found.items() if p < 0.05] == [("XQuAD", LLAMA)]
    # Of sum and difference of the printed scores: r = .736, t = 3.27 at 9 degrees of freedom.
    assert found["XQuAD", LLAMA] == pytest.approx(0.0097, abs=5e-5)


def test_the_baseline_moves_nothing_on_xnli() -> None:
    found = [changed("XNLI", model, by="int_mu").p for model in (LLAMA, QWEN)]
    assert found == pytest.approx([0.63, 0.33], abs=PRINTED)


@pytest.mark.parametrize("model", [LLAMA, QWEN])
@pytest.mark.parametrize("benchmark", ["XNLI", "XQuAD"])
def test_the_last_rows_follow_from_the_others(benchmark: str, model: str) -> None:
    last = published_clas.summary()
    last = last[(last["benchmark"] == benchmark) & (last["model"] == model)]
    last = last.pivot(index="language", columns="column", values="published")
    whole = printed(benchmark, model, anchor=True)
    spread = {"base": changed(benchmark, model).sd_before}
    spread |= {by: changed(benchmark, model, by=by).sd_after for by in ("int_mu", "clas")}
    for column in CONDITIONS.values():
        assert whole[column].mean() == pytest.approx(last.loc["AVG", column], abs=PRINTED)
        assert spread[column] == pytest.approx(last.loc["SD", column], abs=PRINTED)


def test_the_abstract_adds_both_models_and_divides() -> None:
    last = published_clas.summary()
    means = last[last["language"] == "AVG"].groupby(["benchmark", "column"])["published"].sum()
    for benchmark, gain in published_clas.RELATIVE_GAINS.items():
        own = 100 * means[benchmark, "clas"] / means[benchmark, "base"]
        assert own == pytest.approx(gain, abs=0.05)


def test_languages_are_the_data_sets_own_by_the_projects_codes() -> None:
    whole = published_clas.tables()
    assert len(whole) == 2 * (15 + 12) and not whole.isna().any().any()
    for name, own in whole.groupby("benchmark"):
        used = [
            code for code, known in published_clas.LANGUAGES.items() if known in {*own["language"]}
        ]
        assert len(used) * 2 == len(own)
        for code in used:
            assert flores_style(CODES[str(name)], code) == published_clas.LANGUAGES[code]


def test_a_model_and_a_benchmark_count_as_the_papers_only_under_their_own_names() -> None:
    name = published_clas.model_name
    assert name("meta-llama/Llama-3.1-8B-Instruct", revision="main") == LLAMA
    assert name("Qwen2.5-7B-Instruct", revision="a" * 40) == QWEN
    for model in ("meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-7B", "miniworld-llama"):
        assert name(model, revision="main") is None
    assert name("Qwen/Qwen2.5-7B-Instruct", revision="step1000") is None
    assert [published_clas.benchmark(one) for one in ("xnli", "XQuAD")] == ["XNLI", "XQuAD"]
    assert published_clas.benchmark("harness/xnli") is published_clas.benchmark("mini_xnli") is None


def test_printed_cells_stand_beside_ours() -> None:
    theirs = published_clas.cells()
    assert len(theirs) == 3 * len(published_clas.tables())
    places = ["benchmark", "metric", "model", "language"]
    ours = theirs.rename(columns={"published": "value"}).assign(n=5010, low=nan, high=nan)
    ours.loc[ours["column"] == "base", ["low", "high"]] = [0.0, 100.0]
    both = pd.concat([theirs, published_clas.summary()], ignore_index=True)
    joined = compared.join(ours, both, places=places)
    assert len(joined) == len(both) and (joined["difference"].dropna() == 0).all()
    assert joined["inside"].notna().sum() == len(published_clas.tables())
    german = joined.set_index(["benchmark", "model", "language", "column"])["published"]
    assert german["XNLI", LLAMA, "deu_Latn", "clas"] == 1.62
    assert german["XQuAD", QWEN, "SD", "clas"] == 4.95
