"""Where a model fits is decided from bytes alone, and a model that fits nowhere is one sentence."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from actors.loading import device as devices
from actors.loading.device import Need, available_memory, choose, find_place, need
from actors.model import load
from studies.models.facts import facts
from studies.models.weights import Numbers, count_numbers, count_weights, tensors_in
from studies.spec import Model, ModelFacts
from tests.makers import tiny

GB = 10**9

# About Llama-3.1-8B: two matrices of 128,256 x 4,096 beside the linear layers.
EIGHT_BILLION = Numbers(linear=6_980_000_000, other=1_050_000_000)
FACTS = ModelFacts(
    name="llama",
    revision="main",
    folder="/nowhere",
    weights="w",
    tokenizer="t",
    dtype="float32",
    layers=32,
    width=4096,
    neurons=14336,
    context=8192,
    bytes=0,
)


def test_bytes_follow_dtype_and_quantisation():
    sizes = [
        EIGHT_BILLION.bytes(dtype="float32"),
        EIGHT_BILLION.bytes(dtype="bfloat16"),
        EIGHT_BILLION.bytes(dtype="bfloat16", quantisation="8bit"),
        EIGHT_BILLION.bytes(dtype="bfloat16", quantisation="4bit"),
    ]
    assert [round(size / GB, 1) for size in sizes] == [32.1, 16.1, 9.1, 6.0]


@pytest.mark.parametrize(
    ("needed", "free", "spread", "used"),
    [
        (8, [10], False, (0,)),
        (8, [10, 10], False, (0,)),
        (8, [5, 10], False, (1,)),
        (8, [8, 0], False, (0,)),
        (16, [10, 10], False, (0, 1)),
        (25, [10, 10, 10, 10], False, (0, 1, 2, 3)),
        (8, [10, 10], True, (0, 1)),
        (8, [10], True, (0,)),
    ],
)
def test_one_device_if_it_fits_and_else_all(
    needed: int, free: Sequence[int], spread: bool, used: tuple[int, ...]
):
    assert choose(Need(model="m", bytes=needed), free, spread=spread) == used


@pytest.mark.parametrize(
    ("change", "free", "sentence"),
    [
        (
            {},
            [20 * GB],
            "model 'llama' needs 35.3 GB (weights and a tenth more) and the device has 20.0 GB "
            "free: use --dtype bfloat16 (17.7 GB), --quantise 8bit (12.3 GB), --quantise 4bit "
            "(8.9 GB) or a larger device",
        ),
        (
            {"dtype": "bfloat16"},
            [5 * GB, 5 * GB],
            "model 'llama' needs 17.7 GB (weights and a tenth more) and the 2 devices have 5.0 GB "
            "+ 5.0 GB free: use --quantise 8bit (10.0 GB), --quantise 4bit (6.6 GB) or larger "
            "devices",
        ),
        (
            {"dtype": "bfloat16", "adapter": "lora"},
            [GB],
            "model 'llama' needs 17.7 GB (weights and a tenth more) and the device has 1.0 GB "
            "free: use a larger device",
        ),
        (
            {"dtype": "bfloat16", "quantisation": "8bit"},
            [8 * GB],
            "model 'llama' needs 10.0 GB (weights and a tenth more) and the device has 8.0 GB "
            "free: use --quantise 4bit (6.6 GB) or a larger device",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    change: dict[str, str], free: list[int], sentence: str
):
    weights = EIGHT_BILLION
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  # the whole sentence is compared
        choose(need(replace(FACTS, **change), weights), free)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_numbers_are_those_of_the_model_in_memory(family: str):
    loaded = tiny.loaded(family)
    found = count_weights(Path(loaded.facts.folder))
    assert isinstance(found, Numbers)
    there = sum(weight.numel() for weight in loaded.model.parameters())
    assert found.bytes(dtype="float32") == 4 * there
    assert 0 < found.linear < there


def test_experts_and_embeddings_are_not_packed(tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    shapes = {
        "embed.weight": (100, 8),
        "head.weight": (100, 8),
        "layers.0.q.weight": (8, 8),
        "layers.0.experts.0.up.weight": (16, 8),
        "layers.0.experts.up": (4, 16, 8),
        "norm.weight": (8,),
    }
    path = tmp_path / "model.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    assert count_numbers(tensors_in(path), vocabulary=100) == Numbers(64, 1600 + 128 + 512 + 8)
    assert tensors_in(path) == shapes


def test_free_memory_is_read_and_a_model_beyond_it_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert available_memory() or not devices.MEMINFO.is_file()
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  2000 kB\nMemFree:  10 kB\nMemAvailable:  100 kB\n")
    monkeypatch.setattr(devices, "MEMINFO", meminfo)
    assert available_memory() == 102_400
    model = tiny.make("llama")
    for device in ("cpu", "spread"):
        with pytest.raises(ValueError, match=r"'tiny/llama' needs 0\.\d MB .* has 0\.1 MB free"):
            load(model, device=device)
    monkeypatch.setattr(devices, "MEMINFO", tmp_path / "absent")
    assert available_memory() is None
    assert load(model, device="cpu").device.type == "cpu"


def test_a_device_that_is_not_there_is_refused():
    small = Need(model="m", bytes=1)
    assert find_place("cpu", small).shares == {}
    assert list(find_place("spread", small).shares) in (["cpu"], [0])
    with pytest.raises(ValueError, match="unknown device 'tpu9': expected auto, cpu, cuda"):
        find_place("tpu9", small)
    with pytest.raises(ValueError, match="'cuda:77' asked for, but this machine shows"):
        find_place("cuda:77", small)


def test_facts_give_the_bytes_in_the_chosen_form():
    folder = tiny.make("llama").folder
    full, half, packed = (
        facts(Model(id=folder, **settings))
        for settings in ({}, {"dtype": "bfloat16"}, {"quantisation": "4bit"})
    )
    assert half.bytes * 2 == full.bytes
    assert packed.bytes < full.bytes


def test_planning_for_quantised_and_adapted_models_imports_no_torch():
    code = (
        "import sys; from studies.models.facts import facts; from studies.spec import Model; "
        "facts(Model(id='miniworld-llama', quantisation='8bit')); "
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
