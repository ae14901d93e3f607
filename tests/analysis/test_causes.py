"""NeuronXA's other causes and gains over languages: statsmodels' and scipy's numbers, corrected."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis import read
from analysis.latent import frames
from analysis.latent import gains as latent_gains
from analysis.layout.material import Material
from analysis.neuronxa import causes
from analysis.results.steering import OUTCOMES
from tests.makers import latent_rows
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run
from tests.makers.pages import said, sheets

MEASURES = ("mexa", "nasca")


def material_of(folder: Path, models: int, *, benchmarks: tuple[str, ...] = ("belebele",)):
    """Models whose accuracies follow scores of their own; the last has the first benchmark alone.

    Tokens per token of the pivot vary over languages.
    """
    random = np.random.default_rng(1)
    items, alignment = [], []
    for number in range(models):
        scores = planted(number)
        fertility = dict(zip(scores, (1 + random.random(len(scores))).round(2), strict=True))
        model = f"m/{number}"
        alignment.append(
            alignment_rows(model, scores=scores, fertility=fertility, measures=MEASURES)
        )
        accuracies = follow(scores, slope=0.4, start=0.3 + number / 50, noise=0.08, seed=number)
        own = benchmarks[:1] if number and number == models - 1 else benchmarks
        items += [item_rows(model, accuracies=accuracies, benchmark=one, n=100) for one in own]
    run = write_run(folder, items=pd.concat(items), alignment=pd.concat(alignment))
    return Material(read.rows([run]))


def in_deviations(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The rows of a measure, numbers in standard deviations."""
    own = rows[rows["measure"] == measure]
    columns = own[["score", "fertility"]]
    return own.assign(**(columns - columns.mean()) / columns.std())


def test_of_one_model_it_is_least_squares_beside_tokens_and_script(tmp_path: Path) -> None:
    material = material_of(tmp_path / "run", 1)
    rows, found = material.get(causes.rows), material.get(causes.regressions)
    assert len(rows) == len(MEASURES) * 12
    # Russian, Chinese, Greek, Hindi and Arabic.
    assert rows.groupby("measure")["other_script"].sum().tolist() == [5, 5]
    assert set(found["part"]) == {"fixed"} and not found["term"].str.contains("state").any()
    assert found[["models", "languages"]].drop_duplicates().to_numpy().tolist() == [[1, 12]]
    for measure, own in found.groupby("measure"):
        direct = smf.ols(
            "accuracy ~ score + fertility + other_script", in_deviations(rows, str(measure))
        ).fit(cov_type="HC3", use_t=True)
        fitted = own.set_index("term").loc[direct.params.index]
        assert fitted["estimate"].to_numpy() == pytest.approx(direct.params.to_numpy())
        assert fitted["p"].to_numpy() == pytest.approx(direct.pvalues.to_numpy())


def test_p_is_corrected_over_the_whole_table(tmp_path: Path) -> None:
    found = material_of(tmp_path / "run", 1, benchmarks=("belebele", "xcopa")).get(
        causes.regressions
    )
    asked = found[found["term"] != "Intercept"]
    assert len(asked) == 2 * len(MEASURES) * 3
    corrected = multipletests(asked["p"], method="holm")[1]
    assert asked["p_corrected"].to_numpy() == pytest.approx(corrected)
    assert found[found["term"] == "Intercept"]["p_corrected"].isna().all()


def test_few_models_have_constants_and_languages_are_drawn(tmp_path: Path) -> None:
    material = material_of(tmp_path / "run", 3)
    rows, found = material.get(causes.rows), material.get(causes.regressions)
    own = found[found["measure"] == "nasca"].set_index("term")
    assert own.loc["language", "part"] == "random" and "state" not in own.index
    assert own.index.str.startswith("state = ").sum() == 2
    direct = smf.mixedlm(
        "accuracy ~ score + fertility + other_script + C(state)", in_deviations(rows, "nasca"),
        groups="language",
    ).fit(reml=True)  # fmt: skip
    names = ["score", "fertility", "other_script"]
    # Both climb to the same best, each as near as its own search goes.
    assert own.loc[names, "estimate"].to_numpy() == pytest.approx(
        direct.params[names].to_numpy(), abs=1e-2 * float(direct.bse["score"])
    )
    assert own.loc["language", "estimate"] ** 2 == pytest.approx(
        direct.cov_re.iloc[0, 0], abs=1e-2 * float(direct.scale)
    )


def test_many_models_are_drawn_too(tmp_path: Path) -> None:
    found = material_of(tmp_path / "run", causes.FEWEST_MODELS).get(causes.regressions)
    random = found[(found["part"] == "random") & (found["measure"] == "nasca")]
    assert list(random["term"]) == ["language", "state", "residual"]
    assert not found["term"].str.startswith("state = ").any()
    assert (found["models"] == causes.FEWEST_MODELS).all()


