"""Patched answers equal one hooked pass each, copy the source at the last layer, and say no more.

Where a concept and a symbol lie is known of a planted model; its patches say so.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from actors.kinds import patching as actor
from actors.model import LoadedModel
from actors.passes.batching import TokenBudget
from actors.sweeping.sweep import sweep
from studies.patch_items import PATCHES, Patch, PatchSet
from studies.prompt_options import Chat
from studies.spec import Row
from studies.texts import ChoiceItem
from tests.makers import oracle, tiny
from tests.makers.oracle_interventions import Change, changed_log_probabilities
from tests.makers.patched import (
    DIGITS,
    ENGLISH,
    GERMAN,
    LETTERS,
    SOURCES,
    Sources,
    by_item,
    each,
    item,
    only,
    patch_set,
    rows_of,
    source,
)
from tests.makers.rounding import TINY, of_model

pytestmark = pytest.mark.numeric

FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
SITES = ("resid_post", "resid_pre", "mlp_out", "attn_out")


def ids_of(loaded: LoadedModel, text: str, options: Sequence[str] = LETTERS) -> list[int]:
    """A question as it is read; the space before a digit is a token, and the question's."""
    return [*loaded.prefix, *loaded.tokenise([text + space(options)])[0]]


def space(options: Sequence[str]) -> str:
    return " " if tuple(options) == DIGITS else ""


def where(site: str, layer: int) -> tuple[str, int]:
    """In front of a block is behind the one before."""
    return ("resid_post", layer - 1) if site == "resid_pre" else (site, layer)


def slow_scores(
    loaded: LoadedModel, one: ChoiceItem, *, at: tuple[str, int] | None, state: Tensor | None
) -> list[float]:
    """Every option by a pass of its own, the state of the question's last token replaced."""
    context = ids_of(loaded, one.context, one.options)
    changes = []
    if at is not None:
        assert state is not None
        changes = [Change(*at, [len(context) - 1], lambda _: state)]
    return [
        sum(changed_log_probabilities(loaded.model, context, option, changes))
        for option in loaded.tokenise(
            [text.removeprefix(space(one.options)) for text in one.options]
        )
    ]


def off(scores: Sequence[float]) -> float:
    return TINY * max(1.0, *map(abs, scores))


def expect(prediction: object, margin: object, scores: Sequence[float], gold: int) -> None:
    """The same margin but for rounding; the same prediction, unless scores tie."""
    wrong = max(score for place, score in enumerate(scores) if place != gold)
    assert margin == pytest.approx(scores[gold] - wrong, abs=2 * off(scores))
    best, second = sorted(scores, reverse=True)[:2]
    if best - second > 2 * off(scores):
        assert prediction == list(scores).index(best)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_patch_equals_one_hooked_pass(family: str, site: str) -> None:
    loaded = tiny.loaded(family)
    prompted: tuple[Patch, ...] = tuple(SOURCES)
    rows = rows_of(loaded, patch_set(), site=site, patches=prompted)
    expected = [(kind, one.id) for kind in PATCHES for one in GERMAN]
    given = {(k, one.id): s for k in SOURCES for one, s in zip(GERMAN, SOURCES[k], strict=True)}
    assert list(by_item(rows)) == [pair for pair in expected if given.get(pair)]
    moved = 0
    for row in rows:
        one, pivot = (
            next(each for each in side if each.id == row["item"]) for side in (GERMAN, ENGLISH)
        )
        from_ = given[str(row["intervention"]), one.id]  # type: ignore[index]
        assert from_ is not None
        assert (row["source_item"], row["source_gold"]) == (from_.item, from_.gold)
        assert (row["gold"], row["truncated"], row["prompt"]) == (one.gold, False, "letter")
        clean = slow_scores(loaded, one, at=None, state=None)
        expect(row["clean"], row["clean_margin"], clean, one.gold)
        there = slow_scores(loaded, pivot, at=None, state=None)
        expect(row["pivot_clean"], row["pivot_clean_margin"], there, one.gold)
        states = oracle.activations(loaded.model, ids_of(loaded, from_.context, one.options))
        assert row["layers"] == list(range(1, loaded.facts.layers + 1))
        for layer, prediction, margin in each(row):
            at = where(site, layer)
            scores = slow_scores(loaded, one, at=at, state=states[at][-1])
            expect(prediction, margin, scores, one.gold)
            moved += abs(scores[0] - clean[0]) > 2 * off(scores)
    assert moved > len(rows), "patches change answers"


