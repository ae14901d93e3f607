"""Identity: what changes a key, what must not, and the one key that pins it all."""

import hashlib
import json
import pickle
import random
import string
from dataclasses import fields, replace

import pytest

from orchestrator.pack import Ledger
from studies.kinds import choices
from studies.kinds.alignment import AlignmentGrid
from studies.measures import MEASURES
from studies.spec import Cell, ModelFacts, Switches, digest
from studies.study import Draft
from studies.texts import Bitext, ChoiceItem, ChoiceSet

MODEL = ModelFacts(
    name="tiny",
    revision="main",
    folder="/somewhere/tiny",
    weights="w" * 64,
    tokenizer="t" * 64,
    dtype="float32",
    layers=3,
    width=8,
    neurons=16,
    context=64,
    bytes=1000,
)
BITEXT = Bitext(
    dataset="flores200",
    language="deu_Latn",
    pivot="eng_Latn",
    ids=("1", "2"),
    pivot_texts=("one", "two"),
    texts=("eins", "zwei"),
)
GRID = AlignmentGrid(
    dataset="flores200", languages=("deu_Latn",), measures=("mexa", "nasca", "navca")
)
CHOICES = ChoiceSet(
    benchmark="xcopa",
    language="deu_Latn",
    prompt="connective",
    items=(ChoiceItem(id="1", context="a", options=(" b", " c"), gold=0),),
)


def cells_of(draft: Draft) -> list[Cell]:
    return [cell for cells in draft.cells for cell in cells]


def choice_cell(asked: ChoiceSet, *, model: ModelFacts) -> Cell:
    (cell,) = cells_of(choices.draft(asked, model=model))
    return cell


def keys(grid: AlignmentGrid = GRID, model: ModelFacts = MODEL, bitext: Bitext = BITEXT):
    cells = cells_of(grid.draft(bitext, model=model))
    return {(cell.measure, cell.pooling, cell.layer): cell.key for cell in cells}


def test_the_key_of_a_sample_cell_is_pinned():
    """If this fails, every stored result would be computed again: change it only on purpose."""
    cell = Cell(
        table="alignment",
        model="tiny",
        revision="main",
        language="deu_Latn",
        scope="0" * 64,
        dataset="flores200",
        pivot="eng_Latn",
        measure="mexa",
        pooling="weighted",
        layer=2,
    )
    assert cell.key == "23a0d73e25d58ff53c64984c003c9517f7ca5f376e684b522144377d18996e92"
    assert (
        keys()["nasca", "last", 3]
        == "8ded6d7c4f22ddf28ab39eed39de17ec80aa5215f4e80801a55e8f932c0bfad9"
    )


ANSWER = {field.name for field in fields(Cell)} - {"model", "revision", "seed", "key"}
WORDS = (
    "deu_Latn",
    "ไทย",
    "日本語",
    'a"b',
    "back\\slash",
    "\n",
    "%s",
    "%%",
    "{}",
    "a\0b",
    "",
    "🦜",
)
NUMBERS = (-0.5, 1e-05, 2.0, 0.0, -0.0, 1e22, 0.1, 3.0000000000000004, 1, 10**20, 5e-324)


