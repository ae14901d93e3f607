"""A real vLLM writes what transformers writes; it is refused, killed and closed without a trace."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from actors import engine as engines
from actors.engine import Engine
from actors.loading import engine as loading
from actors.model import LoadedModel, load
from actors.prediction.score import score
from actors.work import run_unit
from orchestrator.scheduling.actions import Node, Open
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.schedule import Schedule
from orchestrator.storage.tables import ALL_TABLES
from studies import benchmarks, generation_items
from studies.models.facts import facts
from studies.prompt_options import Chat
from studies.rows import Source
from studies.spec import Model, ModelFacts, Row
from studies.texts import ChoiceItem, GenerationSet, Sampling
from tests.makers import tiny
from tests.makers.stored import check
from tests.makers.wide_heads import widen
from tests.makers.written import asked, unit

MODELS = ("miniworld-llama", "miniworld-qwen2", "miniworld-gemma2")
LANGUAGES = ("deu_Latn", "rus_Cyrl", "zho_Hans", "swh_Latn")
DRAWN = Sampling(temperature=1.0, top_p=0.9, n=3)
PLACES = ("park", "shop", "beach", "zoo")
PROMPTS = ("Anna has 12 cats", "Анна ест", "安娜", "Where is Sara?")

installed = pytest.mark.skipif(
    find_spec("vllm") is None, reason=f"vLLM is not installed: {loading.HOW_TO_INSTALL}"
)
real = [installed, pytest.mark.vllm, pytest.mark.long]


def model(name: str) -> ModelFacts:
    return replace(facts(Model(id=name)), engine="vllm")


class Both:
    """One model under both engines."""

    def __init__(self, name: str) -> None:
        self.facts = model(name)
        self.hf: LoadedModel = load(self.facts, device="cpu", threads=1)
        self.vllm = Engine(self.facts, device="cpu", threads=1)

    def rows(self, *sets: GenerationSet, **given: bool) -> tuple[list[Row], list[Row]]:
        """The rows of transformers, and those of vLLM."""
        one = unit(self.facts, *sets, **given)
        return run_unit(self.hf, one).rows, self.vllm.run(one).rows

    def refused(self, match: str, *sets: GenerationSet, **given: bool) -> None:
        """Both say the same sentence."""
        one = unit(self.facts, *sets, **given)
        with pytest.raises(ValueError, match=match) as first:
            run_unit(self.hf, one)
        with pytest.raises(ValueError, match=match) as second:
            self.vllm.run(one)
        assert str(first.value) == str(second.value)


@pytest.fixture(scope="module", params=MODELS)
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    """Every model in turn, opened once for all tests."""
    held = Both(request.param)
    yield held
    held.vllm.close()


def outputs(rows: list[Row]) -> list[object]:
    return [row["output"] for row in rows]


def engineless(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "engine"} for row in rows]


@contextmanager
def counting(engine: Engine) -> Iterator[list[int]]:
    """The tokens that the engine tells of."""
    step, written = engine._engine.step, []

    def counted() -> object:
        outputs = step()
        written.extend(token for one in outputs for token in one.outputs[0].token_ids)
        return outputs

    engine._engine.step = counted
    try:
        yield written
    finally:
        del engine._engine.step


def most_probable(engine: Engine, items: Sequence[ChoiceItem], *, tokenizer: Any) -> list[int]:
    """Which option of each item vLLM gives the greatest probability, all its tokens together."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    asked = SamplingParams(
        max_tokens=1, prompt_logprobs=0, output_kind=RequestOutputKind.FINAL_ONLY
    )
    begins = {}
    for number, item in enumerate(items):
        context = tokenizer.encode(item.context)
        for place, option in enumerate(item.options):
            tokens = context + tokenizer.encode(option, add_special_tokens=False)
            begins[f"{number} {place}"] = len(context)
            prompt = {"prompt_token_ids": tokens}
            engine._engine.add_request(f"{number} {place}", prompt, asked)
    scores: list[dict[int, float]] = [{} for _ in items]
    while engine._engine.has_unfinished_requests():
        for output in engine._engine.step():
            number, place = map(int, output.request_id.split())
            behind = list(zip(output.prompt_token_ids, output.prompt_logprobs, strict=True))[
                begins[output.request_id] :
            ]
            scores[number][place] = sum(given[token].logprob for token, given in behind)
    return [max(own, key=lambda place: own[place]) for own in scores]


