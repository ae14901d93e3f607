"""A unit of cells becomes rows with the documented columns, whatever it is grouped with."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from actors.alignment import align, chance_of
from actors.model import load
from actors.model_actor import ModelActor
from actors.tasks.given import PivotCache
from actors.work import run_unit
from studies import miniworld
from studies.measures import MEASURES, resolve
from studies.model_files import facts
from studies.spec import (
    POOLINGS,
    AlignmentWork,
    Bitext,
    Cell,
    ChoiceItem,
    ChoiceSet,
    ChoiceWork,
    Model,
    ModelFacts,
    Row,
    Switches,
    Unit,
)
from tests import oracle, oracle_similarity, tiny
from tests.rounding import of_model

WORDS = {
    "eng_Latn": ("the", "cat", "dog", "saw", "a", "house", "red", "and", "ran"),
    "spa_Latn": ("el", "gato", "perro", "vio", "una", "casa", "rojo", "y", "corrió"),
    "rus_Cyrl": ("этот", "кот", "пёс", "видел", "один", "дом", "красный", "и", "бежал"),
}
OTHERS = ("spa_Latn", "rus_Cyrl")


def bitext(language: str, *, pairs: int = 12) -> Bitext:
    def texts(code: str) -> tuple[str, ...]:
        choices = random.Random(0)
        return tuple(
            f"{place**5} " + " ".join(choices.choices(WORDS[code], k=choices.randint(0, 6)))
            for place in range(pairs)
        )

    return Bitext(
        dataset="words",
        language=language,
        pivot="eng_Latn",
        ids=tuple(str(place) for place in range(pairs)),
        pivot_texts=texts("eng_Latn"),
        texts=texts(language),
    )


def cells(
    facts: ModelFacts, languages: Sequence[str], *, switches: Switches | None = None
) -> list[Cell]:
    return [
        Cell(
            table="alignment",
            model=facts.name,
            revision=facts.revision,
            language=language,
            scope="scope",
            dataset="words",
            pivot="eng_Latn",
            measure=measure,
            pooling=pooling,
            layer=layer,
        )
        for language in languages
        for measure in MEASURES
        for pooling in POOLINGS
        for layer in resolve(measure, switches=switches or Switches()).layers(facts.layers)
    ]


def unit(facts: ModelFacts, wanted: Sequence[Cell], *, switches: Switches | None = None) -> Unit:
    languages = dict.fromkeys(cell.language for cell in wanted)
    bitexts = tuple(bitext(language) for language in languages)
    return Unit(
        study="test",
        model=facts,
        cells=tuple(wanted),
        work=AlignmentWork(bitexts=bitexts, switches=switches or Switches()),
        characters=1,
    )


def documented(table: str) -> list[str]:
    """The columns that docs/tables.md gives a table."""
    text = (Path(__file__).parent.parent / "docs" / "tables.md").read_text()
    section = text.split(f"## {table}: ")[1].split("\n## ")[0]
    names = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")][1:]
    return [name.strip() for cell in names for name in cell.split(",")]


Activations = dict[tuple[str, int], Tensor]

SWITCHES = (
    Switches(),
    Switches(include_bos=False, last_layer="raw", nas_site="h", nav_site="act"),
    Switches(nas_order="pool_then_state", sim_features="nas", cka="debiased", anc_abs=True),
)


def reading_of(cell: Cell, switches: Switches, *, last: int) -> tuple[str, str]:
    """Site and state of a cell, written out."""
    neurons = {"act": "mlp_act", "h": "mlp_hidden"}
    kind = cell.measure
    if kind in ("cka", "svcca", "anc"):
        kind = {"hidden": "mexa", "nas": "nasca", "nav": "navca"}[switches.sim_features]
    if kind == "nasca":
        return neurons[switches.nas_site], "positive"
    if kind == "navca":
        return neurons[switches.nav_site], "magnitude"
    if cell.layer == last and switches.last_layer == "normed":
        return "final_norm", "raw"
    return "resid_post", "raw"


def pooled(found: Activations, cell: Cell, switches: Switches, *, skip: int, last: int):
    """One text's vector for a cell."""
    site, state = reading_of(cell, switches, last=last)
    assert cell.pooling and cell.layer is not None
    if switches.nas_order == "state_then_pool" or state == "raw":
        return oracle.pool(found[site, cell.layer], state=state, pooling=cell.pooling, skip=skip)
    vector = oracle.pool(found[site, cell.layer], state="raw", pooling=cell.pooling, skip=skip)
    return (vector > 0).float() if state == "positive" else vector.abs()


def flips(
    found: Activations,
    vector_D: Tensor,
    cell: Cell,
    switches: Switches,
    *,
    skip: int,
    last: int,
    near: float,
) -> float:
    """What share of a text's vector states so close to zero make up that either sign is right."""
    site, state = reading_of(cell, switches, last=last)
    if state != "positive":
        return 0.0
    assert cell.pooling and cell.layer is not None
    value_TD = found[site, cell.layer]
    if switches.nas_order == "pool_then_state":
        value_TD = oracle.pool(value_TD, state="raw", pooling=cell.pooling, skip=skip)[None]
        skip = 0
    turned_TD = value_TD.abs() <= near * max(1.0, float(value_TD.abs().max()))
    if not turned_TD.any():
        return 0.0
    turned_D = oracle.pool(turned_TD.float(), state="raw", pooling=cell.pooling, skip=skip)
    return float(turned_D.norm() / vector_D.norm().clamp(min=1e-9))


