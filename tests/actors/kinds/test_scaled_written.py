"""Written answers with rescaled neurons: tuned by F1, found where they were planted."""

from collections.abc import Mapping
from functools import cache

import pytest

from actors.answer import Answer
from actors.work import run_unit
from studies.kinds import generation
from studies.kinds.scaled import CONTROLS, ScalingGrid
from studies.neuron_options import Rescaling, Strength, strength
from studies.spec import Row
from studies.texts import GenerationItem, GenerationSet
from tests.makers import planted_neurons
from tests.makers.planted_neurons import LANGUAGES, LETTERS, NEEDED, questions
from tests.makers.rescaled import scale, split_of
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric
ANCHOR = LANGUAGES[0]
STRENGTHS = tuple(strength(alpha, beta=0.4, gamma=0.2) for alpha in (0.0, 1.0, 4.0))
ENOUGH = STRENGTHS[-1]
COUNT = 3


def asked(language: str, *, first: int) -> GenerationSet:
    """Prompts that the plain model ends with the wrong option, A, and that B is the answer to."""
    items = tuple(
        GenerationItem(id=str(number), prompt=f"{LETTERS[language] * number}y", references=("B",))
        for number in range(first, first + COUNT)
    )
    return GenerationSet(
        benchmark="spans", language=language, prompt="p", items=items, max_new_tokens=1, task="span"
    )


def grid(where: str) -> ScalingGrid:
    return ScalingGrid(
        benchmark="spans", languages=("all",), sampled="letters", samples=8, strengths=STRENGTHS,
        tuning=COUNT, controls=CONTROLS, draws=4, bridge=(planted_neurons.model().facts.layers,),
        rescaling=Rescaling(clas_pos=where), states=False,  # type: ignore[arg-type]
    )  # fmt: skip


@cache
def answers(where: str) -> Mapping[str, Answer]:
    splits = {
        language: split_of(asked(language, first=1), asked(language, first=1 + COUNT))
        for language in LANGUAGES
    }
    return scale(planted_neurons.model(), grid(where), planted_neurons.samples(), splits)


def mean(rows: list[Row], scheme: str, **where: object) -> float:
    own = [
        float(str(row["f1"]))
        for row in rows
        if row["intervention"] == scheme and all(row[k] == v for k, v in where.items())
    ]
    return sum(own) / len(own)


@pytest.mark.parametrize("where", ["all", "prompt", "last"])
def test_a_planted_gain_is_found_in_written_answers(where: str) -> None:
    assert ENOUGH.shared > NEEDED > STRENGTHS[1].shared
    for row in answers(where)["tuning"].rows:
        assert row["metric"] == "f1" and row["macro_f1"] is row["top_share"] is None
        assert row["n"] == COUNT and row["value"] == float(row["shared"] == ENOUGH.shared)
    rows = answers(where)["scaled"].rows
    assert {row["item"] for row in rows} == {"4", "5", "6"}
    for language in LANGUAGES[1:]:
        assert mean(rows, "clas", language=language, coefficient=0) == 0
        for scheme in ("clas", "clas_on_anchor", "clas_on_others"):
            assert mean(rows, scheme, language=language, coefficient=ENOUGH.shared) == 1
        assert mean(rows, "uniform", language=language) == 0
        assert mean(rows, "random", language=language) <= 0.25
    assert mean(rows, "clas", language=ANCHOR) == 0
    assert mean(rows, "clas_in_anchor", language=ANCHOR) == 1


def test_what_acts_on_new_tokens_alone_is_refused_where_there_is_one() -> None:
    with pytest.raises(ValueError, match="expected at least 1, and 2 for an intervention") as told:
        answers("generated")
    assert "\n" not in str(told.value)
    splits = {
        language: split_of(questions(language, range(3)), questions(language, range(3, 6)))
        for language in LANGUAGES
    }
    with pytest.raises(ValueError, match="no option has more than one token") as told:
        scale(planted_neurons.model(), grid("generated"), planted_neurons.samples(), splits)
    assert "\n" not in str(told.value)


def test_the_plain_texts_are_those_of_generation() -> None:
    loaded = planted_neurons.model()
    plain = generation.draft(asked("deu_Latn", first=1 + COUNT), model=loaded.facts)
    expected = run_unit(loaded, of_drafts(grid("all"), plain)).rows
    own = [
        row
        for row in answers("all")["scaled"].rows
        if row["language"] == "deu_Latn" and row["coefficient"] == 0
    ]
    assert len(own) == COUNT
    same = ("item", "output", "tokens", "stopped", "f1", "exact", "settings", "engine")
    for one, other in zip(expected, own, strict=True):
        assert {name: one[name] for name in same} == {name: other[name] for name in same}
        assert one["switches"] is None and other["switches"] == grid("all").how


@pytest.mark.parametrize("scope", ["only_current", "not_current"])
def test_a_language_without_specific_neurons_is_tuned_like_the_others(scope: str) -> None:
    """The anchor's and German's are there in the last layer, and French has none."""
    one, doses = grid("all"), (Strength(0.0, -0.2),)
    given = {
        "benchmark": one.benchmark, "languages": one.languages, "sampled": one.sampled,
        "samples": one.samples, "strengths": STRENGTHS, "doses": doses, "tuning": COUNT,
        "bridge": one.bridge, "states": False,
    }  # fmt: skip
    splits = {
        language: split_of(asked(language, first=1), asked(language, first=1 + COUNT))
        for language in LANGUAGES
    }
    found = scale(
        planted_neurons.model(),
        ScalingGrid(**given, rescaling=Rescaling(spec_scope=scope)),  # type: ignore[arg-type]
        planted_neurons.samples(),
        splits,
    )
    rows = found["tuning"].rows
    assert {row["language"] for row in rows if row["specific"] == -0.2} == {*LANGUAGES}
    assert mean(found["scaled"].rows, "clas", language="fra_Latn", coefficient=ENOUGH.shared) == 1
