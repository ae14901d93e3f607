"""Every token's activation equals what nnsight and TransformerLens read, each in its own process.

A process of its own because nnsight puts a `save` on every object when it is imported.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from actors.extraction import capture
from actors.model import LoadedModel
from actors.structure.sites import SITES, SiteName
from tests.makers import tiny
from tests.makers.rounding import assert_near, of_model

Place = tuple[SiteName, int]
Library = tuple[str, Path]

FAMILIES = ("llama", "qwen2")

REFERENCE = Path(__file__).parents[3] / "tests" / "peers" / "reference.py"
# Sites that a library has no name for. TransformerLens: nothing between the gate and the product.
UNNAMED: dict[str, set[SiteName]] = {"nnsight": set(), "transformer_lens": {"mlp_act"}}
# nnsight runs attention as we do, TransformerLens always eager: another order of the same sums.


def places(loaded: LoadedModel, *, without: set[SiteName]) -> list[Place]:
    """Every layer of every site; what enters block 1 is compared once, as embed."""
    every = [(site, layer) for site in SITES for layer in loaded.sites.layers(site)]
    return [place for place in every if place[0] not in without and place != ("resid_post", 0)]


def ours(
    loaded: LoadedModel, sequences: Sequence[Sequence[int]], wanted: Sequence[Place]
) -> list[dict[Place, Tensor]]:
    """Our activations [T, D] of every sequence, read in padded batches."""
    return capture.tokens(loaded, sequences, sites=wanted)


def sequences_of(family: str) -> Sequence[Sequence[int]]:
    return tiny.loaded(family).encode(tiny.TEXTS, allow_truncation=False).sequences


@pytest.fixture(scope="module", params=UNNAMED)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library and what it reads of every family, from one process: its import takes longest."""
    name, folder = request.param, tmp_path_factory.mktemp("peers")
    arguments: list[str | Path] = []
    for family in FAMILIES:
        tokens = folder / f"{family}.json"
        tokens.write_text(json.dumps(sequences_of(family)))
        out = folder / f"{family}.safetensors"
        arguments += [tiny.loaded(family).facts.folder, tokens, out]
    done = subprocess.run(
        [sys.executable, REFERENCE, name, *arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{name}, of the dev dependencies, did not run:\n{done.stderr}"
    return name, folder


def theirs(folder: Path, family: str) -> list[dict[tuple[str, int], Tensor]]:
    """The activations [T, D] that a library has read, one sequence at a time."""
    found: dict[int, dict[tuple[str, int], Tensor]] = defaultdict(dict)
    for name, value_TD in load_file(folder / f"{family}.safetensors").items():
        sentence, site, layer = name.split(".")
        found[int(sentence)][site, int(layer)] = value_TD
    return [found[sentence] for sentence in sorted(found)]


@pytest.mark.parametrize("family", FAMILIES)
def test_activations_equal_those_of_other_libraries(family: str, library: Library) -> None:
    name, folder = library
    loaded = tiny.loaded(family)
    wanted = places(loaded, without=UNNAMED[name])
    captured = ours(loaded, sequences_of(family), wanted)
    expected = theirs(folder, family)
    for sentence, (own, other) in enumerate(zip(captured, expected, strict=True)):
        assert own.keys() == other.keys() == set(wanted)
        for (site, layer), value_TD in own.items():
            what = (name, sentence, site, layer)
            assert_near(value_TD, other[site, layer], relative=of_model(loaded), what=what)