@pytest.mark.parametrize("family", FAMILIES)
def test_at_the_last_layer_the_source_answers(family: str) -> None:
    """Which is why no success there says anything: a symbol alone is copied too."""
    loaded = tiny.loaded(family)
    last = loaded.facts.layers
    lettered = [
        replace(one, options=(LETTERS, DIGITS)[place % 2], context=f"{one.context} {place}:")
        for place, one in enumerate((*GERMAN[1:], *GERMAN[1:]))
    ]
    lettered = [replace(one, id=str(place), gold=place % 2) for place, one in enumerate(lettered)]
    pivot = [replace(one, context=f"{one.id} is what {one.context[::-1]}") for one in lettered]
    sources: Sources = {"matched": [source(one.id, one.context, one.gold) for one in pivot]}
    rows = rows_of(
        loaded, patch_set(lettered, pivot, sources), layers=(last,), patches=("matched",)
    )
    assert len(rows) == 6
    for row in rows:
        ((layer, prediction, margin),) = each(row)
        assert (layer, prediction) == (last, row["pivot_clean"])
        assert margin == pytest.approx(row["pivot_clean_margin"], abs=10 * TINY)
    assert any(row["clean"] != row["pivot_clean"] for row in rows)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_copy_of_the_pivot_changes_nothing(family: str, site: str) -> None:
    loaded = tiny.loaded(family)
    rows = rows_of(loaded, patch_set(own=ENGLISH), site=site)
    for row in rows:
        for _, prediction, margin in each(row):
            if row["intervention"] == "matched":
                assert margin == pytest.approx(row["clean_margin"], abs=20 * TINY)
                assert prediction == row["clean"] == row["pivot_clean"]
    others = [row for row in rows if row["intervention"] == "noise"]
    assert len(others) == 4
    assert all(row["margins"][-1] != pytest.approx(row["clean_margin"], abs=1e-3) for row in others)  # type: ignore[index]


def test_in_front_of_the_first_block_an_equal_last_token_changes_nothing() -> None:
    """Its embedding is the source's; and what is in front of a block is behind the one before."""
    loaded = tiny.loaded("llama")
    sources: Sources = {"matched": [source("a", "Who?\nAnswer:", 2), *SOURCES["matched"][1:]]}
    before, behind = (
        by_item(rows_of(loaded, patch_set(sources=sources), site=site, patches=("matched",)))
        for site in ("resid_pre", "resid_post")
    )
    for (_, id), row in before.items():
        after = behind["matched", id]
        same = row["margins"][0] == pytest.approx(row["clean_margin"], abs=20 * TINY)  # type: ignore[index]
        assert same == (id in ("a", "d")), "the others end in another token"
        assert row["margins"][1:] == pytest.approx(after["margins"][:-1], abs=20 * TINY)  # type: ignore[index]


