"""The chain of CLAS: a planted gain is found, chosen and reported, and no control has it."""

from collections.abc import Mapping
from functools import cache

import pytest

from actors.answer import Answer
from actors.work import run_unit
from studies.kinds import choices
from studies.kinds.scaled import CONTROLS, ScalingGrid, _OneModel
from studies.neuron_options import PLAIN, Strength, strength
from studies.spec import Row
from studies.tuning_split import choose
from tests.makers import planted_neurons, tiny
from tests.makers.planted_neurons import LANGUAGES, NEEDED, questions
from tests.makers.rescaled import scale, sort, split_of
from tests.makers.rounding import of_model
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric
ANCHOR = LANGUAGES[0]
ALPHAS = (-1.0, 0.0, 1.0, 4.0, 12.0)
STRENGTHS = tuple(strength(alpha, beta=0.4, gamma=0.2) for alpha in ALPHAS)
# The least that is enough: what is chosen of equal ones is nearest to nothing.
ENOUGH = strength(4.0, beta=0.4, gamma=0.2)
HELD_OUT = range(10, 22)


def grid(**given: object) -> ScalingGrid:
    asked = {
        "benchmark": "marks", "languages": ("all",), "sampled": "letters", "samples": 8,
        "strengths": STRENGTHS, "tuning": 10, "controls": CONTROLS, "draws": 6,
        "bridge": (planted_neurons.model().facts.layers,),
    }  # fmt: skip
    return ScalingGrid(**asked | given)  # type: ignore[arg-type]


@cache
def answers(**given: object) -> Mapping[str, Answer]:
    splits = {
        language: split_of(questions(language, range(10)), questions(language, HELD_OUT))
        for language in LANGUAGES
    }
    return scale(planted_neurons.model(), grid(**given), planted_neurons.samples(), splits)


def accuracy(rows: list[Row], scheme: str, **where: object) -> float:
    own = [
        bool(row["correct"])
        for row in rows
        if row["intervention"] == scheme and all(row[k] == v for k, v in where.items())
    ]
    return sum(own) / len(own)


def test_tuning_sees_where_answers_flip() -> None:
    assert ENOUGH.shared > NEEDED > strength(1.0, beta=0.4, gamma=0.2).shared
    rows = answers()["tuning"].rows
    assert len(rows) == len(LANGUAGES) * len(STRENGTHS)
    for row in rows:
        assert row["value"] == float(float(str(row["shared"])) > NEEDED), row
        assert row["n"] == 10 and row["metric"] == "accuracy"
        if row["shared"] == 0:
            assert row["macro_f1"] == 0 and row["top_share"] == 0.5


def test_the_planted_gain_is_found_and_no_control_has_it() -> None:
    rows = answers()["scaled"].rows
    for language in LANGUAGES[1:]:
        where = {"language": language}
        plain = [row for row in rows if row["intervention"] == "clas" and row["coefficient"] == 0]
        assert not any(row["correct"] for row in plain)
        for scheme in ("clas", "clas_on_anchor", "clas_on_others"):
            assert accuracy(rows, scheme, coefficient=ENOUGH.shared, **where) == 1
        assert accuracy(rows, "uniform", **where) == 0
        # A draw may hit one of the two neurons, which decides half of the items.
        draws = [accuracy(rows, "random", seed=draw, **where) for draw in range(6)]
        assert max(draws) <= 0.5 and sum(draws) <= 1
    # The anchor is left alone but where that is the question.
    english = {str(row["intervention"]) for row in rows if row["language"] == ANCHOR}
    assert english == {"clas", "clas_in_anchor"}
    assert accuracy(rows, "clas", language=ANCHOR) == 0
    assert accuracy(rows, "clas_in_anchor", language=ANCHOR) == 1
    ids = {str(row["item"]) for row in rows}
    assert ids == set(map(str, HELD_OUT)) and not ids & set(map(str, range(10)))


