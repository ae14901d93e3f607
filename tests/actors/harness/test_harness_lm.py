"""Requests of lm-evaluation-harness: answered on a model of ours as its own model answers them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from actors.harness.lm import HarnessLM
from actors.harness.score import score
from actors.intervention.setting import Intervention
from actors.model import LoadedModel, load
from actors.prediction import score as plain
from actors.work import run_unit
from studies import harness_tasks
from studies.kinds import choices
from studies.kinds.choices import ChoiceGrid
from studies.rows import Source
from studies.texts import ChoiceItem, ChoiceSet
from tests.makers import tiny
from tests.makers.oracle_interventions import change_of, changed_log_probabilities
from tests.makers.rounding import of_model
from tests.makers.units import of_drafts
from tests.studies.test_benchmarks import write
from tests.studies.test_harness import get, knowledge

FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
TASKS = ("m_arc", "m_mmlu", "belebele", "xnli")


def requests(kind: str, arguments: Sequence[tuple[Any, ...]]) -> list[Instance]:
    return [
        Instance(request_type=kind, doc={}, arguments=one, idx=0, metadata=("t", 0, 1))
        for one in arguments
    ]


def hflm(loaded: LoadedModel, *, rows: int = 3) -> HFLM:
    """The harness's own model, with the tokens of the model's own file, which HFLM may not read."""
    return HFLM(
        pretrained=loaded.facts.folder, tokenizer=loaded.tokenizer, device="cpu", dtype="float32",
        batch_size=rows,
    )  # fmt: skip


PAIRS = [
    ("The cat sat", " on the mat."), ("The cat sat", " up"), ("Answer:", " A"), ("Answer:", " B"),
    ("", "It rained."), ("", "<s>It"), ("ab", "cd"), ("Ends in space  ", " x"),
    ("<s>Has a BOS", " yes"), ("x" * 300, " A"), ("x" * 300, " yes"), ("y" * 252, "zzzzz"),
    ("кот", " сидит"),
]  # fmt: skip
GENERATED = [
    ("The cat", {"until": ["\n"], "max_gen_toks": 12}),
    ("Hello there and", {"until": ["e", "q"], "max_gen_toks": 20, "do_sample": False}),
    ("x" * 300, {"until": "no", "max_new_tokens": 10, "temperature": 0.0}),
    ("кот", {"until": ["a"], "max_gen_toks": 30}),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_requests_are_answered_as_the_harness_answers_them(family: str):
    """Boundaries no token has, spaces, BOS, no context at all, contexts cut from the left."""
    loaded = tiny.loaded(family)
    theirs, ours = hflm(loaded), HarnessLM(loaded, allow_truncation=True)
    asked = requests("loglikelihood", PAIRS)
    for text, one, other in zip(
        PAIRS, ours.loglikelihood(asked), theirs.loglikelihood(asked), strict=True
    ):
        assert one == pytest.approx(other, rel=of_model(loaded), abs=of_model(loaded)), text
    texts = requests("loglikelihood_rolling", [("short",), ("Long words. " * 60,), ("",)])
    assert ours.loglikelihood_rolling(texts) == pytest.approx(
        theirs.loglikelihood_rolling(texts), rel=of_model(loaded)
    )
    written = requests("generate_until", GENERATED)
    assert ours.generate_until(written) == theirs.generate_until(written)
    assert ours.tok_encode("<s>Has a BOS") == theirs.tok_encode("<s>Has a BOS")
    assert (ours.max_length, ours.tokenizer_name) == (theirs.max_length, theirs.tokenizer_name)


def test_a_chat_template_is_the_tokenizers_own():
    loaded = tiny.loaded("llama")
    tokenizer = tiny.tokenizer(bos=True)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m.role }}] {{ m.content }}{% endfor %}{% if add_generation_prompt %}[you]{% endif %}"
    )
    lm = HarnessLM(replace(loaded, tokenizer=tokenizer))
    talk = [{"role": "system", "content": "x"}, {"role": "user", "content": "Hi"}]
    assert lm.apply_chat_template(talk) == "[user] Hi[you]"
    assert lm.apply_chat_template(talk[1:], add_generation_prompt=False).rstrip() == "[user] Hi"
    assert lm.chat_template(True) == tokenizer.chat_template


def test_an_intervention_changes_every_request():
    loaded = tiny.loaded("llama")
    before = tiny.hooks(loaded)
    generator = torch.Generator().manual_seed(1)
    steer = Intervention(
        site="resid_post", layer=2, operation="add", coefficient=3.0,
        vector=torch.randn(32, generator=generator),
    )  # fmt: skip
    asked = requests("loglikelihood", PAIRS[:4])
    for one, where in ((steer, "all"), (replace(steer, where="prompt"), "prompt")):
        found = HarnessLM(loaded, intervention=one).loglikelihood(asked)
        for (context, continuation), (total, _) in zip(PAIRS, found, strict=False):
            head = [0, *loaded.tokenise([context])[0]]
            tail = loaded.tokenise([context + continuation])[0][len(head) - 1 :]
            end = len(head) + len(tail)
            change = change_of(one, prompt=0, length=len(head), end=end)
            expected = sum(changed_log_probabilities(loaded.model, head, tail, [change]))
            assert total == pytest.approx(expected, abs=1e-4), where
    idle = HarnessLM(loaded, intervention=(replace(steer, coefficient=0.0),))
    assert idle.loglikelihood(asked) == HarnessLM(loaded).loglikelihood(asked)
    written = requests("generate_until", GENERATED[:1])
    steered = HarnessLM(loaded, intervention=steer).generate_until(written)
    assert steered != HarnessLM(loaded).generate_until(written)
    assert tiny.hooks(loaded) == before
    items = [ChoiceItem(id="1", context="The cat", options=(" sat", " is up"), gold=0)]
    pairs = [("The cat", option) for option in items[0].options]
    own = HarnessLM(loaded).loglikelihood(requests("loglikelihood", pairs))
    assert score(loaded, items)[0].scores == pytest.approx([total for total, _ in own], abs=1e-4)


def test_requests_that_would_be_answered_otherwise_are_refused():
    loaded = tiny.loaded("qwen2")
    lm = HarnessLM(loaded)
    with pytest.raises(ValueError, match=r"' A' has 3\d\d tokens .* 256.*--allow-truncation"):
        lm.loglikelihood(requests("loglikelihood", [("x" * 300, " A")]))
    with pytest.raises(ValueError, match=r"10 new tokens has \d+ tokens"):
        lm.generate_until(requests("generate_until", [("x" * 300, {"max_gen_toks": 10})]))
    with pytest.raises(ValueError, match="the context has no token"):
        lm.loglikelihood(requests("loglikelihood", [("  ", "a")]))
    beams = requests("generate_until", [("a", {"max_gen_toks": 4, "num_beams": 4})])
    with pytest.raises(ValueError, match="num_beams=4"):
        lm.generate_until(beams)
    each = Intervention(site="resid_post", layer=1, operation="add", vector=torch.ones(2, 48))
    with pytest.raises(ValueError, match="acts on every request"):
        HarnessLM(loaded, intervention=each)
    late = replace(each, vector=torch.ones(48), where="generated")
    lm = HarnessLM(loaded, intervention=late)
    with pytest.raises(ValueError, match="changes nothing here"):
        lm.loglikelihood(requests("loglikelihood", [("a", "b")]))


def test_sampling_follows_from_the_seed():
    loaded = tiny.loaded("llama")
    given = {"max_gen_toks": 20, "do_sample": True, "temperature": 1.5, "top_p": 0.9, "until": []}
    asked = requests("generate_until", [("The cat", given)])
    first = HarnessLM(loaded, seed=1).generate_until(asked)
    assert first == HarnessLM(loaded, seed=1).generate_until(asked)
    assert first != HarnessLM(loaded, seed=2).generate_until(asked)


def compare(theirs: HFLM, loaded: LoadedModel, found: ChoiceSet) -> None:
    """The harness's own model, ours as its model, and our question set agree in every option."""
    pairs = [(item.context, option) for item in found.items for option in item.options]
    asked = requests("loglikelihood", pairs)
    expected = theirs.loglikelihood(asked, disable_tqdm=True)
    ours = HarnessLM(loaded, allow_truncation=True).loglikelihood(asked)
    assert [one for one, _ in ours] == pytest.approx(
        [one for one, _ in expected], abs=of_model(loaded), rel=of_model(loaded)
    )
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in expected]
    totals = iter(total for total, _ in expected)
    for item, choice in zip(
        found.items, score(loaded, found.items, allow_truncation=True), strict=True
    ):
        own = [next(totals) for _ in item.options]
        near = pytest.approx(own, abs=of_model(loaded), rel=of_model(loaded))
        assert choice.scores == near, item.id
        assert choice.prediction == int(np.argmax(own)), item.id