def put_in(
    loaded: LoadedModel, asked: PatchSet, monkeypatch: pytest.MonkeyPatch, **more: object
) -> dict[tuple[int, str], Tensor]:
    """The random vectors that were put in, by layer and item."""
    found: dict[tuple[int, str], Tensor] = {}
    ids = iter([one.id for one in asked.asked.items])

    def noting(loaded: LoadedModel, questions: Sequence, settings: Sequence) -> object:
        if any(settings):
            here = [next(ids) for _ in questions]
            for ((one,),) in zip([setting for setting in settings if setting], strict=True):
                assert (one.operation, one.where, one.coefficient) == ("replace", "last", 1.0)
                found.update(
                    {(one.layer, id): own for id, own in zip(here, one.vector, strict=True)}
                )
        return sweep(loaded, questions, settings)

    with monkeypatch.context() as patch:
        patch.setattr(actor, "sweep", noting)
        rows_of(loaded, asked, patches=("noise",), **more)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_is_as_long_as_the_matched_state_and_of_the_item_alone(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny.loaded(family)
    found = put_in(loaded, patch_set(), monkeypatch)
    assert len(found) == 4 * loaded.facts.layers
    for one in ENGLISH:
        states = oracle.activations(loaded.model, ids_of(loaded, one.context, one.options))
        for layer in range(1, loaded.facts.layers + 1):
            state_D, noise_D = states["resid_post", layer][-1], found[layer, one.id]
            assert float(noise_D.norm()) == pytest.approx(
                float(state_D.norm()), rel=2 * of_model(loaded)
            )
            assert abs(oracle.cosine(noise_D, state_D)) < 0.8
    directions = torch.stack([vector / vector.norm() for vector in found.values()])
    alike = directions @ directions.T - torch.eye(len(directions))
    assert float(alike.abs().max()) < 0.8, "another one for every layer and item"
    alone = put_in(loaded, only(patch_set(), 2, 1), monkeypatch)
    other = put_in(loaded, patch_set(), monkeypatch, seed=8)
    for key, vector_D in found.items():
        assert oracle.cosine(other[key], vector_D) < 0.9
        if key in alone:
            scale = float(vector_D.norm())
            torch.testing.assert_close(
                alone[key], vector_D, rtol=0, atol=2 * of_model(loaded) * scale
            )
    assert len(alone) == 2 * loaded.facts.layers


def close(one: Row, other: Row) -> None:
    """Two rows of an item, whatever their keys."""
    numbers = {"clean_margin", "pivot_clean_margin", "margins"}
    for name, value in one.items():
        if name in numbers:
            assert value == pytest.approx(other[name], abs=20 * TINY), name
        elif name != "key":
            assert value == other[name], name


@pytest.mark.parametrize("family", FAMILIES)
def test_values_do_not_depend_on_batches_layers_and_other_items(family: str) -> None:
    loaded = tiny.loaded(family)
    rows = by_item(rows_of(loaded, patch_set()))
    small = replace(loaded, budget=TokenBudget(1, loaded.budget.positions))
    again = by_item(rows_of(small, only(patch_set(), 2, 0, 3, 1)))
    assert rows.keys() == again.keys() and len(rows) == 3 * 4 + 1 + 2 + 3
    for pair, row in rows.items():
        close(again[pair], row)
    for pair, row in by_item(rows_of(loaded, only(patch_set(), 1))).items():
        close(row, rows[pair])
    for (kind, id), row in by_item(rows_of(loaded, patch_set(), layers=(2,))).items():
        every = rows[kind, id]
        columns = {name: [every[name][1]] for name in ("layers", "predictions", "margins")}  # type: ignore[index]
        close(row, {**every, **columns})


def test_many_items_are_the_same_in_any_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny.loaded("llama")
    number = actor.ITEMS_AT_ONCE + 6
    own, pivot = (
        [item(f"{k}", f"{word} {k}:", *LETTERS[: 2 + k % 3], gold=k % 2) for k in range(number)]
        for word in ("Wo", "Where")
    )
    sources: Sources = {
        "matched": [source(one.id, one.context, one.gold) for one in pivot],
        "same_symbol": [
            source(one.id, one.context, one.gold) if k % 5 else None for k, one in enumerate(pivot)
        ],
    }
    asked, some = patch_set(own, pivot, sources), {"layers": (1, 2)}
    rows = by_item(rows_of(loaded, asked, **some))
    assert len(rows) == 2 * number + sum(1 for k in range(number) if k % 5)
    monkeypatch.setattr(actor, "ITEMS_AT_ONCE", 1000)
    whole = by_item(rows_of(loaded, asked, **some))
    monkeypatch.setattr(actor, "ITEMS_AT_ONCE", 23)
    thirds = by_item(rows_of(loaded, asked, **some))
    for pair, row in rows.items():
        close(whole[pair], row)
        close(thirds[pair], row)
    for place in (63, 64, number - 1):
        row, one = rows["matched", str(place)], own[place]
        assert row["source_item"] == one.id
        states = oracle.activations(loaded.model, ids_of(loaded, pivot[place].context))
        for layer, prediction, margin in each(row):
            at = ("resid_post", layer)
            scores = slow_scores(loaded, one, at=at, state=states[at][-1])
            expect(prediction, margin, scores, one.gold)


def test_what_is_cut_is_said_whichever_context_it_is() -> None:
    loaded = tiny.loaded("llama")
    long = "a" * 300 + "b:"
    cases = {
        "own": patch_set(own=(replace(GERMAN[0], context=long), *GERMAN[1:])),
        "pivot": patch_set(pivot=(replace(ENGLISH[0], context=long), *ENGLISH[1:])),
        "source": patch_set(
            sources={**SOURCES, "permuted": [source("a", long, 1), *SOURCES["permuted"][1:]]}
        ),
    }
    for which, asked in cases.items():
        with pytest.raises(ValueError, match=r"item 'a' has 3\d\d tokens and the model's context"):
            rows_of(loaded, asked)
        rows = by_item(rows_of(loaded, asked, cut=True))
        said = {pair for pair, row in rows.items() if row["truncated"]}
        everywhere = {pair for pair in rows if pair[1] == "a"}
        assert said == ({("permuted", "a")} if which == "source" else everywhere)
    # Cut from the left, so that the last token is the one that is read.
    short = patch_set(own=(replace(GERMAN[0], context=long[-254:]), *GERMAN[1:]))
    cut, whole = (
        by_item(rows_of(loaded, asked, cut=True))["matched", "a"] for asked in (cases["own"], short)
    )
    close({**cut, "truncated": False}, whole)


def test_layers_that_are_not_there_are_refused() -> None:
    loaded = tiny.loaded("llama")
    with pytest.raises(ValueError, match="layer 4 cannot be taken in model 'tiny/llama'"):
        rows_of(loaded, patch_set(), layers=(4,))


def test_under_a_chat_template_questions_and_sources_are_turns() -> None:
    """The state put in is that of the template's last token, as it is the one that is replaced."""
    tokenizer = tiny.tokenizer(bos=True)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for turn in messages %}({{ turn.role }}) {{ turn.content }}"
        "{% endfor %}{% if add_generation_prompt %} (answer){% endif %}"
    )
    loaded = tiny.loaded("llama")
    chat = Chat(start="space")
    asked = patch_set()
    talk = replace(
        asked,
        asked=replace(asked.asked, chat=chat),
        pivot_asked=replace(asked.pivot_asked, chat=chat),
    )

    def told(text: str) -> str:
        return f"(user) {text} (answer)"

    def turns(items: Sequence[ChoiceItem]) -> list[ChoiceItem]:
        return [replace(one, context=told(one.context)) for one in items]

    sources: Sources = {
        name: [one and replace(one, context=told(one.context)) for one in given]
        for name, given in SOURCES.items()
    }
    written = by_item(rows_of(loaded, patch_set(turns(GERMAN), turns(ENGLISH), sources)))
    rows = by_item(rows_of(replace(loaded, tokenizer=tokenizer), talk))
    plain = by_item(rows_of(loaded, asked))
    for pair, row in rows.items():
        close(row, written[pair])
        assert row["clean_margin"] != pytest.approx(plain[pair]["clean_margin"], abs=1e-3)
