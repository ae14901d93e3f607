"""Vectors and steered rows equal the slow twin; planted truth is found; no-ops change nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from actors.extraction.vectors import SteeringVectors, random_like, read_vectors
from actors.intervention.intervene import Edit, armed, gather, places_of
from actors.intervention.setting import Intervention
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.prediction.score import score
from actors.sweeping.sweep import sweep
from actors.work import run_unit
from studies.kinds.steering import CONTROLS, STEER
from studies.prompt_options import Steering
from studies.spec import Row
from studies.texts import ChoiceItem
from tests.makers import oracle, oracle_families, oracle_interventions, tiny
from tests.makers.questions import ids
from tests.makers.rounding import TINY, assert_near, of_model, of_sum
from tests.makers.steered import (
    ASKED,
    ENGLISH,
    GERMAN,
    GRID,
    LETTERED,
    LETTERS,
    PAIRS,
    TEXTS,
    made,
    steered,
    steering_unit,
    vector_unit,
)

FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")


def states(loaded: LoadedModel, text: str) -> list[Tensor]:
    """The state [D] of a text's last token after every layer from 1, by one plain pass."""
    found = oracle.activations(loaded.model, [*loaded.prefix, *loaded.tokenise([text])[0]])
    return [found["resid_post", layer][-1] for layer in range(1, loaded.facts.layers + 1)]


def slow_scores(
    loaded: LoadedModel, item: ChoiceItem, *, layer: int | None, vector: Tensor, where: str
) -> list[float]:
    """Every option by a pass of its own, with a hook that adds the vector."""
    context = [*loaded.prefix, *loaded.tokenise([item.context])[0]]
    scores = []
    for option in loaded.tokenise(item.options):
        length, end = len(context), len(context) + len(option)
        tokens = {
            "last": [length - 1],
            "prompt": range(length),
            "generated": range(length, end),
            "all": range(end),
        }[where]
        change = oracle_interventions.Change(
            "resid_post", layer or 1, tokens, lambda state_D: state_D + vector
        )
        changes = [] if layer is None else [change]
        scores.append(
            sum(
                oracle_interventions.changed_log_probabilities(
                    loaded.model, context, option, changes
                )
            )
        )
    return scores


def expect_row(row: Row, item: ChoiceItem, scores: Sequence[float]) -> None:
    """The same scores but for rounding; the same prediction, unless scores tie."""
    off = TINY * max(map(abs, scores))
    assert row["scores"] == pytest.approx(scores, abs=off)
    best, second = sorted(scores, reverse=True)[:2]
    if best - second > 2 * off:
        assert row["prediction"] == list(scores).index(best)
        assert row["correct"] == (row["prediction"] == item.gold)


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_and_their_rows_equal_the_slow_twin(family: str) -> None:
    loaded = tiny.loaded(family)
    answer = made(loaded, PAIRS)
    (content,) = answer.artifacts.values()
    vectors = read_vectors(content)
    assert vectors.about.ids == PAIRS.ids and vectors.about.seed == 7
    assert (vectors.about.toward, vectors.about.away) == ("eng_Latn", "deu_Latn")
    sides = [[states(loaded, one) for one in side] for side in (ENGLISH, GERMAN)]
    assert [row["layer"] for row in answer.rows] == list(range(1, loaded.facts.layers + 1))
    for place, row in enumerate(answer.rows):
        toward_ND, away_ND = (torch.stack([one[place] for one in side]) for side in sides)
        expected_D = (toward_ND - away_ND).double().mean(dim=0).float()
        found_D = vectors.at(place + 1)
        longest = max(float(one.abs().max()) for one in (toward_ND, away_ND))
        torch.testing.assert_close(found_D, expected_D, rtol=0, atol=of_model(loaded) * longest)
        assert row["norm"] == pytest.approx(float(found_D.norm()), rel=of_sum(len(found_D)))
        lengths = [float(state_D.norm()) for state_D in away_ND]
        assert row["resid_norm"] == pytest.approx(sum(lengths) / 3, rel=of_model(loaded))
        assert row["n"] == 3 and -1 <= float(str(row["reliability"])) <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_language_has_no_vector_to_itself_and_the_way_back_turns_the_sign(family: str) -> None:
    """Oracle 13 of the methods."""
    loaded = tiny.loaded(family)
    same = replace(PAIRS, language="same", away=ENGLISH)
    back = replace(PAIRS, language="eng_Latn", pivot="deu_Latn", toward=GERMAN, away=ENGLISH)
    found = made(loaded, PAIRS, same, back)
    there, zero, again = (read_vectors(content) for content in found.artifacts.values())
    for layer in range(1, loaded.facts.layers + 1):
        assert not zero.at(layer).any() and there.at(layer).any()
        assert torch.equal(there.at(layer), -again.at(layer))
    assert [row["norm"] for row in found.rows if row["language"] == "same"] == [0.0] * len(
        there.vectors
    )


