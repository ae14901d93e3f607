"""Texts written with rescaled neurons and a cache equal those that recompute every token."""

from dataclasses import replace

import pytest

from actors.intervention.setting import Intervention
from actors.model import LoadedModel
from actors.neurons.file import read_categories
from actors.neurons.scaling import rescaled
from actors.prediction.generate import generate_tokens
from studies.neuron_options import Rescaling, Strength
from tests.actors.neurons.test_categories import FAMILIES, TEXTS, texts_of
from tests.makers import oracle_interventions, tiny
from tests.makers.rescaled import sort, sorting_grid

pytestmark = pytest.mark.numeric
PROMPTS = ("The cat", "Es regnete den ganzen Tag, und", "я", "So we read. Yes! No.")
ANCHOR = 3  # the last prompt is the anchor's, and is left alone
NEW = 9


def setting_of(loaded: LoadedModel, *, where: str) -> tuple[Intervention, ...]:
    """A rescaling of all prompts but the anchor's."""
    grid = sorting_grid(bridge=(loaded.facts.layers - 1, loaded.facts.layers))
    _, _, artifacts, key = sort(loaded, grid, [texts_of(language) for language in TEXTS])
    how = Rescaling(clas_pos=where)  # type: ignore[arg-type]
    categories = read_categories(artifacts[key])
    found = rescaled(categories, Strength(2.4, -0.9), language="deu_Latn", how=how)
    own = tuple(0.0 if place == ANCHOR else 1.0 for place in range(len(PROMPTS)))
    return tuple(replace(one, coefficient=own) for one in found)


def slowly(
    loaded: LoadedModel, prompt: list[int], place: int, setting: tuple[Intervention, ...]
) -> list[int]:
    """The most probable token, again and again, each by a whole pass without a cache."""
    ids = list(prompt)
    for _ in range(NEW):
        changes = [
            oracle_interventions.change_of(one, prompt=place, length=len(prompt), end=len(ids))
            for one in setting
        ]
        logs = oracle_interventions.changed_logs(loaded.model, ids, changes)
        ids.append(int(logs[-1].argmax()))
        if ids[-1] == loaded.tokenizer.eos_token_id:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("where", ["all", "prompt", "last", "generated"])
def test_rescaled_texts_equal_the_slow_twin_beside_an_anchor(family: str, where: str) -> None:
    loaded = tiny.loaded(family)
    setting = setting_of(loaded, where=where)
    prompts = loaded.prompts(PROMPTS, chat=None)
    found = generate_tokens(loaded, prompts, max_new_tokens=NEW, setting=setting)
    plain = generate_tokens(loaded, prompts, max_new_tokens=NEW)
    for place, (prompt, one) in enumerate(zip(prompts, found, strict=True)):
        assert list(one.tokens) == slowly(loaded, prompt, place, setting), place
    assert found[ANCHOR].tokens == plain[ANCHOR].tokens
    assert any(one.tokens != other.tokens for one, other in zip(found, plain, strict=True)), (
        "the rescaling changes nothing, so the test shows nothing"
    )
