"""Identity: what changes a key, what must not, and the one key that pins it all."""

from dataclasses import replace

import pytest

from studies.cells import alignment_cells, choice_cell
from studies.measures import MEASURES
from studies.spec import (
    AlignmentGrid,
    Bitext,
    Cell,
    ChoiceItem,
    ChoiceSet,
    ModelFacts,
    Switches,
    digest,
)

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
GRID = AlignmentGrid(dataset="flores200", languages=("deu_Latn",))
CHOICES = ChoiceSet(
    benchmark="xcopa",
    language="deu_Latn",
    prompt="connective",
    items=(ChoiceItem(id="1", context="a", options=(" b", " c"), gold=0),),
)


def keys(grid: AlignmentGrid = GRID, model: ModelFacts = MODEL, bitext: Bitext = BITEXT):
    cells = alignment_cells(grid, model=model, bitext=bitext)
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
        == "5efa969dad6562b5bb1250d2de1f6e028faa68d0a899b523e075b2ab82d8dfd9"
    )


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
        (Switches(last_layer="normed"), {"mexa"}),
        (Switches(pair_ids="random", seed=3), set()),
    ],
)
def test_a_switch_changes_the_measures_it_concerns(switches, changed):
    before, after = keys(), keys(replace(GRID, switches=switches))
    different = {name for name in before if before[name] != after[name]}
    assert {measure for measure, *_ in different} == changed
    if switches.last_layer == "normed":
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
