"""Running out of memory is said as such: it is no property of a model, its files or an adapter."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.errors import opening, out_of_memory
from actors.loading import architecture
from actors.loading.adapter import _misfits
from actors.model import load
from actors.passes.check import can_share
from actors.structure.find import find
from actors.structure.probe import refusing
from actors.structure.readout import ask
from actors.tokens.tokenizer import load_tokenizer
from actors.training import finetune
from tests.makers import tiny

ERRORS = {
    "a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "a CPU": RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate "
                          "memory: you tried to allocate 8 bytes. Error code 12"),
    "Python": MemoryError(),
}  # fmt: skip


@contextmanager
def failing(module: nn.Module, error: BaseException, *, times: int = 99) -> Iterator[None]:
    """While open, a module's first passes end in an error."""
    left = iter(range(times))

    def fail(*_given: object) -> None:
        if next(left, None) is not None:
            raise error

    handle = module.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        handle.remove()


def _readout(error: BaseException, _patch: pytest.MonkeyPatch) -> None:
    loaded = tiny.loaded("llama")
    ids_BT = torch.zeros(1, 4, dtype=torch.long)
    with failing(loaded.sites.head, error, times=1):
        ask(loaded.model, loaded.sites, ids_BT)


def _sharing(error: BaseException, _patch: pytest.MonkeyPatch) -> None:
    loaded = tiny.loaded("llama")
    with failing(loaded.sites.blocks[0], error):
        can_share(loaded.sites)


def _finding(error: BaseException, _patch: pytest.MonkeyPatch) -> None:
    loaded = tiny.loaded("llama")
    with failing(loaded.sites.blocks[0], error):
        find(loaded.model, layers=loaded.facts.layers)


def _probing(error: BaseException, _patch: pytest.MonkeyPatch) -> None:
    with refusing(tiny.loaded("llama").model):
        raise error


def _opening(error: BaseException, _patch: pytest.MonkeyPatch) -> None:
    with opening(tiny.make("llama"), folder="here"):
        raise error


def _fitting(error: BaseException, patch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object) -> None:
        raise error

    patch.setattr(architecture, "_hollow", fail)
    facts = tiny.make("llama")
    architecture.check(facts, folder=facts.folder, stored={})


def _merging(error: BaseException, _patch: pytest.MonkeyPatch) -> None:
    with _misfits(tiny.make("llama"), made_for="another"):
        raise error


def _attaching(error: BaseException, patch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise error

    loaded = tiny.loaded("llama")
    how = finetune.FineTuning(epochs=1, rank=2)
    lessons = [finetune.Lesson((1, 2), (3,))]
    trained = finetune.finetune(loaded, lessons, how=how)
    patch.setattr(finetune, "_attached", fail)
    with finetune.adapted(loaded, trained.adapter):
        pass


def _tokenizing(error: BaseException, patch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise error

    patch.setattr(AutoTokenizer, "from_pretrained", fail)
    facts = tiny.make("llama")
    load_tokenizer(facts, folder=facts.folder)


PLACES = (
    *(_readout, _sharing, _finding, _probing, _opening, _fitting, _merging, _attaching),
    _tokenizing,
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ERRORS)
def test_running_out_of_memory_is_passed_on(
    kind: str,
    place: Callable[[BaseException, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
):
    with pytest.raises(type(ERRORS[kind])) as raised:
        place(ERRORS[kind], monkeypatch)
    assert raised.value is ERRORS[kind]


@pytest.mark.parametrize("kind", ERRORS)
def test_a_model_for_which_memory_runs_out_is_one_sentence(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_given: object, **_named: object) -> None:
        raise ERRORS[kind]

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(ValueError, match=r"cannot be loaded, as memory ran out on device 'cpu': u"):
        load(tiny.make("llama"), device="cpu")


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_are_not_taken_for_it(error: Exception, tmp_path: Path):
    assert not out_of_memory(error)
    with (
        pytest.raises(ValueError, match="cannot be loaded from folder"),
        opening(tiny.make("llama"), folder=str(tmp_path)),
    ):
        raise error