class TestBoth:
    """What holds for all three models."""

    pytestmark = real

    def test_greedy_texts_are_those_of_transformers(self, both: Both):
        sets = [
            generation_items.translation_set(
                "miniworld", language=language, pivot="eng_Latn", source=Source(), limit=40, shots=4
            )
            for language in LANGUAGES
        ]
        sets.append(
            generation_items.question_set(
                "mini_xquad", language="eng_Latn", source=Source(), limit=40
            )
        )
        hf, vllm = both.rows(*sets)
        check(unit(both.facts, *sets), vllm)
        ALL_TABLES["generations"].to_arrow(vllm)
        same = sum(one == two for one, two in zip(engineless(hf), engineless(vllm), strict=True))
        assert len(hf) >= 150 and same / len(hf) >= 0.99
        assert {row["engine"] for row in vllm} == {engines.engine()} != {hf[0]["engine"]}
        assert sum(bool(row["output"]) for row in vllm) > 0.5 * len(vllm)

    @pytest.mark.parametrize("prompt", ["cloze", "letter"])
    def test_the_most_probable_option_is_the_same(self, both: Both, prompt: str):
        items = [
            replace(item, id=f"{language} {item.id}")
            for language in LANGUAGES
            for item in benchmarks.load(
                "mini_belebele", language=language, source=Source(), prompt=prompt, limit=40
            ).items
        ]
        ours = [choice.prediction for choice in score(both.hf, items)]
        theirs = most_probable(both.vllm, items, tokenizer=both.hf.tokenizer)
        assert sum(map(int.__eq__, ours, theirs)) >= 0.99 * len(items) > 150
        assert len(set(ours)) == 4

    def test_samples_have_seeds_of_their_own_and_know_no_neighbours(self, both: Both):
        one = asked(*PROMPTS, max_new_tokens=12, sampling=DRAWN)

        def drawn(given: GenerationSet) -> list[Row]:
            return both.vllm.run(unit(both.facts, given)).rows

        found = drawn(one)
        assert [(row["item"], row["sample"]) for row in found] == [
            (str(item), sample) for item in range(4) for sample in range(3)
        ]
        assert len(set(outputs(found))) >= 10
        assert drawn(one) == found
        alone = drawn(replace(one, items=one.items[2:3]))
        assert outputs(alone) == outputs(found)[6:9]
        other = drawn(replace(one, sampling=replace(DRAWN, seed=1)))
        assert sum(map(str.__eq__, outputs(found), outputs(other))) <= 2  # type: ignore[arg-type]

    @pytest.mark.parametrize("stop", [(".",), ("\n", "="), ("на", " cat"), ("никогда",), ()])
    def test_texts_end_before_the_same_stop_strings(self, both: Both, stop: tuple[str, ...]):
        hf, vllm = both.rows(asked(*PROMPTS, max_new_tokens=48, stop=stop))
        assert engineless(hf) == engineless(vllm)
        if stop == (".",):
            assert any(row["stopped"] and row["tokens"] < 40 for row in vllm)

    def test_little_is_written_behind_a_stop_string(self, both: Both):
        """Nothing behind one that a token holds; of others, what comes between two searches."""
        found = both.vllm.run(unit(both.facts, asked(PROMPTS[0], max_new_tokens=200))).rows[0]
        tokens = both.hf.tokenise([str(found["output"])])[0]
        cases = [(tokens[place : place + 1], 0) for place in (3, 7, 12)]
        cases += [(tokens[place : place + 3], engines.SEARCH_TOKENS) for place in (3, 6, 10)]
        for chosen, spare in cases:
            one = asked(PROMPTS[0], max_new_tokens=200, stop=(both.hf.tokenizer.decode(chosen),))
            with counting(both.vllm) as written:
                (row,) = both.vllm.run(unit(both.facts, one)).rows
            (same,) = run_unit(both.hf, unit(both.facts, one)).rows
            assert engineless([row]) == engineless([same])
            assert (
                row["stopped"] and int(row["tokens"]) <= len(written) <= int(row["tokens"]) + spare
            )