def direction(vectors: SteeringVectors, layer: int, vec_norm: str) -> Tensor:
    """The vector as a switch wants it."""
    vector_D = vectors.at(layer)
    if vec_norm == "none":
        return vector_D
    length = vectors.about.resid_norms[layer - 1] if vec_norm == "scaled_to_resid" else 1.0
    return vector_D / vector_D.norm() * length


@pytest.mark.parametrize(
    "how",
    [
        Steering(),
        Steering(vec_norm="unit"),
        Steering(vec_norm="scaled_to_resid"),
        Steering(steer_pos="prompt"),
        Steering(steer_pos="generated", vec_norm="scaled_to_resid"),
        Steering(steer_pos="all"),
    ],
    ids=lambda how: f"{how.vec_norm}-{how.steer_pos}",
)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_steered_row_equals_one_hooked_pass(family: str, how: Steering) -> None:
    loaded = tiny.loaded(family)
    (content,) = made(loaded, PAIRS).artifacts.values()
    vectors = read_vectors(content)
    drawn = random_like(vectors, seed=7)
    rows = steered(loaded, {STEER: PAIRS, "random": PAIRS}, how=how)
    layers = loaded.facts.layers
    assert len(rows) == len(TEXTS) * (1 + layers * 3 + layers * 1)
    for row in rows:
        item = TEXTS[0] if row["item"] == "4" else TEXTS[1]
        layer, coefficient = row["layer"], row["coefficient"]
        assert layer is None or isinstance(layer, int)
        vector_D = torch.zeros(loaded.facts.width)
        if layer is not None:
            used = drawn if row["intervention"] == "random" else vectors
            vector_D = direction(used, layer, how.vec_norm) * float(str(coefficient))
        scores = slow_scores(loaded, item, layer=layer, vector=vector_D, where=how.steer_pos)
        expect_row(row, item, scores)
    plain = [row for row in rows if row["layer"] is None]
    answers = score(loaded, TEXTS)
    assert [row["scores"] for row in plain] == [
        pytest.approx(list(answer.scores), rel=of_model(loaded)) for answer in answers
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_controls_take_what_their_name_says(family: str) -> None:
    loaded = tiny.loaded(family)
    lettered = replace(ASKED, items=LETTERED, prompt="latent")
    others = {
        "wrong_language": replace(PAIRS, language="fra_Latn", away=("Où?", "Le chat.", "Qui?")),
        "wrong_dataset": replace(PAIRS, benchmark="other", toward=GERMAN[:2], away=ENGLISH[:2]),
        "halves": replace(PAIRS, language="eng_Latn", away=(*ENGLISH[1:], ENGLISH[0][3:])),
    }
    others["wrong_dataset"] = replace(others["wrong_dataset"], ids=("1", "2"))
    taken = {STEER: PAIRS, "random": PAIRS, "orthogonal": PAIRS, **others}
    assert set(taken) == {STEER, *CONTROLS}
    rows = steered(loaded, taken, lettered)
    found = {name: made(loaded, one).artifacts.values() for name, one in taken.items()}
    vectors = {name: read_vectors(*contents) for name, contents in found.items()}
    vectors["random"] = random_like(vectors[STEER], seed=7)
    # What is left of the vector once what it does to the letters' logits is projected out.
    norm = loaded.model.get_submodule(oracle_families.family_of(loaded.model).norm)
    weight_D = norm.weight.double() + (family == "gemma2")
    letters = [ids[0] for ids in loaded.tokenise(LETTERS)]
    rows_ND = loaded.model.lm_head.weight[letters].double() * weight_D
    basis_DN = torch.linalg.qr(rows_ND.T).Q
    own = vectors[STEER]
    left = {
        layer: (vector_D.double() - basis_DN @ (basis_DN.T @ vector_D.double())).float()
        for layer, vector_D in own.vectors.items()
    }
    vectors["orthogonal"] = replace(own, vectors=left)
    seen = set()
    for row in rows:
        if row["layer"] is None:
            continue
        name, layer = str(row["intervention"]), int(str(row["layer"]))
        item = LETTERED[0] if row["item"] == "4" else LETTERED[1]
        vector_D = vectors[name].at(layer) * float(str(row["coefficient"]))
        scores = slow_scores(loaded, item, layer=layer, vector=vector_D, where="last")
        expect_row(row, item, scores)
        seen.add(name)
    assert seen == set(taken)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_after_the_last_layer_nothing_orthogonal_to_the_letters_tells_them_apart(
    family: str,
) -> None:
    """Under a norm that centres too: only the length by which it divides all logits changes."""
    loaded = tiny.loaded(family)
    lettered = replace(ASKED, items=LETTERED[:1], prompt="latent")
    grid = replace(GRID, layers=(loaded.facts.layers,), control_coefficients=(20.0,))
    rows = steered(loaded, {"orthogonal": PAIRS, "random": PAIRS}, lettered, grid=grid)
    norm = loaded.model.get_submodule(oracle_families.family_of(loaded.model).norm)
    letters_ND = loaded.model.lm_head.weight[[one[0] for one in loaded.tokenise(LETTERS)]]
    constant_N = letters_ND @ getattr(norm, "bias", torch.zeros(letters_ND.shape[1]))
    found: dict[str, Tensor] = {}
    for row in rows:
        logits_N = torch.tensor(row["scores"]) - constant_N
        found[str(row["intervention"])] = logits_N[1:] - logits_N[0]
    plain, moved, noise = (found[name] for name in (STEER, "orthogonal", "random"))
    factor = float(moved.norm() / plain.norm())
    assert factor < 0.9  # the norm divides by more
    off = of_model(loaded) * max(abs(score) for row in rows for score in row["scores"])
    torch.testing.assert_close(moved, factor * plain, rtol=0, atol=off)
    assert oracle.cosine(noise, plain) < 0.99


@pytest.mark.parametrize("family", FAMILIES)
def test_the_exact_difference_of_one_pair_moves_its_item_to_the_pivots_answer(family: str) -> None:
    """Planted truth: at the last layer the state becomes English's, so the answer does."""
    loaded = tiny.loaded(family)
    one = replace(PAIRS, ids=("1",), toward=ENGLISH[:1], away=GERMAN[:1])
    german, english = (
        ChoiceItem(id="1", context=side[0], options=LETTERS, gold=0) for side in (GERMAN, ENGLISH)
    )
    asked = replace(ASKED, items=(german,))
    last = loaded.facts.layers
    grid = replace(GRID, layers=(last,), coefficients=(1.0,))
    plain, pushed = steered(loaded, {STEER: one}, asked, grid=grid)
    (expected,) = score(loaded, [english])
    off = of_model(loaded) * max(map(abs, expected.scores))
    assert pushed["scores"] == pytest.approx(list(expected.scores), abs=off)
    assert pushed["prediction"] == expected.prediction
    assert plain["scores"] != pytest.approx(list(expected.scores), abs=1e-2)


@pytest.mark.parametrize("where", ["last", "prompt"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_language_that_copies_the_pivot_answers_as_without_steering(
    family: str, where: str
) -> None:
    loaded = tiny.loaded(family)
    for vec_norm in ("none", "unit"):
        how = Steering(vec_norm=vec_norm, steer_pos=where)  # type: ignore[arg-type]
        rows = steered(loaded, {STEER: replace(PAIRS, away=ENGLISH)}, how=how)
        plain = {row["item"]: row for row in rows if row["layer"] is None}
        for row in rows:
            for column in ("scores", "ranks", "prediction"):
                assert row[column] == plain[row["item"]][column]
    assert len(rows) > len(plain)


def blocks(loaded: LoadedModel, run: Callable[[], object]) -> list[Tensor]:
    """What every block gives back while something runs."""
    found: list[Tensor] = []
    handles = [
        block.register_forward_hook(
            lambda _module, _args, output: found.append(
                (output[0] if isinstance(output, tuple) else output).clone()
            )
        )
        for block in loaded.sites.blocks
    ]
    try:
        with torch.inference_mode():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_before_and_tokens_before_keep_their_states(family: str) -> None:
    """Oracle 13: to the bit, in a hooked pass and on the way of a sweep."""
    loaded = tiny.loaded(family)
    last, prompt = loaded.facts.layers, ids(12)
    ids_BT = torch.tensor([prompt])

    def base() -> None:
        loaded.sites.base(input_ids=ids_BT, use_cache=False)

    plain, question = blocks(loaded, base), Question(prompt, (ids(1), ids(1, seed=1)))
    for layer in range(1, last + 1):
        push = Intervention(
            site="resid_post",
            layer=layer,
            operation="add",
            vector=torch.ones(loaded.facts.width),
            coefficient=2.0,
            where="last",
        )
        edits = gather(places_of((push,), prompt=0, row=0, length=12, end=12), device=loaded.device)

        def hooked(edits: list[Edit] = edits) -> None:
            with armed(loaded.sites, edits, rows=1):
                base()

        found = blocks(loaded, hooked)
        for place, (before_BTD, after_BTD) in enumerate(zip(plain, found, strict=True), start=1):
            assert torch.equal(after_BTD[:, :-1], before_BTD[:, :-1])
            # What is noted of the block that is steered is what it gave back before the push.
            assert torch.equal(after_BTD, before_BTD) == (place <= layer)
        idle = replace(push, coefficient=0.0)
        swept = blocks(loaded, lambda push=push: sweep(loaded, [question], [(), (push,)]))
        assert all(torch.equal(swept[place], plain[place]) for place in range(layer))
        for before_BTD, after_BTD in zip(plain, swept, strict=True):
            assert_near(after_BTD[:, :12], before_BTD, relative=of_model(loaded))
        answers = sweep(loaded, [question], [(), (idle,), (push,)])
        assert answers[0] == answers[1] != answers[2]


def test_what_cannot_be_steered_is_refused() -> None:
    loaded = tiny.loaded("llama")
    unit = steering_unit(loaded, {STEER: PAIRS})
    key = unit.needs[0]
    artifacts = made(loaded, PAIRS).artifacts
    with pytest.raises(ValueError, match=f"1 are missing, that of cell {key} first"):
        run_unit(loaded, unit)
    with pytest.raises(ValueError, match=f"vectors of cell {key}: cannot be read as steering vec"):
        run_unit(loaded, unit, artifacts={key: artifacts[key][:100]})
    alien = made(tiny.loaded("qwen3"), PAIRS).artifacts
    with pytest.raises(ValueError, match=r"read from 'tiny/qwen3' \(float32\), other weights"):
        run_unit(loaded, unit, artifacts={key: next(iter(alien.values()))})
    with pytest.raises(
        ValueError, match=r"'orthogonal' .* prompt 'cloze' has none: option 0 of it"
    ):
        steered(loaded, {"orthogonal": PAIRS})
    silent = replace(ASKED, items=(replace(TEXTS[0], options=(" Hause", "")),))
    with pytest.raises(ValueError, match=r"item '4': option 1 \(''\) has no token"):
        steered(loaded, {STEER: PAIRS}, silent)
    with pytest.raises(ValueError, match="layer 4 cannot be taken in model 'tiny/llama'"):
        steered(loaded, {STEER: PAIRS}, grid=replace(GRID, layers=(4,)))
    lettered = replace(ASKED, items=LETTERED)
    with pytest.raises(ValueError, match=r"'generated' .* no option has more than one token"):
        steered(loaded, {STEER: PAIRS}, lettered, how=Steering(steer_pos="generated"))
    long = replace(PAIRS, away=("a" * 300, *GERMAN[1:]))
    with pytest.raises(
        ValueError, match="the prompt of item '1' has 301 tokens and the model's co"
    ):
        made(loaded, long)
    cut = replace(vector_unit(loaded, long), allow_truncation=True)
    (content,) = run_unit(loaded, cut).artifacts.values()
    short = replace(PAIRS, away=("a" * 255, *GERMAN[1:]))  # with BOS, the whole context
    (same,) = made(loaded, short).artifacts.values()
    assert torch.equal(read_vectors(content).at(1), read_vectors(same).at(1))
