"""The chain of CLAS: a planted gain is found, chosen and reported, and no control has it."""

from collections.abc import Mapping
from functools import cache

import pytest
import torch

from actors.answer import Answer
from actors.extraction.capture import tokens
from actors.intervention.intervene import armed, gather, places_of
from actors.kinds.resources import PivotCache, Resources
from actors.kinds.scaled import strengths_of
from actors.neurons.file import TUNING_FORM, AboutTuning, read_categories
from actors.neurons.scaling import rescaled
from actors.work import run_unit
from studies.kinds import choices
from studies.kinds.scaled import CONTROLS, ScalingGrid
from studies.neuron_options import PLAIN, Rescaling, Strength, strength
from studies.spec import Row
from studies.tuning_split import choose
from studies.unit import Part
from tests.makers import planted_neurons
from tests.makers.planted_neurons import LANGUAGES, NEEDED, questions
from tests.makers.rescaled import scale, split_of
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
        assert one["scores"] == pytest.approx(other["scores"], abs=of_model(loaded) * 10)


def test_states_before_and_after_are_those_of_plain_passes() -> None:
    loaded = planted_neurons.model()
    found = answers()
    (content,) = found["categories"].artifacts.values()
    categories = read_categories(content)
    last = loaded.facts.layers
    rows = [row for row in found["scaled_states"].rows if row["language"] == "deu_Latn"]
    assert {(row["layer"], row["site"]) for row in rows} == {
        (layer, site) for layer in (0, last) for site in ("h", "resid")
    }
    setting = rescaled(categories, ENOUGH, language="deu_Latn", how=Rescaling())
    own, anchor = (
        loaded.encode([item.context for item in questions(one, HELD_OUT).items],
                      allow_truncation=False).sequences
        for one in ("deu_Latn", ANCHOR)
    )  # fmt: skip
    for row in rows:
        site = "mlp_hidden" if row["site"] == "h" else "resid_post"
        cosines: dict[str, list[float]] = {"before": [], "after": []}
        for text, other in zip(own, anchor, strict=True):
            (there,) = tokens(loaded, [other], [(site, last)])  # type: ignore[list-item]
            for name, acting in (("before", ()), ("after", setting)):
                end = len(text)
                places = places_of(acting, prompt=0, row=0, length=end, end=end)
                with armed(loaded.sites, gather(places, device=loaded.device), rows=1):
                    (here,) = tokens(loaded, [text], [(site, last)])  # type: ignore[list-item]
                pair = (one[site, last].double().mean(dim=0) for one in (here, there))  # type: ignore[index]
                cosines[name].append(float(torch.cosine_similarity(*pair, dim=0)))
        for name, values in cosines.items():
            assert row[name] == pytest.approx(sum(values) / len(values), abs=1e-5), row
    assert any(abs(float(str(row["after"])) - float(str(row["before"]))) > 0.01 for row in rows)


def test_pictures_hold_every_prompt_twice() -> None:
    rows = answers()["scaled_points"].rows
    assert len(rows) == 2 * len(LANGUAGES) * len(HELD_OUT)
    for row in rows:
        assert -1 <= float(str(row["silhouette"])) <= 1 and 0 <= float(str(row["distance"])) <= 2
        if row["side"] == ANCHOR:
            assert row["distance"] == pytest.approx(0, abs=1e-12)


def test_a_choice_is_the_highest_mean_and_of_equal_ones_the_nearest_to_nothing() -> None:
    among = [PLAIN, Strength(1, 0), Strength(-1, 0), Strength(2, 0)]
    values = {"a": [0.5, 0.6, 0.6, 0.6], "b": [0.5, 0.5, 0.7, 0.5], "c": [0.9, 0.1, 0.1, 0.1]}

    def chosen(*languages: str) -> Strength:
        return choose(values, among, among=among, languages=languages)

    assert chosen("a") == Strength(1, 0)  # of equal ones at one distance the larger
    assert chosen("b") == chosen("a", "b") == Strength(-1, 0)
    assert chosen("a", "b", "c") == PLAIN
    assert choose(values, among, among=among[:2], languages=["b"]) == PLAIN


def test_strengths_are_chosen_on_all_on_the_anchor_and_on_others() -> None:
    strengths = ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0))
    values = {"eng_Latn": (0, 0, 1), "deu_Latn": (0, 1, 0), "fra_Latn": (0.9, 0, 0),
              "rus_Cyrl": (0.9, 0, 0)}  # fmt: skip
    artifacts, taken = {}, {}
    for language, own in values.items():
        about = AboutTuning(
            identity="", benchmark="b", language=language, ids=(), metric="accuracy",
            strengths=strengths, values=tuple(map(float, own)),
        )  # fmt: skip
        artifacts[language] = TUNING_FORM.pack(about, {"values": torch.tensor(about.values)})
        taken[f"tuning {language}"] = language
    part = Part(cells=(), content=questions("deu_Latn", [1]), characters=1, taken=taken)
    one = grid(strengths=tuple(Strength(*each) for each in strengths))
    resources = Resources(artifacts, PivotCache())
    german = strengths_of(part, one, resources, language="deu_Latn")
    assert german == {
        "clas": Strength(0, 0), "clas_on_anchor": Strength(2, 0), "clas_on_others": Strength(0, 0)
    }  # fmt: skip
    russian = strengths_of(part, one, resources, language="rus_Cyrl")
    assert russian["clas_on_others"] == Strength(1, 0)