def undecided(left: list[Tensor], right: list[Tensor], *, near: float) -> int:
    """How many texts have a rival so close to their partner, in either direction."""
    cosines = torch.tensor([[oracle.cosine(one, other) for other in right] for one in left])
    own_N = cosines.diagonal()
    rivals = cosines - torch.diag(torch.full_like(own_N, torch.inf))
    close = (own_N[:, None] - rivals).abs().min(dim=1).values <= near
    return int((close | ((own_N[None] - rivals).abs().min(dim=0).values <= near)).sum())


def expected(cell: Cell, left: list[Tensor], right: list[Tensor], switches: Switches) -> float:
    """The value of a cell by the slow twins."""
    if cell.measure in ("mexa", "nasca", "navca"):
        return oracle.alignment(left, right)[0] / len(left)
    x, y = (torch.stack(side).double().numpy() for side in (left, right))
    if cell.measure == "svcca":
        return oracle_similarity.svcca(x, y, keep=switches.svcca_keep)
    if cell.measure in ("cosine", "cosine_centred"):
        return oracle_similarity.pair_cosine(x, y, centred=cell.measure == "cosine_centred")
    if cell.measure == "anc":
        return oracle_similarity.anc(x, y, absolute=switches.anc_abs)
    slow = oracle_similarity.debiased_cka if switches.cka == "debiased" else oracle_similarity.cka
    return slow(x, y)


@pytest.mark.parametrize(
    ("family", "switches"),
    [
        *((family, switches) for family in tiny.FAMILIES for switches in SWITCHES[:2]),
        *((family, SWITCHES[2]) for family in ("llama", "qwen2", "gemma2", "olmo2")),
    ],
)
def test_alignment_rows_equal_the_slow_twin(family: str, switches: Switches) -> None:
    loaded = tiny.loaded(family)
    wanted = cells(loaded.facts, OTHERS, switches=switches)
    rows = run_unit(loaded, unit(loaded.facts, wanted, switches=switches)).rows
    assert [row["key"] for row in rows] == [cell.key for cell in wanted]
    skip = 0 if switches.include_bos else len(loaded.prefix)
    seen: dict[str, list[Activations]] = {}
    tokens: dict[str, int] = {}
    for language in WORDS:
        ids = loaded.encode(bitext(language).texts, allow_truncation=False).sequences
        seen[language] = [oracle.activations(loaded.model, sequence) for sequence in ids]
        tokens[language] = sum(len(sequence) - len(loaded.prefix) for sequence in ids)
    last = loaded.facts.layers
    rounding = of_model(loaded)
    for row, cell in zip(rows, wanted, strict=True):
        sides = [seen[language] for language in ("eng_Latn", cell.language)]
        left, right = (
            [pooled(found, cell, switches, skip=skip, last=last) for found in side]
            for side in sides
        )
        assert list(row) == documented("alignment")
        assert json.loads(str(row["switches"])) == asdict(switches)
        assert (row["study"], row["layer"], row["truncated"]) == ("test", cell.layer, 0)
        assert (row["n"], row["pairs"], row["duplicates"]) == (12, "all", 0)
        assert (row["tokens"], row["pivot_tokens"]) == (tokens[cell.language], tokens["eng_Latn"])
        turned = max(
            flips(found, vector_D, cell, switches, skip=skip, last=last, near=rounding)
            for side, vectors in zip(sides, (left, right), strict=True)
            for found, vector_D in zip(side, vectors, strict=True)
        )
        value = expected(cell, left, right, switches)
        if cell.measure not in ("mexa", "nasca", "navca"):
            near = pytest.approx(value, abs=rounding + 10 * turned, nan_ok=True)
            assert row["value"] == near, cell
            assert row["ties"] is row["p_null"] is row["margin"] is None
            continue
        # A turned state moves either cosine of a comparison by that share of a vector at most.
        moved = 4 * turned
        open_ = undecided(left, right, near=rounding + 2 * moved) if turned else 0
        count, ties = oracle.alignment(left, right)
        assert abs(row["value"] * 12 - count) <= open_ + 1e-9, cell
        assert row["ties"] == ties or open_, cell
        assert row["p_null"] == chance_of(round(row["value"] * 12), items=12)
        forward, backward, margin = oracle_similarity.retrieval(left, right)
        assert abs(row["forward"] - forward) * 12 <= open_ + 1e-9
        assert abs(row["backward"] - backward) * 12 <= open_ + 1e-9
        assert row["margin"] == pytest.approx(margin, abs=rounding + moved, nan_ok=True)
        assert row["constant"] is None
    assert len({row["value"] for row in rows}) > 3


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
    work = ChoiceWork(sets=(choices,))
    return Unit(study="test", model=facts, cells=(cell,), work=work, characters=1)


def test_item_rows_have_the_documented_columns() -> None:
    actor = ModelActor(tiny.make("qwen2"), device="cpu", threads=1)
    asked = choice_unit(tiny.make("qwen2"))
    rows = actor.run(asked).rows
    assert isinstance(asked.work, ChoiceWork)
    items = asked.work.sets[0].items
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
    steered = replace(asked, cells=(replace(asked.cells[0], intervention="add"),))
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
    assert loaded.prefix == (own.token_to_id("<bos>"),)