@pytest.mark.parametrize("benchmark", TASKS)
def test_four_tasks_on_tiny_families(shared: Path, benchmark: str):
    source = Source(data_root=shared / "data")
    found = get(f"harness/{benchmark}", source, limit=3, prompt="1-shot")
    for family in FAMILIES:
        compare(hflm(tiny.loaded(family)), tiny.loaded(family), found)


@pytest.mark.parametrize(
    ("benchmark", "languages"),
    [
        ("m_arc", ("deu_Latn", "spa_Latn")),
        ("m_mmlu", ("deu_Latn", "swe_Latn")),
        ("belebele", ("eng_Latn",)),
    ],
)
def test_real_tasks_on_a_real_model(shared: Path, benchmark: str, languages: tuple[str, ...]):
    """With 5 examples most texts exceed its context: the harness cuts them, BOS and all."""
    source = Source(data_root=shared / "data")
    loaded = load(tiny.real_llama(shared), device="cpu", threads=1)
    theirs = hflm(loaded, rows=8)
    for language in languages:
        found = get(f"harness/{benchmark}", source, language=language, limit=12)
        compare(theirs, loaded, found)
        compare(theirs, loaded, get(f"harness/{benchmark}", source, language=language, limit=12,
                                    prompt="0-shot"))  # fmt: skip


