"""The measures of every study, as that study's own tables have them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import read
from analysis.clas import frames as clas
from analysis.dali import frames as dali
from analysis.dali import gap_frames
from analysis.layout.material import Material
from analysis.results import log_ratio, written
from analysis.results.latent import LATENT, SERIES_OF_MEASURE
from analysis.trends.course import LAST, Course, courses
from analysis.trends.sources import names
from studies import kinds
from studies.measures import MEASURES
from studies.tables import KEY, LANGUAGE, MODEL, STUDY, Table, double
from tests.analysis.test_generate_page import rows_of, store
from tests.makers import dali_rows, latent_rows, scaled_rows
from tests.makers.analysis_rows import alignment_rows, item_rows, planted, write_run

STATES = ("step-100", "step-200")


def course_of(run: Path) -> tuple[Material, Course]:
    held = Material(read.rows([run]))
    (found,) = courses(held)
    assert set(found.levels["measure"]) <= {*names(), *MEASURES}, "--cross takes each of them"
    return held, found


def value(found: Course, measure: str, *, revision: str = STATES[1], of: str = "") -> float:
    """The level of a measure at a state."""
    rows = found.levels[
        (found.levels["measure"] == measure) & (found.levels["revision"] == revision)
    ]
    if of:
        rows = rows[rows["of"] == of]
    assert len(rows) == 1, found.levels[["measure", "of", "conditions", "revision"]]
    return float(rows["value"].iloc[0])


def at(frame: pd.DataFrame, revision: str = STATES[1], **wanted: object) -> pd.DataFrame:
    """The rows of a state with these values."""
    for name, held in {"revision": revision, **wanted}.items():
        frame = frame[frame[name] == held]
    assert len(frame)
    return frame


def test_agreement_and_log_ratios_are_those_of_the_latent_study(tmp_path: Path) -> None:
    worlds = [
        latent_rows.World(
            revision=name, accuracy=latent_rows.accuracies(best=best), layers=(2, 4, 6, 8),
            items=40, sample=4, coefficients=(2.0,), controls=(),
        )
        for name, best in zip(STATES, (0.6, 0.8), strict=True)
    ]  # fmt: skip
    held, found = course_of(latent_rows.write(tmp_path / "run", *worlds))
    for revision in STATES:
        row = at(held.overall, revision).iloc[0]
        for measure, column in (
            ("consistency", "consistency"), ("transfer", "tr_plus"),
            ("excess transfer", "excess_plus"), ("accuracy", "accuracy"),
        ):  # fmt: skip
            assert value(found, measure, revision=revision) == pytest.approx(row[column])
    cells = log_ratio.over_layers(
        log_ratio.others(held.latent), series=SERIES_OF_MEASURE, columns=[log_ratio.USUAL]
    )
    own = at(cells, measure=LATENT, layers="middle half")[log_ratio.USUAL]
    assert value(found, "log ratio") == pytest.approx(own.mean())
    ratios = found.untested[found.untested["measure"] == "log ratio"]
    assert ratios["against"].tolist() == [LAST]
    assert {"cka", "cosine", "cosine_centred"} <= set(found.levels["measure"])
    change = found.untested[found.untested["measure"] == "consistency"].iloc[0]
    both = [at(held.overall, name).iloc[0]["consistency"] for name in STATES]
    assert change["change"] == pytest.approx(both[1] - both[0])


def test_shares_and_gaps_are_those_of_the_dali_study(tmp_path: Path) -> None:
    worlds = [
        dali_rows.World(
            revision=name, key=name,
            wrong=dict(zip(dali_rows.LANGUAGES, (n, n + 4, n + 8, n + 12, n + 16), strict=True)),
        )
        for name, n in zip(STATES, (30, 12), strict=True)
    ]  # fmt: skip
    run = dali_rows.write(tmp_path / "run", *worlds, parts=("option_alignment", "items"))
    held, found = course_of(run)
    for revision in STATES:
        for rule in ("dali", "strong", "mexa"):
            shares = at(held.get(dali.level_table), revision, measure=rule)["share"]
            assert value(found, f"{rule} share", revision=revision) == pytest.approx(shares.mean())
            gaps = at(held.get(gap_frames.gap_tests), revision, measure=rule)["gap"]
            assert value(found, f"{rule} gap", revision=revision) == pytest.approx(gaps.mean())
    change = found.untested[found.untested["measure"] == "dali share"].iloc[0]
    assert change["items"] == 80 and change["languages"] == len(dali_rows.LANGUAGES)


@pytest.mark.parametrize("benchmark", [scaled_rows.CHOICES, scaled_rows.WRITTEN])
def test_gains_are_those_of_the_clas_study(tmp_path: Path, benchmark: str) -> None:
    more = {code: gain + 3 for code, gain in scaled_rows.World().gains.items()}
    first = scaled_rows.World(revision=STATES[0], benchmark=benchmark, controls=(), random=(),
                              mixed=())  # fmt: skip
    run = scaled_rows.write(tmp_path / "run", first, replace(first, revision=STATES[1], gains=more))
    held, found = course_of(run)
    for revision in STATES:
        means = clas.metric_of(at(held.get(clas.means), revision))
        for scheme, measure in (("clas", "CLAS gain"), ("intmu_mean", "Int-mu gain")):
            (gain,) = at(means, revision, scheme=scheme)["change"]
            assert 100 * value(found, measure, revision=revision) == pytest.approx(gain)
    levels = clas.metric_of(at(held.get(clas.levels)))["value"]
    metric = "held-out accuracy" if benchmark == scaled_rows.CHOICES else "held-out f1"
    assert 100 * value(found, metric) == pytest.approx(levels.mean())
    change = found.untested[found.untested["measure"] == "CLAS gain"].iloc[0]
    assert change["change"] == pytest.approx(3 / 60) and change["items"] == 60


def test_written_texts_have_the_mean_score_of_their_items(tmp_path: Path) -> None:
    parts = [
        pd.DataFrame(rows_of(["x y"] * 4, scores=scores)).assign(revision=name, key=name)
        for name, scores in zip(STATES, ([0, 1, 0, 1], [1, 1, 0, 1]), strict=True)
    ]
    run = store(tmp_path / "run", pd.concat(parts).to_dict("records"))
    held, found = course_of(run)
    means = written.over_languages(held.written[held.written["metric"] == "f1_mixed"])
    for revision, expected in zip(STATES, (0.5, 0.75), strict=True):
        assert value(found, "F1 mixed", revision=revision) == pytest.approx(expected)
        assert at(means, revision)["value"].iloc[0] == pytest.approx(expected)


def test_the_numbers_of_a_kind_of_ones_own_are_measures_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(
        name="lengths", row="(cell)",
        columns=(STUDY, MODEL, LANGUAGE, double("length", "how long texts are"), KEY),
    )  # fmt: skip
    known = {**kinds.tables(), "lengths": table}
    for module in ("analysis.read", "analysis.layout.material", "analysis.trends.sources"):
        monkeypatch.setattr(f"{module}.tables", lambda: known)
    rows = pd.DataFrame(
        [
            {"study": "mine", "model": "m", "revision": name, "language": code, "length": length,
             "key": f"{name}/{code}"}
            for number, name in enumerate(STATES)
            for code, length in (("deu_Latn", 4.0 + number), ("fra_Latn", 6.0 + 3 * number))
        ]
    )  # fmt: skip
    place = tmp_path / "run" / "tables" / "lengths"
    place.mkdir(parents=True)
    rows.to_parquet(place / "0.parquet")
    _, found = course_of(tmp_path / "run")
    assert [value(found, "length", revision=name) for name in STATES] == [5.0, 7.0]
    assert found.untested["against"].tolist() == [LAST]


def test_conditions_stay_apart_and_what_one_state_alone_has_is_named(tmp_path: Path) -> None:
    scores = planted(1)
    alignment = [
        alignment_rows("m", scores=scores, revision=name, measures=("nasca",), poolings=poolings)
        for name, poolings in zip(STATES, (("weighted", "last"), ("weighted", "last")), strict=True)
    ]
    items = [
        item_rows("m", accuracies={"deu_Latn": 0.5}, n=10, revision=STATES[1]),
        item_rows("other", accuracies={"deu_Latn": 0.5}, n=10),
    ]
    run = write_run(
        tmp_path / "run", alignment=pd.concat(alignment), items=pd.concat(items),
        record={"study": "neuronxa"},
    )  # fmt: skip
    _, found = course_of(run)
    texts = [one.place.text for one in found.measured]
    assert texts == ["NASCA on flores200, last", "NASCA on flores200, weighted"]
    assert found.alone == ()
    again = item_rows("m", accuracies={"deu_Latn": 0.5}, n=10, revision=STATES[0],
                      benchmark="xnli")  # fmt: skip
    run = write_run(
        tmp_path / "more", alignment=pd.concat(alignment), items=pd.concat([*items, again]),
        record={"study": "neuronxa"},
    )  # fmt: skip
    assert course_of(run)[1].alone == (
        "accuracy on belebele (step-200)", "accuracy on xnli (step-100)",
    )  # fmt: skip


def test_the_metric_of_a_benchmark_is_the_one_that_its_page_shows(tmp_path: Path) -> None:
    languages = {"deu_Latn": 0.5, "fra_Latn": 0.6, "rus_Cyrl": 0.7}
    items = [
        item_rows("m", accuracies=languages, n=10, revision=name, benchmark="harness/m_arc",
                  normed={code: share - 0.1 * (1 + number) for code, share in languages.items()})
        for number, name in enumerate(STATES)
    ]  # fmt: skip
    run = write_run(tmp_path / "run", items=pd.concat(items), record={"study": "neuronxa"})
    held, found = course_of(run)
    shown = held.accuracies[held.accuracies["main"]]
    for revision in STATES:
        own = at(shown, revision)["accuracy"].mean()
        assert value(found, "accuracy", revision=revision) == pytest.approx(own)
    assert value(found, "accuracy") == pytest.approx(np.mean([0.3, 0.4, 0.5]))
