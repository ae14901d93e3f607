"""Steering vectors are the difference of means, say what they are, and refuse what they are not."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from actors.extraction.vectors import (
    SteeringVectors,
    load_vectors,
    mean_difference,
    orthogonal_to,
    random_like,
)
from actors.model import LoadedModel
from tests.makers import oracle, tiny
from tests.makers.rounding import assert_near, of_model, of_sum

pytestmark = pytest.mark.numeric
ENGLISH = ("The cat sat.", "It rained all day.", "zz", "A dog ran home.", "Yes, and no.")
TURKISH = ("Kedi oturdu!", "Bütün gün yağmur yağdı.", "z", "Bir köpek eve koştu.", "Evet.")


def encode(loaded: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    return loaded.encode(texts, allow_truncation=False).sequences


def make(family: str = "llama", **changes: object) -> SteeringVectors:
    loaded = tiny.loaded(family)
    asked = {
        "layers": range(loaded.facts.layers + 1),
        "labels": ("eng_Latn", "tur_Latn"),
        "ids": [str(place) for place in range(len(ENGLISH))],
    }
    toward, away = encode(loaded, ENGLISH), encode(loaded, TURKISH)
    return mean_difference(loaded, toward, away, **asked | changes)


@pytest.mark.parametrize("pooling", ["last", "average", "weighted"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_vectors_equal_the_slow_twin(family: str, pooling: str) -> None:
    loaded = tiny.loaded(family)
    found = make(family, pooling=pooling)
    pairs = list(zip(encode(loaded, ENGLISH), encode(loaded, TURKISH), strict=True))
    slow = [[oracle.activations(loaded.model, ids) for ids in pair] for pair in pairs]
    for layer in range(loaded.facts.layers + 1):
        expected_D = torch.zeros(loaded.facts.width, dtype=torch.float64)
        longest = 0.0
        for sides in slow:
            english_D, turkish_D = (
                oracle.pool(side["resid_post", layer], state="raw", pooling=pooling)
                for side in sides
            )
            expected_D += (english_D - turkish_D) / len(slow)
            longest = max(longest, float(english_D.abs().max()), float(turkish_D.abs().max()))
        assert found.at(layer).dtype == torch.float32
        allowed = of_model(loaded) * longest  # of what is subtracted
        torch.testing.assert_close(found.at(layer), expected_D.float(), rtol=0, atol=allowed)


def test_they_say_what_they_are() -> None:
    loaded = tiny.loaded("llama")
    vectors = make()
    about = vectors.about
    assert (about.model, about.revision) == ("tiny/llama", "main")
    assert about.identity == loaded.facts.identity
    assert (about.site, about.operation, about.position) == (
        "resid_post",
        "add",
        "last token of the prompt",
    )
    assert about.layers == (0, 1, 2, 3) and about.layer_convention.startswith("1-based")
    assert (about.toward, about.away, about.pairs) == ("eng_Latn", "tur_Latn", 5)
    assert about.ids == ("0", "1", "2", "3", "4")
    norms = [float(vector_D.norm()) for vector_D in vectors.vectors.values()]
    assert about.norms == pytest.approx(norms)
    assert about.data == make(seed=3).about.data != make("qwen2").about.data
    vectors.check(loaded)


def test_reliability_is_the_cosine_of_two_halves() -> None:
    loaded = tiny.loaded("llama")
    toward, away = encode(loaded, ENGLISH[:4]), encode(loaded, TURKISH[:4])
    (found,) = mean_difference(loaded, toward, away, layers=[2], seed=5).about.reliability
    possible = []
    for half in ((0, 1), (0, 2), (0, 3)):
        other = [place for place in range(4) if place not in half]
        left, right = (
            mean_difference(
                loaded,
                [toward[place] for place in places],
                [away[place] for place in places],
                layers=[2],
            ).at(2)
            for places in (half, other)
        )
        possible.append(oracle.cosine(left, right))
    assert any(found == pytest.approx(value, abs=1e-5) for value in possible)
    # Pairs that say the same thing twice agree perfectly; one pair has no halves.
    same = mean_difference(loaded, toward[:1] * 4, away[:1] * 4, layers=[2])
    assert same.about.reliability == (pytest.approx(1.0),)
    assert mean_difference(loaded, toward[:1], away[:1], layers=[2]).about.reliability == (None,)


def test_a_language_does_not_differ_from_itself_and_sides_turn_the_sign() -> None:
    loaded = tiny.loaded("gemma2")
    toward, away = encode(loaded, ENGLISH), encode(loaded, TURKISH)
    same = mean_difference(loaded, toward, toward, layers=range(5))
    assert all(not vector_D.any() for vector_D in same.vectors.values())
    assert same.about.norms == (0.0,) * 5 and same.about.reliability == (None,) * 5
    there = mean_difference(loaded, toward, away, layers=range(5))
    back = mean_difference(loaded, away, toward, layers=range(5))
    for layer in range(5):
        assert torch.equal(there.at(layer), -back.at(layer))
    assert there.about.data != back.about.data


@pytest.mark.parametrize("site", ["resid_post", "mlp_hidden", "attn_out"])
def test_a_file_brings_back_the_same_vectors(site: str, tmp_path: Path) -> None:
    vectors = make("phi3", site=site, layers=[3, 1])
    path = tmp_path / "new" / "vectors.safetensors"
    vectors.save(path)
    found = load_vectors(path)
    assert found.about == vectors.about and list(found.vectors) == [3, 1]
    assert all(torch.equal(found.at(layer), vectors.at(layer)) for layer in (1, 3))
    found.check(tiny.loaded("phi3"))
    assert [entry.name for entry in path.parent.iterdir()] == ["vectors.safetensors"]


def tampered(
    path: Path, *, metadata: dict[str, str | None], tensors: dict[str, Tensor | None]
) -> Path:
    """A copy of a file in which some entries are others, or gone."""
    with safe_open(path, framework="pt") as file:
        said, held = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    said = {key: value for key, value in (said | metadata).items() if value is not None}
    held = {key: value for key, value in (held | tensors).items() if value is not None}
    other = path.with_name("tampered.safetensors")
    save_file(held, other, metadata=said)
    return other


def test_a_file_that_is_not_what_it_says_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "vectors.safetensors"
    vectors = make()
    vectors.save(path)
    not_a_number = torch.full((32,), float("nan"))
    for metadata, tensors, message in (
        ({"version": "1"}, {}, "unknown format version '1': expected '2'"),
        ({"version": None}, {}, "unknown format version None"),
        ({"format": "pt"}, {}, "metadata 'format' is 'pt': expected 'babelscope steering"),
        ({"site": None, "seed": None}, {}, "metadata lacks site, seed: expected"),
        ({"site": "resid_post"}, {}, "metadata 'site' is 'resid_post': expected JSON"),
        ({"operation": '"project"'}, {}, "metadata 'operation' is 'project': expected 'add'"),
        ({"layer_convention": '"0-based"'}, {}, "'layer_convention' is '0-based': expected '1-b"),
        ({"pooling": '"average"'}, {}, "'position' is 'last token of the prompt': expected 'mean"),
        ({"dtype": '"float16"'}, {}, "metadata 'dtype' is 'float16': expected 'float32'"),
        ({"width": "31"}, {}, r"layer 0 is torch.float32 \[32\]: expected float32 \[31\]"),
        ({"norms": "null"}, {}, "metadata 'norms' is None for 4 vectors"),
        ({"resid_norms": "[1.0]"}, {}, r"metadata 'resid_norms' is \(1.0,\) for 4 vectors"),
        ({"layers": "[0, 1, 2, 4]"}, {}, "layers 0, 1, 2, 3 and metadata of layers 0, 1, 2, 4"),
        ({}, {"3": None}, "metadata 'layers' is .* for 3 vectors: expected one each"),
        ({}, {"2": not_a_number}, "the vector of layer 2 is not finite"),
        ({}, {"2": vectors.at(2).half()}, "layer 2 is torch.float16"),
        ({}, {"1": vectors.at(2), "2": vectors.at(1)}, "layer 1 has norm .* changed after"),
    ):
        broken = tampered(path, metadata=metadata, tensors=tensors)
        with pytest.raises(ValueError, match=message) as refusal:
            load_vectors(broken)
        assert str(refusal.value).startswith(str(broken))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:200])
    for unreadable in (cut, tmp_path / "absent"):
        with pytest.raises(ValueError, match=f"{unreadable.name}: cannot be read as steering"):
            load_vectors(unreadable)


def test_a_model_they_do_not_fit_is_refused() -> None:
    vectors = make("llama")
    with pytest.raises(ValueError, match="are 32 wide and site 'resid_post' of 'tiny/mistral'"):
        vectors.check(tiny.loaded("mistral"))
    with pytest.raises(ValueError, match="does not exist at layer 3"):
        vectors.check(tiny.loaded("qwen2"))
    with pytest.raises(ValueError, match=r"read from 'tiny/llama' \(float32\), other weights"):
        vectors.check(tiny.loaded("qwen3"))
    vectors.check(tiny.loaded("qwen3"), other_model=True)
    with pytest.raises(ValueError, match="no vector for layer 7: expected one of 0, 1, 2, 3"):
        vectors.at(7)


def test_random_controls_have_the_norm_and_another_direction() -> None:
    vectors = make()
    control, again, other = (random_like(vectors, seed=seed) for seed in (1, 1, 2))
    for layer in vectors.vectors:
        assert float(control.at(layer).norm()) == pytest.approx(float(vectors.at(layer).norm()))
        assert torch.equal(control.at(layer), again.at(layer))
        assert abs(oracle.cosine(control.at(layer), vectors.at(layer))) < 0.7
        assert abs(oracle.cosine(control.at(layer), other.at(layer))) < 0.7
    assert control.about.control == "random direction of equal norm, seed 1"
    assert control.about.reliability == (None,) * 4
    assert replace(control.about, control="", norms=(), reliability=()) == replace(
        vectors.about, norms=(), reliability=()
    )


def test_orthogonal_controls_have_nothing_in_the_directions(tmp_path: Path) -> None:
    vectors = make()
    rows_ND = tiny.loaded("llama").sites.head.weight[[5, 6, 7]]
    directions_ND = torch.cat([rows_ND, rows_ND[:1] + rows_ND[1:2], torch.zeros(1, 32)])
    left = orthogonal_to(vectors, directions_ND)
    for layer in vectors.vectors:
        longest = float(directions_ND.norm(dim=1).max() * vectors.at(layer).norm())
        assert (directions_ND @ left.at(layer)).abs().max() < of_sum(32) * longest
        removed_D = (vectors.at(layer) - left.at(layer)).double()
        within_DN = rows_ND.double().T
        found_N1 = torch.linalg.lstsq(within_DN, removed_D.unsqueeze(1)).solution
        assert_near((within_DN @ found_N1).squeeze(1), removed_D, relative=of_sum(32))
        assert float(left.at(layer).norm()) < float(vectors.at(layer).norm())
    left.save(tmp_path / "control.safetensors")
    assert load_vectors(tmp_path / "control.safetensors").about == left.about
    assert random_like(left, seed=0).about.control.startswith("orthogonal to 5 directions; random")
    with pytest.raises(ValueError, match=r"shape \[3, 31\] and vectors 32 wide"):
        orthogonal_to(vectors, rows_ND[:, :31])
    with pytest.raises(ValueError, match="directions are not finite"):
        orthogonal_to(vectors, rows_ND * float("nan"))
    nothing = orthogonal_to(vectors, torch.zeros(1, 32))
    assert all(torch.equal(nothing.at(layer), vectors.at(layer)) for layer in vectors.vectors)


def test_what_makes_no_vectors_says_so() -> None:
    loaded = tiny.loaded("llama")
    texts = encode(loaded, ENGLISH)
    for toward, away, changes, message in (
        (texts, texts[1:], {}, "5 prompts to steer toward and 4 away from: give pairs"),
        ([], [], {}, "no texts to read"),
        (texts, texts, {"layers": []}, "no layers to read vectors from"),
        (texts, texts, {"layers": [4]}, "does not exist at layer 4"),
        (texts, texts, {"ids": ["0"]}, "1 ids for 5 pairs: give one each"),
        (texts, texts, {"site": "head", "layers": [3]}, "'head' cannot be steered"),
    ):
        with pytest.raises(ValueError, match=message):
            mean_difference(loaded, toward, away, **{"layers": [1]} | changes)


def test_metadata_is_plain_json_that_others_can_read(tmp_path: Path) -> None:
    make().save(tmp_path / "v.safetensors")
    with safe_open(tmp_path / "v.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["toward"]) == "eng_Latn"
    assert json.loads(metadata["layers"]) == [0, 1, 2, 3]
    assert len(json.loads(metadata["reliability"])) == 4
