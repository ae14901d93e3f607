"""A unit of cells becomes rows with the documented columns, whatever it is grouped with."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from actors.kinds.resources import PivotCache
from actors.measures.alignment import align
from actors.model import load
from actors.model_actor import ModelActor
from actors.work import run_unit
from studies import miniworld
from studies.kinds.choices import ChoiceGrid
from studies.models.facts import facts
from studies.spec import Cell, Model, ModelFacts, Row
from studies.texts import ChoiceItem, ChoiceSet
from studies.unit import Unit
from tests.makers import oracle, tiny
from tests.makers.alignment_units import OTHERS, WORDS, bitext, cells, documented, unit
from tests.makers.units import of_cells, with_cells


def test_values_do_not_depend_on_how_cells_are_grouped() -> None:
    loaded = tiny.loaded("mistral")
    wanted = cells(loaded.facts, OTHERS)
    together = {row["key"]: row for row in run_unit(loaded, unit(loaded.facts, wanted)).rows}
    shuffled = random.Random(1).sample(wanted, len(wanted))
    cache = PivotCache()
    apart: list[Row] = []
    for start in range(0, len(shuffled), 7):
        part = unit(loaded.facts, shuffled[start : start + 7])
        apart += run_unit(loaded, part, pivots=cache).rows
    assert len(apart) == len(together)
    for row in apart:
        assert row == together[row["key"]]


def test_the_pivot_is_read_once_for_many_languages() -> None:
    actor = ModelActor(tiny.make("llama"), device="cpu", threads=1)
    facts = tiny.make("llama")
    passes: list[int] = []
    actor._loaded.sites.embedding.register_forward_hook(
        lambda _module, args, _output: passes.append(len(args[0]))
    )
    texts = {language: len(set(bitext(language).texts)) for language in WORDS}
    # The languages ask for different layers, and the pivot still is read once for both.
    uneven = [cell for cell in cells(facts, OTHERS) if cell.layer == OTHERS.index(cell.language)]
    actor.run(unit(facts, uneven))
    assert sum(passes) == sum(texts.values())
    passes.clear()
    actor.run(unit(facts, cells(facts, OTHERS)))
    assert sum(passes) == sum(texts.values())
    actor.run(unit(facts, cells(facts, OTHERS[:1])))
    assert sum(passes) == sum(texts.values()) + texts["spa_Latn"]


def choice_unit(facts: ModelFacts, *, context: str = "Which letter?") -> Unit:
    items = tuple(
        ChoiceItem(id=f"q{place}", context=f"{place} {context}", options=options, gold=place % 2)
        for place, options in enumerate(((" A", " B"), (" yes, it is", " no"), (" B", " A", " C")))
    )
    cell = Cell(
        table="items",
        model=facts.name,
        revision=facts.revision,
        language="eng_Latn",
        scope="scope",
        benchmark="letters",
    )
    choices = ChoiceSet(benchmark="letters", language="eng_Latn", prompt="plain", items=items)
    grid = ChoiceGrid(benchmark="letters", languages=("eng_Latn",))
    return of_cells("choices", grid, facts, ((cell,), choices))


def test_item_rows_have_the_documented_columns() -> None:
    actor = ModelActor(tiny.make("qwen2"), device="cpu", threads=1)
    asked = choice_unit(tiny.make("qwen2"))
    rows = actor.run(asked).rows
    choices = asked.parts[0].content
    assert isinstance(choices, ChoiceSet)
    items = choices.items
    for row, item, choice in zip(rows, items, actor.score(items), strict=True):
        assert list(row) == documented("items")
        assert (row["item"], row["gold"], row["prompt"]) == (item.id, item.gold, "plain")
        assert row["prediction"] == choice.prediction
        assert row["correct"] is (choice.prediction == item.gold)
        assert row["scores"] == list(choice.scores) and row["ranks"] == list(choice.ranks)
        assert (row["intervention"], row["layer"], row["truncated"]) == (None, None, False)


def test_a_setting_that_would_be_ignored_is_an_error() -> None:
    loaded = tiny.loaded("llama")
    asked = choice_unit(loaded.facts)
    steered = with_cells(asked, [replace(asked.cells[0], intervention="add")])
    with pytest.raises(ValueError, match="intervention 'add'"):
        run_unit(loaded, steered)
    with pytest.raises(ValueError, match="the unit is for model 'tiny/qwen2'"):
        run_unit(loaded, choice_unit(tiny.make("qwen2")))
    first = cells(loaded.facts, OTHERS)[0]
    with pytest.raises(ValueError, match="has layers 1 to 3"):
        run_unit(loaded, unit(loaded.facts, [replace(first, measure="nasca", layer=0)]))


def test_texts_beyond_the_context_are_refused_or_counted() -> None:
    facts = tiny.make("llama", context=24)
    actor = ModelActor(facts, device="cpu", threads=1)
    asked = unit(facts, cells(facts, OTHERS[:1]))
    with pytest.raises(ValueError, match=r"context is 24.*--allow-truncation"):
        actor.run(asked)
    own = bitext("spa_Latn")
    texts = [*own.texts, *own.pivot_texts]
    cut = sum(len(text.encode()) + 1 > 24 for text in texts)
    rows = actor.run(replace(asked, allow_truncation=True)).rows
    assert {row["truncated"] for row in rows} == {cut} and cut > 0
    encoded = actor._loaded.encode(["x" * 50, "y"], allow_truncation=True)
    assert [len(sequence) for sequence in encoded.sequences] == [24, 2]
    row = choice_unit(facts, context="long " * 9)
    assert all(row["truncated"] for row in actor.run(replace(row, allow_truncation=True)).rows)


def test_extract_gives_every_layer_of_a_site() -> None:
    actor = ModelActor(tiny.make("gemma2"), device="cpu", threads=1)
    vectors = actor.extract(["one", "two three"])
    assert len(vectors.readings) == 3 * 5
    assert vectors.get("resid_post", state="raw", pooling="last", layer=0).shape == (2, 32)
    neurons = actor.extract(["one"], site="mlp_hidden", state="magnitude", layers=[2])
    assert neurons.get("mlp_hidden", state="magnitude", pooling="average", layer=2).shape[1] == 48
    with pytest.raises(ValueError, match="no texts"):
        actor.extract([])


def test_a_description_says_where_and_how() -> None:
    description = ModelActor(tiny.make("gemma2"), device="cpu", threads=1).describe()
    assert (description.device, description.dtype) == ("cpu", "float32")
    assert (description.attention, description.threads) == ("eager", 1)
    assert description.weight_bytes > 0 and re.match(r"\d+\.\d+", description.transformers)


def test_real_weights_and_real_languages_equal_the_slow_twin(shared: Path) -> None:
    actor = ModelActor(tiny.real_llama(shared), device="cpu", threads=1)
    loaded = actor._loaded
    texts = {}
    for language in ("eng_Latn", "deu_Latn", "spa_Latn", "rus_Cyrl"):
        lines = (shared / "data" / "flores200" / f"{language}.jsonl").read_text().splitlines()
        field = next(name for name in ("text", "sentence") if name in json.loads(lines[0]))
        texts[language] = [json.loads(line)[field] for line in lines[:16]]
    fast = {language: actor.extract(lines, layers=None) for language, lines in texts.items()}
    slow = {
        language: [
            oracle.activations(loaded.model, sequence)
            for sequence in loaded.encode(lines, allow_truncation=False).sequences
        ]
        for language, lines in texts.items()
    }
    for reading in fast["eng_Latn"].readings:
        for language in ("deu_Latn", "spa_Latn", "rus_Cyrl"):
            found = align(fast["eng_Latn"].at(reading), fast[language].at(reading))
            left, right = (
                [
                    oracle.pool(
                        entry["resid_post", reading.layer], state="raw", pooling=reading.pooling
                    )
                    for entry in slow[code]
                ]
                for code in ("eng_Latn", language)
            )
            assert (found.count, found.ties) == oracle.alignment(left, right), (language, reading)


@pytest.mark.parametrize("name", miniworld.MODELS)
def test_a_model_reads_through_its_own_tokenizer_file(name: str) -> None:
    """transformers 5 picks a tokenizer class by model type, whatever the folder's file says."""
    loaded = load(facts(Model(id=name)), device="cpu", threads=1)
    own = Tokenizer.from_file(str(miniworld.model_folder(name) / "tokenizer.json"))
    for language in miniworld.LANGUAGES:
        rows = miniworld.rows("miniworld", language=language)[:20]
        texts = [str(row["sentence"]) for row in rows]
        expected = [own.encode(text, add_special_tokens=False).ids for text in texts]
        assert loaded.tokenise(texts) == expected
    begins = own.token_to_id("<bos>")
    assert loaded.prefix == (() if begins is None else (begins,))