class TestOne:
    """What is the same for every model."""

    pytestmark: ClassVar = [*real, pytest.mark.parametrize("both", MODELS[:1], indirect=True)]

    def test_it_tells_what_it_is(self, both: Both):
        told = both.vllm.describe()
        assert (told.device, told.dtype, told.peak_bytes) == ("cpu", "float32", 0)
        assert told.engine == engines.engine() == f"vllm {told.engine.partition(' ')[2]}"

    def test_what_cannot_be_written_is_the_same_sentence(self, both: Both):
        context = both.facts.context
        long = "Anna eats fish. " * context
        both.refused(r"prompt 1 and 6 new tokens has \d+ tokens and the model's", asked("a", long))
        both.refused(
            f"max_new_tokens is {context}: the model's context of {context} leaves no room",
            asked("a", max_new_tokens=context),
            allow_truncation=True,
        )
        both.refused("none of them empty", asked("a", stop=("",)))
        both.refused("max_new_tokens is 0", asked("a", max_new_tokens=0))
        both.refused("has no chat template", asked("a", chat=Chat()))
        hf, vllm = both.rows(asked("a", long), allow_truncation=True)
        assert engineless(hf) == engineless(vllm)
        assert [row["truncated"] for row in vllm] == [False, True]

    def test_an_empty_prompt_is_its_prefix_or_refused(self, both: Both):
        hf, vllm = both.rows(asked(""))
        assert engineless(hf) == engineless(vllm)
        held = both.vllm._model
        both.vllm._model = replace(held, prefix=())
        try:
            with pytest.raises(ValueError, match="prompt 0 has no token: expected at least one"):
                both.vllm.run(unit(both.facts, asked("")))
        finally:
            both.vllm._model = held

    def test_it_writes_and_nothing_else(self, both: Both):
        one = unit(both.facts, asked("a"))
        reading = replace(one, kind="alignment")
        with pytest.raises(ValueError, match="vLLM only writes: use --engine hf"):
            both.vllm.run(reading)
        with pytest.raises(ValueError, match="this engine holds 'miniworld-llama'"):
            both.vllm.run(unit(model("miniworld-qwen2"), asked("a")))

    def test_the_environment_stays_as_it_was(self, both: Both):
        assert not [name for name in os.environ if name.startswith("VLLM_")]


@pytest.mark.vllm
@installed
def test_an_architecture_that_vllm_does_not_know_is_named(tmp_path: Path):
    folder = tmp_path / "fancy"
    shutil.copytree(model("miniworld-llama").folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["FancyForCausalLM"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"'fancy' cannot be .*FancyForCausalLM.*hf$") as error:
        Engine(model(str(folder)), device="cpu")
    assert len(str(error.value)) < 300


@pytest.mark.vllm
@installed
def test_heads_without_a_kernel_are_refused_and_wider_ones_write_the_same(
    shared: Path, tmp_path: Path
):
    narrow = tiny.real_llama(shared)
    with pytest.raises(ValueError, match="heads of width 16, for which vLLM has no kernel without"):
        Engine(replace(narrow, engine="vllm"), device="cpu")
    wide = model(str(widen(Path(narrow.folder), out=tmp_path / "wide")))
    story = [f"{name} went to the {place}. " for name in ("Tom", "Lily") for place in PLACES]
    one = asked(*story, max_new_tokens=24)
    plain = run_unit(load(narrow, device="cpu"), unit(narrow, one)).rows
    engine = Engine(wide, device="cpu")
    try:
        wider = engine.run(unit(wide, one)).rows
    finally:
        engine.close()
    assert outputs(wider) == outputs(plain) and len(set(map(str, outputs(plain)))) > 5


def test_what_vllm_would_do_otherwise_is_refused_before_anything_is_opened():
    plain = model("miniworld-llama")
    for changed, device, match in (
        (replace(plain, adapter="a", adapter_weights="x"), "cpu", "adapter .* use --engine hf"),
        (replace(plain, quantisation="8bit"), "cpu", "asked for in 8bit.* use --engine hf"),
        (plain, "cuda:1", "CUDA_VISIBLE_DEVICES=1 and use --device cuda"),
    ):
        with pytest.raises(ValueError, match=match):
            Engine(changed, device=device)


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'babelscope\[vllm\]'.*`make vllm`"):
        Engine(model("miniworld-llama"), device="cpu")


def test_an_engine_shares_no_gpu_and_is_taken_to_start_slowly():
    plain, whole = facts(Model(id="miniworld-llama")), model("miniworld-llama")
    assert plain.identity == whole.identity
    cost = Cost()
    assert cost.load_seconds(whole) > 3 * cost.load_seconds(plain)
    node = Node("n", gpus=2, cpus=8, gpu_bytes=80_000_000_000)

    def opened(engine: ModelFacts) -> list[float]:
        models = [replace(engine, weights=str(number)) for number in range(4)]
        units = [unit(one, asked("a" * 10_000)) for one in models]
        schedule = Schedule(units, nodes=[node], cost=Cost())
        return [action.gpus for action in schedule.actions(now=0) if isinstance(action, Open)]

    assert opened(whole) == [1.0, 1.0]
    assert len(opened(plain)) == 4