def test_what_one_model_alone_answered_is_fitted_as_that_of_one_model(tmp_path: Path) -> None:
    material = material_of(tmp_path / "run", 2, benchmarks=("belebele", "xcopa"))
    rows, found = material.get(causes.rows), material.get(causes.regressions)
    lone = found[found["benchmark"] == "xcopa"]
    assert (lone["models"] == 1).all() and set(lone["part"]) == {"fixed"}
    both = found[found["benchmark"] == "belebele"]
    assert (both["models"] == 2).all() and "random" in set(both["part"])
    own = rows[rows["benchmark"] == "xcopa"]
    direct = smf.ols(
        "accuracy ~ score + fertility + other_script", in_deviations(own, "nasca")
    ).fit(cov_type="HC3", use_t=True)
    fitted = lone[lone["measure"] == "nasca"].set_index("term").loc[direct.params.index]
    assert fitted["estimate"].to_numpy() == pytest.approx(direct.params.to_numpy())
    asked = found[found["p_corrected"].notna()]
    assert asked["p_corrected"].to_numpy() == pytest.approx(
        multipletests(asked["p"], method="holm")[1]
    )
    assert set(asked["correction"]) == {f"holm over {len(asked)}"}
    assert found.loc[found["term"] == "Intercept", "p_corrected"].isna().all()


def test_the_exhibit_reads_and_is_empty_without_scores(tmp_path: Path) -> None:
    shown = causes.CAUSES.show(material_of(tmp_path / "run", 1))
    (sheet,) = sheets(shown.parts).values()
    assert len(sheet) == len(MEASURES) and said(shown.parts)
    accuracies = follow(planted(0), slope=0.4, start=0.3, noise=0.08, seed=0)
    bare = write_run(tmp_path / "bare", items=item_rows("m/0", accuracies=accuracies))
    assert not causes.CAUSES.show(Material(read.rows([bare]))).parts


def test_gains_over_languages_are_scipys_paired_t_corrected_together(tmp_path: Path) -> None:
    few = latent_rows.LANGUAGES[:5]
    made = latent_rows.World(
        accuracy=latent_rows.accuracies(languages=few), layers=(2, 6), items=40
    )
    material = Material(read.rows([latent_rows.write(tmp_path / "run", made)]))
    found = material.get(latent_gains.gains)
    assert len(found) == 2 * 2 * len(OUTCOMES)
    effects = material.get(frames.steered)
    for row in found.to_dict("records"):
        own = effects[
            (effects["layer"] == row["layer"]) & (effects["coefficient"] == row["coefficient"])
        ]
        name = row["outcome"]
        pairs = own[[name, f"plain_{name}"]].dropna()
        assert row["n"] == len(pairs)
        assert row["estimate"] == pytest.approx((pairs[name] - pairs[f"plain_{name}"]).mean())
        if row["p"] == row["p"]:
            direct = stats.ttest_rel(pairs[name], pairs[f"plain_{name}"])
            assert (row["t"], row["p"]) == pytest.approx((direct.statistic, direct.pvalue))
        else:
            assert row["note"]
    known = found.dropna(subset=["p"])
    assert len(known) > len(OUTCOMES)
    corrected = multipletests(known["p"], method="holm")[1]
    assert known["p_corrected"].to_numpy() == pytest.approx(corrected)
    (sheet,) = sheets(latent_gains.GAINS.show(material).parts).values()
    assert len(sheet) == min(len(known), 24)


def test_gains_are_means_over_draws_and_nothing_without_steering(tmp_path: Path) -> None:
    made = latent_rows.World(
        accuracy=latent_rows.accuracies(languages=latent_rows.LANGUAGES[:4]), layers=(2, 6),
        items=40,
    )  # fmt: skip
    run = latent_rows.write(tmp_path / "run", made)
    once = Material(read.rows([run])).get(latent_gains.gains)
    again = [row | {"seed": 1, "key": f"{row['key']}/1"} for row in latent_rows.steered_rows(made)]
    latent_rows.write_shard(run, "items", again, name="f" * 32)
    twice = Material(read.rows([run])).get(latent_gains.gains)
    # A second draw with the same answers changes no mean and adds no language.
    for name in ("n", "estimate", "p"):
        assert twice[name].to_numpy(float) == pytest.approx(once[name].to_numpy(float), nan_ok=True)
    plain = tmp_path / "plain"
    latent_rows.write_shard(plain, "items", latent_rows.plain_rows(made), name="0" * 32)
    bare = Material(read.rows([plain]))
    assert bare.get(latent_gains.gains).empty
    assert not latent_gains.GAINS.show(bare).parts