def obvious(cell: Cell) -> str:
    """The key by the definition: sha256 of the canonical JSON of everything that answers."""
    answer = {name: getattr(cell, name) for name in ANSWER}
    text = json.dumps(answer, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def test_every_key_is_the_digest_of_the_whole_answer():
    source = random.Random(7)

    def word() -> str:
        letters = string.printable + "äß\u2028\x7f\u0301한"
        return source.choice((*WORDS, "".join(source.choices(letters, k=source.randint(1, 9)))))

    def maybe(value: object) -> object:
        return source.choice((value, None))

    for _ in range(5000):
        coefficient = source.choice((*NUMBERS, source.uniform(-9, 9), source.gauss(0, 1e-6)))
        cell = Cell(
            table=source.choice(("alignment", "items")),
            model=word(),
            revision=word(),
            language=word(),
            scope=digest(source.random()),
            dataset=maybe(word()),
            benchmark=maybe(word()),
            pivot=maybe(word()),
            measure=maybe(word()),
            pooling=maybe(source.choice(("weighted", "average", "last"))),
            layer=maybe(source.choice((0, 1, 33, 126, -1, 10**6))),
            intervention=maybe(word()),
            coefficient=maybe(coefficient),
        )
        assert cell.key == obvious(cell) == pickle.loads(pickle.dumps(cell)).key


def test_numbers_that_are_equal_and_written_differently_have_keys_of_their_own():
    """As ever: 1 and 1.0, 0.0 and -0.0 are different JSON. Nothing cached may mix them up."""
    one = Cell(table="items", model="m", revision="main", language="deu_Latn", scope="0")
    for values in ((1, 1.0), (0.0, -0.0)):
        cells = [replace(one, coefficient=value) for value in values]
        assert [cell.key for cell in cells] == [obvious(cell) for cell in cells]
        assert cells[0].key != cells[1].key


def test_a_copy_with_another_column_has_another_key():
    cell = cells_of(GRID.draft(BITEXT, model=MODEL))[0]
    copies = [replace(cell, **change) for change in ({}, {"layer": 2}, {"coefficient": 0.5})]
    assert [copy.key for copy in copies] == [obvious(copy) for copy in copies]
    assert len({copy.key for copy in copies}) == 3
    assert copies[0] == cell


@pytest.mark.parametrize(
    ("switches", "changed"),
    [
        (Switches(cka="debiased"), {"cka"}),
        (Switches(svcca_keep=0.99), {"svcca"}),
        (Switches(svcca_keep=20), set()),
        (Switches(anc_abs=True), {"anc"}),
        (Switches(tie_rule="equal"), set()),
        (Switches(sim_features="nas"), {"cka", "svcca", "anc"}),
        (Switches(sim_features="nav"), {"cka", "svcca", "anc"}),
        (Switches(nas_site="h"), set()),
    ],
)
def test_a_switch_changes_the_similarities_it_concerns(switches, changed):
    grid = replace(GRID, measures=("cka", "svcca", "anc"))
    before, after = keys(grid), keys(replace(grid, switches=switches))
    assert {name for name, *_ in before.keys() | after.keys()} == set(grid.measures)
    same = {name for name in before.keys() & after.keys() if before[name] == after[name]}
    assert {name for name, *_ in before.keys() - same} == changed
    assert {name for name, *_ in after.keys() - same} == changed


def test_a_ledger_makes_the_cells_that_are_missing_and_counts_the_others():
    switches = Switches(last_layer="raw")
    grid = replace(GRID, switches=switches)
    draft = grid.draft(BITEXT, model=MODEL)
    asked = [key for cells in draft.cells for _, key in cells.keyed()]
    every = cells_of(draft)
    assert asked == [cell.key for cell in every] == [obvious(cell) for cell in every]
    ledger = Ledger(done=asked[::3], failed=asked[1:2])
    made = ledger.missing(draft)
    assert list(made) == [cell for place, cell in enumerate(every) if place % 3 and place != 1]
    label = MODEL.label
    assert (ledger.totals[label], ledger.done[label]) == (len(every), len(asked[::3]))
    assert ledger.missing(draft) == ()
    assert (ledger.totals[label], ledger.done[label]) == (len(every), len(asked[::3]))
    known = choice_cell(CHOICES, model=MODEL)
    assert known.key == obvious(known)


def test_cells_are_measures_by_poolings_by_layers():
    found = keys()
    assert len(found) == 3 * (4 + 3 + 3)
    assert len(set(found.values())) == len(found)
    assert ("mexa", "last", 0) in found
    assert ("nasca", "last", 0) not in found


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "x" * 64},
        {"tokenizer": "x" * 64},
        {"dtype": "bfloat16"},
        {"adapter_weights": "x" * 64},
        {"quantisation": "8bit"},
    ],
)
def test_what_changes_the_model_changes_every_key(change):
    assert not set(keys().values()) & set(keys(model=replace(MODEL, **change)).values())
    other = choice_cell(CHOICES, model=replace(MODEL, **change))
    assert other.key != choice_cell(CHOICES, model=MODEL).key