def test_every_draw_and_scheme_has_its_rows() -> None:
    rows = answers()["scaled"].rows
    german = [row for row in rows if row["language"] == "deu_Latn"]
    counts: dict[str, set[object]] = {}
    for row in german:
        counts.setdefault(str(row["intervention"]), set()).add(row["key"])
    assert {name: len(keys) for name, keys in counts.items() if len(keys) > 1} == {
        "clas": 2, "random": 6, "mixed": 5,
    }  # fmt: skip
    assert {row["seed"] for row in german if row["intervention"] == "random"} == set(range(6))


def test_a_language_without_neurons_of_int_mu_is_refused_and_the_rest_is_answered() -> None:
    found = answers()["scaled"]
    assert found.refused and all(
        "Int-mu has no neurons of" in why for why in found.refused.values()
    )
    answered = {str(row["key"]) for row in found.rows}
    assert answered and not answered & found.refused.keys()


def test_the_plain_answers_are_those_of_the_plain_model() -> None:
    loaded = planted_neurons.model()
    asked = questions("deu_Latn", HELD_OUT)
    draft = choices.draft(asked, model=loaded.facts)
    plain = run_unit(loaded, of_drafts(grid(), draft)).rows
    own = [
        row
        for row in answers()["scaled"].rows
        if row["language"] == "deu_Latn" and row["coefficient"] == 0
    ]
    for one, other in zip(plain, own, strict=True):
        assert one["item"] == other["item"] and one["prediction"] == other["prediction"]
        scores = [float(score) for score in other["scores"]]  # type: ignore[union-attr]
        bound = of_model(loaded) * max(1.0, *map(abs, scores))
        assert one["scores"] == pytest.approx(scores, abs=bound)


def test_states_and_pictures_have_their_rows() -> None:
    found, last = answers(), planted_neurons.model().facts.layers
    places = {(row["language"], row["layer"], row["site"]) for row in found["scaled_states"].rows}
    assert places == {
        (language, layer, site)
        for language in LANGUAGES[1:]
        for layer in (0, last)
        for site in ("h", "resid")
    }
    points = {(row["state"], row["side"], row["item"]) for row in found["scaled_points"].rows}
    assert len(points) == len(found["scaled_points"].rows) == 2 * len(LANGUAGES) * len(HELD_OUT)
    for row in (*found["scaled_states"].rows, *found["scaled_points"].rows):
        assert (row["shared"], row["specific"]) == tuple(ENOUGH)


def test_every_kind_refuses_neurons_of_another_model() -> None:
    _, _, artifacts, key = sort(planted_neurons.model(), grid(), planted_neurons.samples())
    loaded = tiny.loaded("llama")
    splits = {
        language: split_of(questions(language, range(10)), questions(language, HELD_OUT))
        for language in LANGUAGES
    }
    drafts = list(_OneModel(grid(), loaded.facts, splits, frozenset(), key).drafts())
    there = {**dict.fromkeys(drafts[-1].taken.values(), b""), **artifacts}
    assert {draft.kind for draft in drafts} == {
        *("tuning", "scaled", "scaled_states", "scaled_points")
    }
    for draft in drafts:
        with pytest.raises(ValueError, match=r"neurons were sorted in .* with other weights"):
            run_unit(loaded, of_drafts(grid(), draft), artifacts=there)


def test_a_choice_is_the_highest_mean_and_of_equal_ones_the_nearest_to_nothing() -> None:
    among = [PLAIN, Strength(1, 0), Strength(-1, 0), Strength(2, 0)]
    values = {"a": [0.5, 0.6, 0.6, 0.6], "b": [0.5, 0.5, 0.7, 0.5], "c": [0.9, 0.1, 0.1, 0.1]}

    def chosen(*languages: str) -> Strength:
        return choose(values, among, among=among, languages=languages)

    assert chosen("a") == Strength(1, 0)  # of equal ones at one distance the larger
    assert chosen("b") == chosen("a", "b") == Strength(-1, 0)
    assert chosen("a", "b", "c") == PLAIN
    assert choose(values, among, among=among[:2], languages=["b"]) == PLAIN
