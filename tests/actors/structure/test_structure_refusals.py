"""Models that are built in another way are refused in one sentence, others run as they are."""

import pytest
from torch import nn

from actors.families import families
from actors.loading.weights import with_attention
from actors.passes.positions import find_positions
from actors.prediction.predict import Question, take_apart
from actors.structure.find import _find_base
from tests.makers import shapes, tiny


class Flat(nn.Module):
    """A model whose embedding and blocks lie beside the head."""

    base_model_prefix = "model"

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 2)
        self.blocks = nn.ModuleList([nn.Linear(2, 2)])


class Nested(nn.Module):
    """A base model under another name than its class says."""

    base_model_prefix = "model"

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 4)
        self.inner = Flat()


def test_a_model_without_a_base_is_one_sentence():
    flat, nested = Flat(), Nested()
    with pytest.raises(ValueError, match=r"^Flat has no part that holds its embedding and its bl"):
        _find_base(flat, flat.embedding)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Nested has no part that holds its embedding"):
        _find_base(nested, nn.Embedding(4, 2))  # type: ignore[arg-type]
    assert _find_base(nested, nested.inner.embedding) is nested.inner  # type: ignore[arg-type]


def test_a_model_that_takes_other_arguments_is_one_sentence_when_positions_are_found():
    def fail(*_given: object) -> None:
        raise TypeError("forward() got an unexpected keyword argument 'use_cache'")

    model, _ = families.make("llama")
    model.register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match=r"cannot be read: a probe of it fails with TypeError"):
        find_positions(model, context=16)


def test_a_family_that_counts_positions_by_itself_shares_no_rows(monkeypatch: pytest.MonkeyPatch):
    """As a real model of it: beyond a length its attention depends on the place in a row."""
    family = families.FAMILIES["llama4"]
    assert families.prove_family("llama4").shares
    counting = family._replace(settings={**family.settings, "floor_scale": 8})
    monkeypatch.setattr(families, "FAMILIES", {"llama4": counting})
    assert not families.prove_family("llama4").shares


QUESTIONS = [Question((1, 2, 3), ((4,), (5, 6))), Question((1,), ((7, 8, 9),))]


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_questions_stay_whole_without_a_look_where_no_table_depends_on_length(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    loaded = tiny.loaded(name)
    assert loaded.shares and not loaded.budget.positions.tables

    def asked(*_given: object) -> object:
        raise AssertionError("every length has the same tables")

    monkeypatch.setattr(type(loaded.budget.positions), "side", asked)
    assert take_apart(loaded, QUESTIONS) is None


def test_questions_are_taken_apart_where_a_table_or_a_state_says_so():
    apart = take_apart(shapes.make("state space").loaded, QUESTIONS)
    assert apart is not None
    assert [len(one.options) for one in apart.questions] == [1, 1, 1]
    assert apart.owners == [0, 0, 1]
    assert take_apart(shapes.make("state space").loaded, QUESTIONS[1:]) is None


NO_SDPA = "MadeUp does not support an attention implementation through scaled_dot_product_attention"


@pytest.mark.parametrize(
    ("family", "refused", "expected"),
    [("llama", (), "sdpa"), ("llama", ("sdpa",), "eager"), ("gemma2", (), "eager")],
)
def test_attention_is_the_fastest_that_a_family_can_use(
    family: str, refused: tuple[str, ...], expected: str
):
    tried = []

    def make(attention: str) -> str:
        tried.append(attention)
        if attention in refused:
            raise ValueError(NO_SDPA)
        return f"a model with {attention}"

    assert with_attention(tiny.config(family), make) == (f"a model with {expected}", expected)
    assert tried == [*refused, expected]


def test_other_errors_are_not_taken_for_an_attention_that_is_not_there():
    def make(attention: str) -> str:
        raise ValueError(f"a file is cut short ({attention})")

    with pytest.raises(ValueError, match=r"cut short \(sdpa\)"):
        with_attention(tiny.config("llama"), make)