def test_every_adapter_and_quantisation_is_a_model_of_its_own():
    changes = ({}, {"quantisation": "8bit"}, {"quantisation": "4bit"})
    changes += ({"adapter_weights": "8bit"}, {"adapter_weights": "other"})
    assert len({replace(MODEL, **change).identity for change in changes}) == len(changes)


@pytest.mark.parametrize(
    "change",
    [{"name": "renamed"}, {"folder": "/elsewhere"}, {"bytes": 7}, {"adapter": "/elsewhere"}],
)
def test_where_a_model_lies_and_its_name_are_not_identity(change):
    assert keys(model=replace(MODEL, **change)) == keys()


@pytest.mark.parametrize(
    "change",
    [
        {"texts": ("eins", "drei")},
        {"pivot_texts": ("one", "three")},
        {"ids": ("1", "3")},
        {"commit": "abc"},
    ],
)
def test_what_changes_the_texts_changes_every_key(change):
    assert not set(keys().values()) & set(keys(bitext=replace(BITEXT, **change)).values())


@pytest.mark.parametrize(
    ("switches", "changed"),
    [
        (Switches(include_bos=False), {"mexa", "nasca", "navca"}),
        (Switches(nas_site="h"), {"nasca"}),
        (Switches(nav_site="act"), {"navca"}),
        (Switches(last_layer="raw"), {"mexa"}),
        (Switches(tie_rule="equal"), {"mexa", "nasca", "navca"}),
        (Switches(nas_order="pool_then_state"), {"nasca", "navca"}),
        (Switches(pair_ids="random", seed=3), set()),
        (Switches(clka_mode="finetune_en_then_rank"), set()),
        (Switches(cka="debiased", svcca_keep=0.99, anc_abs=True, sim_features="nas"), set()),
    ],
)
def test_a_switch_changes_the_measures_it_concerns(switches, changed):
    before, after = keys(), keys(replace(GRID, switches=switches))
    different = {name for name in before if before[name] != after[name]}
    assert {measure for measure, *_ in different} == changed
    if switches.last_layer == "raw":
        assert {layer for *_, layer in different} == {MODEL.layers}


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "other"},
        {"normalise": "token"},
        {"items": (ChoiceItem(id="1", context="a", options=(" b", " c"), gold=1),)},
        {"items": (ChoiceItem(id="1", context="A", options=(" b", " c"), gold=0),)},
    ],
)
def test_what_changes_a_question_changes_its_key(change):
    before = choice_cell(CHOICES, model=MODEL)
    assert choice_cell(replace(CHOICES, **change), model=MODEL).key != before.key


def test_a_new_version_of_a_measure_changes_its_keys_alone(monkeypatch: pytest.MonkeyPatch):
    before = keys()
    monkeypatch.setitem(MEASURES, "nasca", replace(MEASURES["nasca"], version=2))
    after = keys()
    assert {name[0] for name in before if before[name] != after[name]} == {"nasca"}


def test_a_layer_outside_the_model_is_refused():
    with pytest.raises(ValueError, match="layer 4 does not exist in model 'tiny'"):
        keys(replace(GRID, layers=(4,)))
    with pytest.raises(ValueError, match="measure 'nasca' has no layer 0"):
        keys(replace(GRID, layers=(0,)))


def test_digest_does_not_depend_on_the_order_of_names():
    assert digest({"a": 1, "b": [2, "é"]}) == digest({"b": [2, "é"], "a": 1})
