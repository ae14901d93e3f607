"""Tokens are drawn from the softmax, and a text ends before its stop string, wherever that lies."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn
from transformers import Gemma3Config

from actors.model import LoadedModel, load
from actors.prediction.decode import Chooser, Sampling
from actors.prediction.generate import generate_tokens
from actors.tokens.tokenised import ends_of
from tests.makers import oracle, tiny
from tests.makers.rounding import TINY
from tests.makers.tiny import generate

# Shapes: B rows, T tokens, V vocabulary


@contextmanager
def spelling(loaded: LoadedModel, texts: Sequence[str | Sequence[int]]) -> Iterator[list[int]]:
    """Make the model write these texts, one per row; yields the rows of every pass."""
    ids = [loaded.tokenise([one])[0] if isinstance(one, str) else list(one) for one in texts]
    passes: list[int] = []

    def hook(_module: nn.Module, _args: object, logits_BTV: Tensor) -> Tensor:
        wanted_BTV = torch.zeros_like(logits_BTV)
        for row, text in enumerate(ids):
            wanted_BTV[row, -1, text[min(len(passes), len(text) - 1)]] = 50
        passes.append(len(logits_BTV))
        return wanted_BTV

    handle = loaded.model.get_output_embeddings().register_forward_hook(hook)
    try:
        yield passes
    finally:
        handle.remove()


def test_sampling_draws_from_the_softmax() -> None:
    logits_V = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
    rows = 4000
    cases = (
        (Sampling(temperature=1.0), logits_V, 6),
        (Sampling(temperature=0.5, seed=1), logits_V / 0.5, 6),
        (Sampling(temperature=1.0, top_k=3, seed=2), logits_V, 3),
        (Sampling(temperature=2.0, top_p=0.8, seed=3), logits_V / 2, 4),
    )
    for sampling, scores_V, kept in cases:
        chooser = Chooser(sampling, [(row,) for row in range(rows)])
        for _ in range(2):  # the noise goes on from step to step
            scores = chooser(torch.zeros(rows, 1), logits_V.expand(rows, -1))
            counts = torch.bincount(scores.argmax(dim=1), minlength=6)
            assert not counts[kept:].any()
            expected_V = scores_V[:kept].double().softmax(dim=0) * rows
            assert chisquare(counts[:kept].numpy(), expected_V.numpy()).pvalue > 1e-3
        logs = torch.tensor(chooser.log_probabilities())
        assert logs.shape == (rows, 2)
        assert torch.allclose(logs[:, 1], logits_V.log_softmax(dim=0)[scores.argmax(dim=1)])


def test_first_tokens_of_a_model_follow_its_softmax() -> None:
    loaded = tiny.loaded("mistral")
    [ids] = loaded.encode(["Once"], allow_truncation=False).sequences
    with torch.no_grad():
        logits_V = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1]
    top = logits_V.softmax(dim=0).topk(3)
    draws = 300
    found = [
        generate_tokens(
            loaded, [ids], max_new_tokens=1, sampling=Sampling(temperature=1.0, seed=seed)
        )
        for seed in range(draws)
    ]
    firsts = torch.tensor([one[0].tokens[0] for one in found])
    for probability, token in zip(top.values.tolist(), top.indices, strict=True):
        spread = (draws * probability * (1 - probability)) ** 0.5
        assert abs(int((firsts == token).sum()) - draws * probability) < 4 * spread


def test_the_seed_is_the_sample() -> None:
    loaded = tiny.loaded("llama")
    ask = partial(generate, loaded, tiny.TEXTS, max_new_tokens=10)
    first = ask(sampling=Sampling(temperature=1.0))
    assert ask(sampling=Sampling(temperature=1.0)) == first
    one, other = first[1], first[4]  # equal prompts, in batches that may differ
    near = pytest.approx(one.log_probability, rel=TINY)
    assert other == one._replace(log_probability=other.log_probability)
    assert other.log_probability == near
    others = ask(sampling=Sampling(temperature=1.0, seed=1))
    assert all(one.text != other.text for one, other in zip(first, others, strict=True))
    greedy = ask()
    assert ask(sampling=Sampling(temperature=1.0, top_k=1)) == greedy
    assert ask(sampling=Sampling(temperature=1e-4)) == greedy
    assert ask(sampling=Sampling(temperature=1.0, top_p=1e-6)) == greedy
    for ids, one in zip(
        loaded.encode(tiny.TEXTS, allow_truncation=False).sequences, first, strict=False
    ):
        expected = sum(oracle.option_log_probabilities(loaded.model, ids, one.tokens))
        assert one.log_probability == pytest.approx(expected, rel=TINY, abs=TINY)


def test_stop_strings_end_texts_and_the_batch() -> None:
    loaded = tiny.loaded("llama")
    texts = ["Anna ate.\n\nThen", "A B。 C\n", "</s>", "never"]
    prompts = ["p", "q", "r", "s"]
    with spelling(loaded, [texts[0], texts[1], [71, 1, 72], texts[3]]) as passes:
        found = generate(loaded, prompts, max_new_tokens=40, stop=("\n\n", "。", "te.\n\n"))
    assert [one.text for one in found] == ["Anna a", "A B", "f", "neverrrrrr" + "r" * 30]
    assert [one.stopped for one in found] == ["stop", "stop", "end", "length"]
    assert [loaded.tokenizer.decode(one.tokens) for one in found[:3]] == [
        "Anna ate.\n\n",
        "A B。",
        "f</s>",
    ]
    assert len(found[3].tokens) == 40 == len(passes)
    with spelling(loaded, texts[:2]) as passes:
        found = generate(loaded, prompts[:2], max_new_tokens=40, stop=["\n"])
    assert [one.text for one in found] == ["Anna ate.", "A B。 C"]
    assert len(passes) == max(len(one.tokens) for one in found) == 10


def test_a_stop_string_in_the_prompt_is_not_one() -> None:
    loaded = tiny.loaded("qwen2")
    with spelling(loaded, ["\nyes\n\n"]):
        [one] = generate(loaded, ["Question\n"], stop=["\n\n"])
    assert one.text == "\nyes"


def test_without_any_end_token_texts_still_stop() -> None:
    loaded = load(tiny.make("gpt2", seed=1), device="cpu")
    loaded.model.generation_config.eos_token_id = None
    loaded.model.config.eos_token_id = None
    loaded.tokenizer.eos_token = None
    with spelling(loaded, ["one, two", "one"]):
        found = generate(loaded, ["a", "b"], max_new_tokens=8, stop=[","])
    assert [one[2] for one in found] == ["stop", "length"]
    assert [one.text for one in found] == ["one", "oneeeeee"]
    assert len(found[0].tokens) == 4


def test_the_space_before_the_first_word_is_kept() -> None:
    loaded = replace(tiny.loaded("llama"), tokenizer=tiny.tokenizer(bos=True, space_before=True))
    with spelling(tiny.loaded("llama"), [" Anna and Ben"]):
        [one] = generate(loaded, ["who"], max_new_tokens=12, stop=[" and"])
    assert one.text == " Anna"


def test_ends_are_those_of_the_configuration_its_text_part_the_tokenizer_and_the_settings() -> None:
    text = {"hidden_size": 32, "num_hidden_layers": 1, "eos_token_id": 1}
    config = Gemma3Config(text_config=text, eos_token_id=[1, 106])
    tokenizer = tiny.tokenizer(bos=True)
    own = tokenizer.eos_token_id
    assert ends_of(config, tokenizer, more=(7,)) == sorted({1, 106, own, 7})
