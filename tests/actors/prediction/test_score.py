"""Option scores equal a plain forward over the joint tokens, in every family and every shape."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from actors.model import LoadedModel, load
from actors.passes.batching import TokenBudget
from actors.prediction.score import choose, score
from studies.texts import ChoiceItem
from tests.makers import oracle, tiny
from tests.makers.rounding import TINY

pytestmark = pytest.mark.numeric
MIXED = (
    ChoiceItem(id="long", context="The cat sat", options=(" on the mat.", " up", "!"), gold=0),
    ChoiceItem(id="letters", context="Answer:", options=(" A", " B", " C", " D"), gold=1),
    ChoiceItem(id="kot", context="кот", options=(" сидит на столе", " A"), gold=0),
    ChoiceItem(id="whole", context="", options=("It rained.", "Rained it all day."), gold=0),
    ChoiceItem(id="twins", context="Same", options=(" yes", " no", " yes"), gold=1),
    ChoiceItem(id="few", context="Two letters:", options=(" C", " A"), gold=1),
)


def slow_scores(loaded: LoadedModel, item: ChoiceItem, *, normalise: str) -> list[float]:
    """Scores over the joint tokens; the items above have contexts that begin them."""
    context = [*loaded.prefix, *loaded.tokenise([item.context])[0]]
    scores = []
    for option in item.options:
        joint = [*loaded.prefix, *loaded.tokenise([item.context + option])[0]]
        assert joint[: len(context)] == context
        logs = oracle.option_log_probabilities(loaded.model, context, joint[len(context) :])
        scores.append(sum(logs) / (len(logs) if normalise == "token" else 1))
    return scores


@pytest.mark.parametrize("normalise", ["sum", "token"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_scores_equal_the_slow_twin(family: str, normalise: str) -> None:
    loaded = tiny.loaded(family)
    found = score(loaded, MIXED, normalise="sum" if normalise == "sum" else "token")
    for item, choice in zip(MIXED, found, strict=True):
        expected = slow_scores(loaded, item, normalise=normalise)
        assert choice.scores == pytest.approx(expected, rel=TINY, abs=TINY), item.id
        assert choice.prediction == expected.index(max(expected)) or item.id == "twins"
        order = sorted(range(len(expected)), key=lambda place: -expected[place])
        if item.id != "twins":
            assert [choice.ranks[place] for place in order] == list(range(1, len(order) + 1))


def test_a_batch_equals_its_rows() -> None:
    loaded = tiny.loaded("gemma2")
    together = score(loaded, MIXED)
    small = score(replace(loaded, budget=TokenBudget(8)), MIXED)
    for item, choice, other in zip(MIXED, together, small, strict=True):
        assert choice.scores == pytest.approx(score(loaded, [item])[0].scores, rel=TINY)
        assert choice.scores == pytest.approx(other.scores, rel=TINY)


def test_equal_options_tie_exactly_and_share_their_rank() -> None:
    for family in tiny.FAMILIES:
        choice = score(tiny.loaded(family), MIXED)[4]
        assert choice.scores[0] == choice.scores[2]
        assert sorted(choice.ranks) in ([1.5, 1.5, 3.0], [1.0, 2.5, 2.5])
        assert choice.prediction in (0, 1)


def test_single_token_options_share_one_row() -> None:
    loaded = tiny.loaded("llama")
    seen: list[int] = []
    handle = loaded.sites.embedding.register_forward_hook(
        lambda _module, args, _output: seen.append(len(args[0]))
    )
    try:
        score(loaded, [MIXED[1], MIXED[5]])
    finally:
        handle.remove()
    assert sum(seen) == 2


def test_a_boundary_that_tokens_do_not_have_is_kept() -> None:
    """ "b" + "c" is one token: the context keeps its "b" and the option its "c"."""
    loaded = tiny.loaded("llama")
    item = ChoiceItem(id="merge", context="ab", options=("cd", "dd"), gold=0)
    context = [0, *loaded.tokenise(["ab"])[0]]
    expected = [
        sum(oracle.option_log_probabilities(loaded.model, context, loaded.tokenise([option])[0]))
        for option in item.options
    ]
    assert loaded.tokenise(["abcd"])[0][: len(context) - 1] != context[1:]
    assert score(loaded, [item])[0].scores == pytest.approx(expected, rel=TINY)


def test_an_option_tokenised_alone_does_not_get_a_second_space() -> None:
    spaced = tiny.tokenizer(bos=True, space_before=True)
    loaded = replace(tiny.loaded("llama"), tokenizer=spaced)
    item = ChoiceItem(id="spaces", context="xyz", options=(" no", " yes"), gold=0)
    plain = tiny.loaded("llama")
    context = [0, *plain.tokenise([" xyz"])[0]]
    assert loaded.tokenise(["xyz no"])[0][: len(context) - 1] != context[1:]
    expected = [
        sum(oracle.option_log_probabilities(loaded.model, context, plain.tokenise([option])[0]))
        for option in item.options
    ]
    assert score(loaded, [item])[0].scores == pytest.approx(expected, rel=TINY)


def test_without_any_prefix_the_first_token_is_skipped() -> None:
    loaded = tiny.loaded("qwen2")
    assert loaded.prefix == ()
    item = ChoiceItem(id="whole", context="", options=("ab", "xb"), gold=0)
    choice = score(loaded, [item])[0]
    tokens = [loaded.tokenise([option])[0] for option in item.options]
    expected = [
        oracle.option_log_probabilities(loaded.model, ids[:1], ids[1:])[0] for ids in tokens
    ]
    assert choice.scores == pytest.approx(expected, rel=TINY)
    with pytest.raises(ValueError, match="item 'one': option 1"):
        score(loaded, [ChoiceItem(id="one", context="", options=("ab", "x"), gold=0)])


def test_an_option_without_tokens_is_an_error() -> None:
    item = ChoiceItem(id="empty", context="Yes or no?", options=(" yes", ""), gold=0)
    for family in ("llama", "qwen2"):
        with pytest.raises(ValueError, match="item 'empty': option 1"):
            score(tiny.loaded(family), [item])


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_contexts_that_are_too_long_are_refused_or_cut_from_the_left(family: str) -> None:
    loaded = load(tiny.make(family, context=32), device="cpu")
    options = (" A", " yes")
    item = ChoiceItem(id="long", context="x" * 20 + "y" * 25, options=options, gold=0)
    with pytest.raises(ValueError, match=r"'long' has \d+ tokens .* 32.*--allow-truncation"):
        score(loaded, [item])
    choice = score(loaded, [item], allow_truncation=True)[0]
    assert choice.truncated
    kept = 32 - 4 - len(loaded.prefix)
    shorter = replace(item, context=item.context[-kept:])
    expected = score(loaded, [shorter])[0]
    assert not expected.truncated
    assert choice.scores == pytest.approx(expected.scores, rel=TINY)
    endless = ChoiceItem(id="endless", context="a", options=(" A", "z" * 40), gold=0)
    with pytest.raises(ValueError, match="'endless', an option alone too long"):
        score(loaded, [endless], allow_truncation=True)


def test_a_real_tokenizer_that_marks_spaces_at_the_end(shared: Path) -> None:
    loaded = load(tiny.real_llama(shared), device="cpu", threads=1)
    items = [
        ChoiceItem(id="1", context="Once upon a time", options=(" there", " the"), gold=0),
        ChoiceItem(id="2", context="The cat sat on the", options=(" mat.", " time upon"), gold=0),
        ChoiceItem(id="3", context="Tom saw a dog.", options=(" He ran.", " Ran he."), gold=0),
    ]
    apart = 0
    for item, choice in zip(items, score(loaded, items), strict=True):
        context = [*loaded.prefix, *loaded.tokenise([item.context])[0]]
        for option, value in zip(item.options, choice.scores, strict=True):
            joint = [*loaded.prefix, *loaded.tokenise([item.context + option])[0]]
            if joint[: len(context)] == context:
                tokens = joint[len(context) :]
            else:
                apart += 1
                # The file puts a space before every text, so the option's own is one too many.
                tokens = loaded.tokenise([option.removeprefix(" ")])[0]
                assert loaded.tokenise([option])[0] == [tokens[0], *tokens]
                text = loaded.tokenizer.decode([*context, *tokens], skip_special_tokens=False)
                start = loaded.tokenizer.decode(list(loaded.prefix))
                assert text == f"{start} {item.context}{option}"
            expected = sum(oracle.option_log_probabilities(loaded.model, context, tokens))
            assert value == pytest.approx(expected, rel=TINY)
    assert apart > 0


LETTERS = ChoiceItem(
    id="both", context="Answer:", options=(" A", " B", " C", "A", "B", "Cde"), gold=1
)


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen2"])
def test_an_option_has_the_probability_of_its_variants_together(family: str) -> None:
    loaded = tiny.loaded(family)
    each = slow_scores(loaded, LETTERS, normalise="sum")
    expected = [
        math.log(math.exp(first) + math.exp(second))
        for first, second in zip(each[:3], each[3:], strict=True)
    ]
    (found,) = score(loaded, [LETTERS], variants=2)
    assert found.scores == pytest.approx(expected, rel=TINY)
    assert found.prediction == expected.index(max(expected))
    assert sorted(found.ranks) == [1, 2, 3] and found.ranks[found.prediction] == 1
    assert len(score(loaded, [LETTERS])[0].scores) == 6


def test_variants_decide_together_and_far_below_what_a_float_holds() -> None:
    logs = [[-1.0], [-1.2], [-9.0], [-5.0], [-1.3], [-9.0]]
    assert choose(LETTERS, logs[:3] + logs[3:], normalise="sum").prediction == 0
    found = choose(LETTERS, logs, normalise="sum", variants=2)
    assert (found.prediction, found.prediction_norm) == (1, 1)
    assert found.ranks == (2.0, 1.0, 3.0)
    far = choose(LETTERS, [[one - 2000] for [one] in logs], normalise="sum", variants=2)
    assert far.scores == pytest.approx([score - 2000 for score in found.scores])
    # Per character, each variant is divided by its own length: "Cde" has three.
    near = choose(
        LETTERS, [[-2.0], [-2.0], [-2.5], [-2.0], [-2.0], [-3.0]], normalise="sum", variants=2
    )
    assert (near.prediction, near.prediction_norm) == (0, 2)


def test_variants_that_cannot_be_put_together_are_refused() -> None:
    loaded = tiny.loaded("llama")
    with pytest.raises(ValueError, match="in 2 variants were to be normalised by 'token'"):
        score(loaded, [LETTERS], normalise="token", variants=2)
    with pytest.raises(ValueError, match="'few' has 2 continuations: expected as many in each of"):
        score(loaded, [MIXED[5]], variants=4)