def test_characters_are_those_of_the_option_without_its_delimiter():
    """Of "  x " the harness counts three; without its own spaces it would be one."""
    item = ChoiceItem(id="1", context="The cat", options=("  x ", " yes", " on the mat"), gold=0)
    for family in FAMILIES:
        (choice,) = score(tiny.loaded(family), [item])
        per_character = np.array(choice.scores) / [3, 3, 10]
        assert choice.prediction_norm == int(per_character.argmax())


def test_where_boundaries_are_tokens_the_two_rules_agree(tmp_path: Path):
    rows = [knowledge(number) for number in range(7)]
    source = write(tmp_path, "m_arc/de.jsonl", rows)
    found = get("harness/m_arc", source, prompt="2-shot")
    for family in FAMILIES:
        loaded = tiny.loaded(family)
        ours, known = score(loaded, found.items), plain.score(loaded, found.items)
        assert [one.scores for one in ours] == [one.scores for one in known]


def test_a_whole_evaluation_by_the_harness_comes_to_the_same(tmp_path: Path):
    """Its own loader, sampler and metrics; per character it counts an option without delimiter."""
    rows = [knowledge(number, option_c="c" * 9, option_e=None) for number in range(12)]
    source = write(tmp_path, "m_arc/de.jsonl", rows[:8])
    write(tmp_path, "m_arc/train/de.jsonl", rows[8:])
    found = get("harness/m_arc", source, prompt="2-shot", limit=5)
    files = {"test": "m_arc/de.jsonl", "train": "m_arc/train/de.jsonl"}
    config = harness_tasks.definitions("arc_de", folder="okapi/arc_multilingual")["arc_de"] | {
        "dataset_path": "json",
        "dataset_name": None,
        "validation_split": None,
        "dataset_kwargs": {
            "data_files": {split: str(tmp_path / file) for split, file in files.items()},
            "cache_dir": str(tmp_path / "cache"),
        },
    }
    loaded = tiny.loaded("olmo2")
    theirs: Any = lm_eval.simple_evaluate(
        HarnessLM(loaded), tasks=[config], num_fewshot=2, limit=5, bootstrap_iters=0,
        task_manager=lm_eval.tasks.TaskManager(include_defaults=False),
    )  # fmt: skip
    for item, sample in zip(found.items, theirs["samples"]["arc_de"], strict=True):
        assert sample["arguments"] == [(item.context, option) for option in item.options]
    pairs = list(zip(found.items, score(loaded, found.items), strict=True))
    right = [choice.prediction == item.gold for item, choice in pairs]
    right_per_character = [choice.prediction_norm == item.gold for item, choice in pairs]
    result = theirs["results"]["arc_de"]
    assert result["acc,none"] == pytest.approx(np.mean(right))
    assert result["acc_norm,none"] == pytest.approx(np.mean(right_per_character))


def test_a_worker_asks_as_the_harness_does(shared: Path):
    """Where " A" after a colon is no token of its own, the ordinary rule has other answers."""
    source = Source(data_root=shared / "data")
    model = tiny.real_llama(shared)
    loaded = load(model, device="cpu", threads=1)
    found = get("harness/belebele", source, language="eng_Latn", limit=8, prompt="0-shot")
    grid = ChoiceGrid(benchmark="harness/belebele", languages=("eng_Latn",))
    unit = of_drafts(grid, choices.draft(found, model=model), allow_truncation=True)
    rows = run_unit(loaded, unit).rows
    expected = score(loaded, found.items, allow_truncation=True)
    assert [row["scores"] for row in rows] == [list(choice.scores) for choice in expected]
    right = [
        choice.prediction_norm == item.gold
        for item, choice in zip(found.items, expected, strict=True)
    ]
    assert [row["correct_norm"] for row in rows] == right
    ordinary = plain.score(loaded, found.items, allow_truncation=True)
    assert [choice.scores for choice in ordinary] != [choice.scores for choice in expected]
