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


def theirs(
    library: str, loaded: LoadedModel, sequences: Sequence[Sequence[int]], folder: Path
) -> list[dict[tuple[str, int], Tensor]]:
    """The activations [T, D] that `library` reads, one sequence at a time."""
    tokens, out = folder / "tokens.json", folder / "out.safetensors"
    tokens.write_text(json.dumps(sequences))
    done = subprocess.run(
        [sys.executable, REFERENCE, library, loaded.facts.folder, tokens, out],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{library}, of the dev dependencies, did not run:\n{done.stderr}"
    found: dict[int, dict[tuple[str, int], Tensor]] = defaultdict(dict)
    for name, value_TD in load_file(out).items():
        sentence, site, layer = name.split(".")
        found[int(sentence)][site, int(layer)] = value_TD
    return [found[sentence] for sentence in range(len(sequences))]


@pytest.mark.parametrize("library", UNNAMED)
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_activations_equal_those_of_other_libraries(
    family: str, library: str, tmp_path: Path
) -> None:
    loaded = tiny.loaded(family)
    sequences = loaded.encode(tiny.TEXTS, allow_truncation=False).sequences
    wanted = places(loaded, without=UNNAMED[library])
    captured = ours(loaded, sequences, wanted)
    expected = theirs(library, loaded, sequences, tmp_path)
    for sentence, (own, other) in enumerate(zip(captured, expected, strict=True)):
        assert own.keys() == other.keys() == set(wanted)
        for (site, layer), value_TD in own.items():
            what = (library, sentence, site, layer)
            assert_near(value_TD, other[site, layer], relative=of_model(loaded), what=what)
