"""A sweep equals one hooked pass per cell by every route, and computes no block it could reuse."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from actors.intervention.setting import Intervention, Setting
from actors.model import LoadedModel
from actors.passes import tree_attention
from actors.passes.batching import TokenBudget
from actors.prediction.predict import Question
from actors.prediction.score import read_options, score
from actors.structure.sites import SiteName
from actors.sweeping import last_token
from actors.sweeping.resume import Swept
from actors.sweeping.sweep import sweep, sweep_choices
from studies.texts import ChoiceItem
from tests.makers import oracle_families, oracle_interventions, tiny
from tests.makers.questions import QUESTIONS, ids
from tests.makers.rounding import TINY

# Largest difference of a log-probability in bfloat16 that other batch shapes make, and the mean
# difference from the same weights in float32. Measured: 0.18 and 0.046 on gemma3, at most 0.033 and
# 0.018 on the others.
BFLOAT16, BFLOAT16_MEAN = 0.4, 0.1


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def at(loaded: LoadedModel, site: SiteName, layer: int, **given: Any) -> Intervention:
    """Adding noise there, unless stated otherwise."""
    width = loaded.sites.width(site)
    stated: dict[str, Any] = {"operation": "add", "vector": noise(width, seed=layer) / 2}
    return Intervention(site=site, layer=layer, **stated | given)


def grid(loaded: LoadedModel) -> list[Setting]:
    """Settings of all kinds, in no order: both routes, several starts, some that change nothing."""
    last, neurons = loaded.facts.layers, loaded.facts.neurons
    gate: SiteName = "mlp_gate" if "mlp_gate" not in loaded.sites.missing else "mlp_act"
    own = (1.5, -1.0, 0.0, 0.5)
    one_each = noise(len(QUESTIONS), loaded.facts.width, seed=5)
    mask = noise(neurons, seed=6) < 0.4
    steer = at(loaded, "resid_post", 1, where="last", coefficient=2.0)
    clas = at(loaded, "mlp_hidden", 2, operation="scale", coefficient=-2.2)
    return [
        (steer,),
        (),
        (clas,),
        (replace(steer, coefficient=0.0),),
        (replace(steer, coefficient=own),),
        (replace(steer, where="all"),),
        (at(loaded, "embed", 0, where="last"),),
        (at(loaded, "embed", 0, where=(29, 0, 0, 17)),),
        (at(loaded, "resid_post", last, where="last"),),
        (at(loaded, "resid_post", last, where="all"),),
        (at(loaded, "resid_post", 1, operation="replace", vector=one_each, where="last"),),
        (at(loaded, "resid_post", 2, operation="replace", vector=one_each, where=(3, 8, 0, 40)),),
        (at(loaded, "attn_out", last, where="last", coefficient=own),),
        (at(loaded, "attn_out", 2, where="prompt"),),
        (replace(clas, where="last"),),
        (replace(clas, coefficient=(0.0,) * 4), steer),
        (replace(clas, coefficient=0.0),),
        (at(loaded, "mlp_act", last, operation="set", neurons=mask, where="all"),),
        (at(loaded, "mlp_act", 1, operation="set", neurons=mask, where="generated"),),
        (at(loaded, gate, 1, where="prompt", neurons=mask),),
        (at(loaded, "mlp_out", 1, operation="scale", where="generated", coefficient=own),),
        (steer, replace(steer, operation="scale"), at(loaded, "attn_out", 2, where="last")),
        (clas, at(loaded, "resid_post", 2, where="prompt"), replace(steer, where=(1, 2, 0, 3))),
    ]


def slowly(
    loaded: LoadedModel, question: Question, setting: Setting = (), *, prompt: int = 0
) -> list[list[float]]:
    """Every option by a pass of its own."""
    answers = []
    for option in question.options:
        length = len(question.prompt)
        changes = [
            oracle_interventions.change_of(
                one, prompt=prompt, length=length, end=length + len(option)
            )
            for one in setting
        ]
        answers.append(
            oracle_interventions.changed_log_probabilities(
                loaded.model, question.prompt, option, changes
            )
        )
    return answers


def slow_sweep(loaded: LoadedModel, settings: Sequence[Setting]) -> Swept:
    return [
        [slowly(loaded, one, setting, prompt=place) for place, one in enumerate(QUESTIONS)]
        for setting in settings
    ]


def flat(swept: Swept) -> Tensor:
    """The log-probabilities of all tokens in one row."""
    options = [option for own in swept for question in own for option in question]
    return torch.tensor([value for option in options for value in option])


def expect_the_same(found: Swept, expected: Swept) -> None:
    """Every token's log-probability, and which option is best."""
    assert len(found) == len(expected)
    for setting, (own, other) in enumerate(zip(found, expected, strict=True)):
        for question, (options, others) in enumerate(zip(own, other, strict=True)):
            for option, pair in enumerate(zip(options, others, strict=True)):
                where = (setting, question, option)
                assert pair[0] == pytest.approx(pair[1], rel=TINY, abs=TINY), where
            totals = [sum(option) for option in others]
            found_best = max(range(len(options)), key=lambda place: sum(options[place]))
            assert totals[found_best] >= max(totals) - TINY * abs(max(totals)), (setting, question)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_sweep_equals_the_slow_twin(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny.loaded(family)
    before, settings = tiny.hooks(loaded), grid(loaded)
    expected = slow_sweep(loaded, settings)
    expect_the_same(sweep(loaded, QUESTIONS, settings), expected)
    # Branch by branch however narrow they are, and through one mask however wide.
    for wide in (1, 1000):
        monkeypatch.setattr(tree_attention, "WIDE", wide)
        expect_the_same(sweep(loaded, QUESTIONS, settings), expected)
    # Many small batches; and every option in a row of its own.
    small = replace(loaded, budget=TokenBudget(100))
    expect_the_same(sweep(small, QUESTIONS, settings), expected)
    apart = replace(small, shares=False)
    expect_the_same(sweep(apart, QUESTIONS, settings), expected)
    plain = [slowly(loaded, question) for question in QUESTIONS]
    expect_the_same([read_options(apart, QUESTIONS)], [plain])
    assert tiny.hooks(loaded) == before
    assert not any("forward" in vars(block) for block in loaded.sites.blocks)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_settings_at_the_last_token_that_fill_several_rows(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_token, "ROW_NODES", 1024)
    loaded = tiny.loaded(family)
    question = Question(ids(30), (ids(8), ids(1)))
    settings = [
        (at(loaded, "resid_post", 1 + turn % 2, where="last", coefficient=turn / 50),)
        for turn in range(300)
    ]
    rows = 300 * 8 / last_token.ROW_NODES
    assert rows > 2
    found = sweep(loaded, [question], settings)
    chosen = [0, 1, *range(115, 135), *range(245, 255), 299]
    expected = [[slowly(loaded, question, settings[place])] for place in chosen]
    expect_the_same([found[place] for place in chosen], expected)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bfloat16_stays_near_the_same_weights_in_float32(family: str) -> None:
    loaded = tiny.loaded(family, dtype="bfloat16")
    exact = replace(loaded, model=copy.deepcopy(loaded.model).float())
    settings = grid(loaded)
    found = sweep(loaded, QUESTIONS, settings)
    rounded, right = flat(slow_sweep(loaded, settings)), flat(slow_sweep(exact, settings))
    shapes, errors = (flat(found) - rounded).abs(), (flat(found) - right).abs()
    assert shapes.max() <= BFLOAT16 and errors.mean() <= BFLOAT16_MEAN
    assert errors.max() <= 2 * (rounded - right).abs().max() + BFLOAT16_MEAN
    idle = [found[place] for place, setting in enumerate(settings) if all(o.idle for o in setting)]
    assert all(own == idle[0] for own in idle)


@contextmanager
def counting(loaded: LoadedModel) -> Iterator[list[int]]:
    """How many tokens pass the down projection of every block."""
    tokens = [0] * loaded.facts.layers

    def count(layer: int) -> Callable[..., None]:
        def hook(_module: object, args: tuple[Tensor, ...]) -> None:
            tokens[layer] += args[0].numel() // args[0].shape[-1]

        return hook

    handles = []
    family = oracle_families.family_of(loaded.model)
    for layer, block in enumerate(loaded.model.get_submodule(family.blocks)):
        down = block.get_submodule(family.down)
        handles.append(down.register_forward_pre_hook(count(layer)))
    try:
        yield tokens
    finally:
        for handle in handles:
            handle.remove()


LETTERS = tuple(Question(ids(11, seed=seed), (ids(1), ids(1, seed=1))) for seed in range(3))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_only_blocks_that_a_setting_changes_run_again(family: str) -> None:
    """Token-blocks: L for the plain pass, and L - l for every setting that begins at layer l."""
    loaded = tiny.loaded(family)
    last, tokens = loaded.facts.layers, 3 * 11
    begins: list[tuple[Intervention, int]] = [
        (at(loaded, "embed", 0), 0),
        (at(loaded, "attn_out", 1), 0),
        (at(loaded, "resid_post", 1), 1),
        (at(loaded, "resid_post", 1, coefficient=2.0), 1),
        (at(loaded, "mlp_hidden", 2), 1),
        (at(loaded, "mlp_out", last), last - 1),
        (at(loaded, "resid_post", last), last),
    ]
    idle = [(at(loaded, "resid_post", layer, coefficient=0.0),) for layer in range(last)]
    settings = [(one,) for one, _ in begins]
    again = sum(last - layer for _, layer in begins)
    with counting(loaded) as counted:
        sweep(loaded, LETTERS, [*settings, *idle, ()])
    assert sum(counted) == tokens * (last + again)
    with counting(loaded) as counted:
        sweep(loaded, LETTERS, [*idle, ()])
    assert counted == [tokens] * last
    # Without a plain answer to give, the plain pass ends where the last setting begins.
    with counting(loaded) as counted:
        sweep(loaded, LETTERS, settings[2:5])
    assert sum(counted) == tokens * (1 + 3 * (last - 1))
    # What is idle does not make a setting begin early, nor at every token.
    with counting(loaded) as counted:
        sweep(loaded, LETTERS, [(idle[0][0], begins[-2][0]), (begins[-1][0], idle[0][0])])
    assert sum(counted) == tokens * (last + 1)
    with counting(loaded) as counted:
        sweep(loaded, LETTERS, [(idle[0][0], at(loaded, "resid_post", 1, where="last"))])
    assert sum(counted) == tokens * last + 3 * (last - 1)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_prompt_runs_once_for_all_settings_at_its_last_token(family: str) -> None:
    """And a setting runs the last token and the options, in the blocks after it alone."""
    loaded = tiny.loaded(family)
    after = loaded.facts.layers - 1
    steer = at(loaded, "resid_post", 1, where="last")
    settings = [(replace(steer, coefficient=value / 4),) for value in range(-4, 5)]
    with counting(loaded) as counted:
        sweep(loaded, LETTERS, settings)
    assert counted == [3 * 11, *[3 * (11 + 8)] * after]  # coefficient 0 is the prompt itself
    longer = [Question(ids(11), (ids(3), ids(1), ids(4)))]
    with counting(loaded) as counted:
        sweep(loaded, longer, settings)
    assert counted == [11 + 2 + 3, *[11 + 2 + 3 + 8 * (1 + 2 + 3)] * after]
    last = replace(steer, layer=loaded.facts.layers)
    with counting(loaded) as counted:
        sweep(loaded, longer, [(replace(last, coefficient=value / 4),) for value in range(1, 9)])
    assert counted == [11 + 2 + 3] * loaded.facts.layers


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_coefficient_zero_is_the_plain_answer_to_the_bit(family: str) -> None:
    loaded = tiny.loaded(family)
    idle = at(loaded, "mlp_act", 1, coefficient=0.0)
    settings = [(idle,), (), (idle, replace(idle, coefficient=(0.0, -0.0, 0.0)))]
    found = sweep(loaded, LETTERS, settings)
    assert found[0] == found[1] == found[2] == read_options(loaded, LETTERS)


@contextmanager
def little_memory(loaded: LoadedModel, *, tokens: int, block: int) -> Iterator[list[int]]:
    """A device that holds so many tokens in one block, and fails in the middle of a pass."""
    failures: list[int] = []

    def fail(_module: object, args: tuple[Tensor, ...]) -> None:
        held = args[0].shape[0] * args[0].shape[1]
        if held > tokens:
            failures.append(held)
            raise RuntimeError("out of memory")

    handle = loaded.sites.blocks[block].register_forward_pre_hook(fail)
    try:
        yield failures
    finally:
        handle.remove()


@pytest.mark.parametrize("family", ["llama", "gemma2", "opt", "bloom"])
def test_a_sweep_that_runs_out_of_memory_ends_with_the_same_answers(family: str) -> None:
    loaded = tiny.loaded(family)
    settings = grid(loaded)
    expected = sweep(loaded, QUESTIONS, settings)
    before = tiny.hooks(loaded)
    for shares in (True, False):
        small = replace(loaded, budget=TokenBudget(4096), shares=shares)
        with little_memory(loaded, tokens=170, block=1) as failures:
            expect_the_same(sweep(small, QUESTIONS, settings), expected)
        assert failures and small.budget.tokens <= 170
        assert tiny.hooks(loaded) == before
    hopeless = replace(loaded, budget=TokenBudget(4096))
    with (
        little_memory(loaded, tokens=20, block=1),
        pytest.raises(ValueError, match=r"out of memory on a single text of .* shorter texts"),
    ):
        sweep(hopeless, QUESTIONS, settings)
    assert tiny.hooks(loaded) == before
    expect_the_same(sweep(loaded, QUESTIONS, settings), expected)


ITEMS = (
    ChoiceItem(id="long", context="The cat sat", options=(" on the mat.", " up", "!"), gold=0),
    ChoiceItem(id="letters", context="Answer:", options=(" A", " B", " C", " D"), gold=1),
    ChoiceItem(id="twins", context="Same", options=(" yes", " no", " yes"), gold=1),
)


@pytest.mark.parametrize("normalise", ["sum", "token", "character"])
def test_choices_under_a_setting_are_ranked_as_scores_are(normalise: Any) -> None:
    loaded = tiny.loaded("qwen3")
    steer = at(loaded, "resid_post", 2, where="last", coefficient=3.0)
    settings = [(), (steer,), (replace(steer, coefficient=0.0),), (replace(steer, where="all"),)]
    found = sweep_choices(loaded, ITEMS, settings, normalise=normalise)
    plain = score(loaded, ITEMS, normalise=normalise)
    for own in (found[0], found[2]):
        for choice, expected in zip(own, plain, strict=True):
            assert choice.scores == pytest.approx(expected.scores, rel=TINY)
            assert choice.prediction == expected.prediction and choice.ranks == expected.ranks
    for own, setting in ((found[1], settings[1]), (found[3], settings[3])):
        for place, (item, choice) in enumerate(zip(ITEMS, own, strict=True)):
            context = [*loaded.prefix, *loaded.tokenise([item.context])[0]]
            options = [tuple(loaded.tokenise([option])[0]) for option in item.options]
            logs = slowly(loaded, Question(tuple(context), tuple(options)), setting, prompt=place)
            per = {
                "sum": [1] * len(options),
                "token": [len(option) for option in options],
                "character": [len(option.strip()) for option in item.options],
            }[normalise]
            scores = [sum(own) / count for own, count in zip(logs, per, strict=True)]
            assert choice.scores == pytest.approx(scores, rel=TINY)
        assert own[2].scores[0] == own[2].scores[2]  # equal options tie exactly
        assert own[2].ranks[0] == own[2].ranks[2]


def test_nothing_to_do_is_nothing_done() -> None:
    loaded = tiny.loaded("llama")
    steer = at(loaded, "resid_post", 1, where="last")
    settings = [(), (steer,), (replace(steer, where="all"),), (replace(steer, coefficient=0.0),)]
    for shares in (True, False):
        own = replace(loaded, shares=shares)
        assert sweep(own, [], settings) == [[], [], [], []]
        assert sweep(own, LETTERS, []) == []
        assert sweep_choices(own, [], settings) == [[], [], [], []]
        assert read_options(own, []) == []
        silent = Question(ids(3), ())
        assert sweep(own, [silent], settings) == [[[]]] * 4
        assert read_options(own, [silent]) == [[]]


def test_questions_and_settings_that_do_not_fit_are_refused() -> None:
    loaded = tiny.loaded("llama")
    steer = at(loaded, "resid_post", 1, where="last")
    with pytest.raises(ValueError, match="question 1 has no prompt token: an intervention needs"):
        sweep(loaded, [LETTERS[0], Question((), (ids(3),))], [(steer,)])
    with pytest.raises(ValueError, match="4 vectors for 'add' at 'resid_post' of layer 1 and 3"):
        sweep(loaded, LETTERS, [(), (steer, replace(steer, vector=noise(4, 32)))])
    with pytest.raises(ValueError, match="position 11 is outside prompt 2, which has 11 tokens"):
        sweep(loaded, LETTERS, [(replace(steer, where=(10, 0, 11)),)])
    later = replace(steer, where="generated")
    with pytest.raises(ValueError, match=r"'generated' .* no option has more than one token"):
        sweep(loaded, LETTERS, [(later,)])
